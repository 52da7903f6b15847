"""What a terminal phone tells whoever watches it: for the screen, and as lines of JSON."""

from typing import Any, Literal

import msgspec

from textgate.domain.times import Milliseconds
from textgate.outbound.http import Failure, Reply

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
    "answering",
    "disconnected",
    "fetched",
    "webhook",
    "network",
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


def network_changed(at: Milliseconds, is_up: bool) -> Happening:
    """The network of all phones is there again, or lost."""
    said = "the network is there again" if is_up else "the network is lost"
    return Happening(at=at, kind="network", text=said, fields={"up": is_up})


class _Envelope(msgspec.Struct, rename="camel"):
    id: str
    event: str
    webhook_id: str


def webhook_called(at: Milliseconds, body: bytes, ended: Reply | Failure) -> Happening:
    """A webhook was called with this body, and answered so."""
    call = msgspec.json.decode(body, type=_Envelope)
    status = ended.status if isinstance(ended, Reply) else None
    said = f"{call.event}: {ended.status if isinstance(ended, Reply) else ended.detail}"
    fields = {"event": call.event, "id": call.id, "webhook": call.webhook_id, "status": status}
    return Happening(at=at, kind="webhook", text=said, fields=fields)
