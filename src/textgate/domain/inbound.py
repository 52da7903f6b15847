"""Messages that came in."""

import msgspec

from textgate.domain.times import Milliseconds


class Inbound(msgspec.Struct, kw_only=True):
    """A received SMS or MMS (A §2.5)."""

    account_id: str
    id: str
    type: str
    """SMS, DATA_SMS, MMS or MMS_DOWNLOADED."""
    device_id: str
    sender: str
    recipient: str | None
    sim_number: int | None
    content: str
    """The text; of a data SMS its base64."""
    created_at: Milliseconds
    message_id: str | None = None
    """The phone's name for it (A §4.3)."""
    subject: str | None = None
    number: str = ""
    """The sender as its conversation is kept by (``domain.phone.canonical``); set by ``keep``."""
    kept_at: Milliseconds = 0
    """When it came in here, while ``created_at`` is what the phone says; set by ``keep``."""


class Attachment(msgspec.Struct, kw_only=True):
    """A part of a downloaded MMS."""

    account_id: str
    inbound_id: str
    part_id: int
    content_type: str
    name: str | None
    size: int | None
    data: str | None
    """Base64."""


class Conversation(msgspec.Struct, kw_only=True):
    """A number that has written to the account."""

    account_id: str
    number: str
    last_at: Milliseconds
    """When it wrote last."""
    received: int
    """How many of its messages are in the inbox."""
