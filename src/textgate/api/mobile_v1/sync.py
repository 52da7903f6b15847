"""The webhooks and the settings that a phone fetches (A §3.8)."""

from textgate.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = ()
