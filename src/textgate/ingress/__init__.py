"""How "send this" arrives from other systems: one file of pure functions for each dialect."""
