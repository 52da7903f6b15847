"""The description of a phone's own API, for who may use it (A §2.10)."""

from dataclasses import replace

from textgate.api.documents import documents
from textgate.api.operation import Group, Operation


def operations(served: Group) -> tuple[Operation, ...]:
    return tuple(replace(operation, public=False) for operation in documents((served,)))
