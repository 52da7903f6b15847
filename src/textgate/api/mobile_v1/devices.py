"""Registering a phone, and what it says of itself (A §3.1–3.3)."""

from textgate.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = ()
