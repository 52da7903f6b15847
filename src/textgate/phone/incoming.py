"""Messages that come in on a terminal phone."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from textgate.domain.times import Milliseconds

IncomingKind = Literal["SMS", "DATA_SMS", "MMS", "MMS_DOWNLOADED"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """An attachment of a downloaded MMS."""

    content_type: str
    data: str
    """Base64."""
    name: str | None = None


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """An SMS or MMS from the air."""

    sender: Annotated[str, Meta(min_length=1, max_length=128)]
    text: str = ""
    """The text; of a data SMS its base64; of a downloaded MMS its body."""
    kind: IncomingKind = "SMS"
    at: Milliseconds | None = None
    """When it arrived; None is now."""
    sim_number: int | None = 1
    subject: str | None = None
    transaction_id: str | None = None
    size: int = 0
    """Of an MMS that is announced, bytes."""
    content_class: str | None = None
    attachments: tuple[Part, ...] = ()
