"""The queue of a phone and its reports (A §3.6, §3.7)."""

from textgate.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = ()
