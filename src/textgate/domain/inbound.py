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
    created_at: Milliseconds
