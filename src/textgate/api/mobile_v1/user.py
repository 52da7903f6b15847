"""One-time codes and the password, from a phone (A §3.4, §3.5)."""

from textgate.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = ()
