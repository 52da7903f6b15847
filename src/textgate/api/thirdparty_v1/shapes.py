"""What the dialect's messages look like on the wire, out (A §2.2)."""

import re
from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from textgate.api.fields import DateTime
from textgate.domain.lifecycle import State
from textgate.domain.masking import mask_one_time
from textgate.domain.message import Message, Recipient
from textgate.domain.times import rfc3339

MAX_ERROR = 256
_PLAIN = re.compile("[A-Za-z0-9_-]+")


class TextContent(msgspec.Struct):
    """A text."""

    text: str


class DataContent(msgspec.Struct):
    """A binary SMS: standard base64, and the port of the receiver."""

    data: str
    port: int


class RecipientState(msgspec.Struct, rename="camel", omit_defaults=True):
    """One number of a message."""

    phone_number: str
    state: State
    error: str | None = None


class MessageState(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A message and what became of it. Members that are null are left out."""

    id: str
    device_id: str
    state: State
    is_hashed: bool
    is_encrypted: bool
    recipients: list[RecipientState]
    states: dict[State, DateTime]
    text_message: TextContent | None = None
    data_message: DataContent | None = None
    created_at: DateTime
    schedule_at: DateTime | None = None


def message_state(
    message: Message, recipients: Iterable[Recipient], *, content: bool = True, listed: bool = False
) -> MessageState:
    """Return the wire form of a message, with or without what it says.

    ``listed``: among others, so its one-time codes are hidden.
    """
    text = data = None
    if content and message.text is not None:
        text = TextContent(_listed_text(message) if listed else message.text)
    elif content and message.data is not None:
        data = DataContent(message.data, message.port or 0)
    created_at = rfc3339(message.created_at)
    return MessageState(
        id=message.id,
        device_id=message.device_id,
        state=message.state,
        is_hashed=False,
        is_encrypted=message.encrypted,
        recipients=[RecipientState(r.number, r.state, _error(r)) for r in recipients],
        states={
            state: created_at if at == message.created_at else rfc3339(at)
            for state, at in message.reached().items()
            if state is not State.CANCELLING  # the original has no time of it (A §2.4)
        },
        text_message=text,
        data_message=data,
        created_at=created_at,
        schedule_at=None if message.schedule_at is None else rfc3339(message.schedule_at),
    )


def _listed_text(message: Message) -> str:
    text, _ = mask_one_time(message.text, msgspec.json.decode(message.context or "null"))
    return text or ""


def _error(recipient: Recipient) -> str | None:
    if recipient.state is State.CANCELLED:  # as was wished
        return None
    error = recipient.error or recipient.reason
    return error[:MAX_ERROR] if error else None


def location(message_id: str) -> str:
    """Where a message is found; the original serves it under ``/api``."""
    plain = _PLAIN.fullmatch(message_id)  # as are all ids that we make
    return f"/api/3rdparty/v1/messages/{message_id if plain else quote(message_id, safe='')}"
