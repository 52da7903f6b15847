"""The systems under measurement, each started as a user would start it, on loopback."""

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.toolchain import Sink


@dataclass(frozen=True, slots=True)
class FarSide:
    """Where a peer sends its messages and its events."""

    provider: Sink
    hook: Sink


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that is ready: its processes, its door, and the request that asks it to send."""

    pids: tuple[int, ...]
    port: int
    template: bytes
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """How to run one system, and how its requests to the far sides name the message."""

    name: str
    provider_marker: str
    provider_answer: str
    provider_type: str
    hook_marker: str
    run: Callable[[Path, FarSide], AbstractContextManager[Running]]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
