"""The event stream of a phone (A §3.9, §3.10)."""

from textgate.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = ()
