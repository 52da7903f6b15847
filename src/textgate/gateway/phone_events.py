"""What phones tell of: received messages, signs of life, and again what became of messages
(A §4.3)."""

from typing import Any

import msgspec

from textgate.domain.account import Account
from textgate.domain.device import Device
from textgate.domain.event import EventType
from textgate.store.base import Tx


class PhoneEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a phone sends it (A §4.2)."""

    id: str
    event: EventType
    payload: dict[str, Any]


def take(tx: Tx, account: Account, device: Device, event: PhoneEvent) -> bool:
    """Store what the event says, once, and tell who wants to know. False: it was known.

    Raises ``Invalid`` for a payload that lacks what its kind of event needs.
    """
    raise NotImplementedError
