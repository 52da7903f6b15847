"""What a terminal phone tells whoever watches it: for the screen, and as lines of JSON."""

from typing import Any, Literal

import msgspec

from textgate.domain.times import Milliseconds

Kind = Literal[
    "started",
    "registered",
    "processed",
    "sent",
    "delivered",
    "failed",
    "cancelled",
    "waiting",
    "received",
    "exported",
    "ping",
    "settings",
    "trouble",
    "connected",
    "disconnected",
    "fetched",
    "reported",
    "webhook",
    "network",
    "stopped",
]


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened on a phone."""

    at: Milliseconds
    kind: Kind
    text: str
    """For people; numbers in it are masked."""
    message_id: str | None = None
    fields: dict[str, Any] = {}
    """More for programs, without secrets and with masked numbers."""
