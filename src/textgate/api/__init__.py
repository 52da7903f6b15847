"""HTTP in: what callers ask, translated; the rules are in ``gateway``."""
