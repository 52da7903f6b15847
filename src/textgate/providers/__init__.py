"""How messages leave: one file each."""
