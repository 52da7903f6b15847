"""Messages that come in on a terminal phone."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from textgate.domain.times import Milliseconds

IncomingKind = Literal["SMS", "DATA_SMS", "MMS", "MMS_DOWNLOADED"]

STORE_OF = {"SMS": "SMS", "DATA_SMS": "SMS", "MMS": "MMS", "MMS_DOWNLOADED": "MMS"}
"""In which of the phone's two stores an export finds a message (A §2.5)."""


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


_WORD = 1 << 32


def incoming_hash(address: str, at: Milliseconds, subscription: int | None, text: str) -> int:
    """Return the app's name for a message as an unsigned number of 32 bits: Java's ``hashCode`` of
    address, date, subscription and text (A §4.3)."""
    date = (at ^ (at >> 32)) % _WORD
    hashed = _text_hash(address)
    for part in (date, subscription or 0, _text_hash(text)):
        hashed = (31 * hashed + part) % _WORD
    return hashed


def _text_hash(text: str) -> int:
    """Java's ``String.hashCode``, over UTF-16 units."""
    hashed, units = 0, text.encode("utf-16-be", "surrogatepass")
    for high, low in zip(units[::2], units[1::2], strict=True):
        hashed = (31 * hashed + (high << 8 | low)) % _WORD
    return hashed
