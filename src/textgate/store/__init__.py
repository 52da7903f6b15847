"""The SQL, written once, by noun."""
