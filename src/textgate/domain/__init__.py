"""The rules of the gateway: pure code, no I/O, no clock, no dice, no logging."""
