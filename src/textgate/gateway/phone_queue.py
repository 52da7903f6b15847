"""The queue of a phone: what it may fetch, what it says became of it, and what moves on when it is
silent (A §3.6, §3.7)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from textgate.domain.device import Device
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient, SendJob
from textgate.domain.times import Milliseconds
from textgate.store.base import Tx

Order = Literal["lifo", "fifo"]
MOST = 100


class Queued(msgspec.Struct, frozen=True, gc=False):
    """A message as a phone sees it: with those of its recipients that the phone is to reach."""

    message: Message
    recipients: list[Recipient]

    @property
    def state(self) -> State:
        """``Cancelling``, or ``Pending`` for all else that a phone still has to take."""
        cancelling = any(r.state is State.CANCELLING for r in self.recipients)
        return State.CANCELLING if cancelling else State.PENDING


class NumberReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a phone says of one number."""

    number: str
    state: State
    error: str | None = None
    said: Mapping[str, Any] | None = None
    """The payload of the phone's own event, if it is one that brings the news: what is announced
    has its members."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a phone says of a message."""

    message_id: str
    numbers: Sequence[NumberReport]
    at: dict[State, Milliseconds]
    """When it reached which state, by the phone's clock."""


def waiting(tx: Tx, device: Device, *, order: Order = "lifo", limit: int = MOST) -> list[Queued]:
    """Return what the phone has to take or to cancel; changes nothing."""
    raise NotImplementedError


def fetch(tx: Tx, device: Device, *, order: Order = "lifo", limit: int = MOST) -> list[Queued]:
    """Return what is waiting, and write down that the phone has it in hand now."""
    raise NotImplementedError


def report(tx: Tx, device: Device, reports: Sequence[Report]) -> None:
    """Apply what a phone reports. What is unknown, repeated or late changes nothing."""
    raise NotImplementedError


def reported_recipient(tx: Tx, device: Device, message: Message, number: str) -> Recipient | None:
    """Return who the phone means: the very number, or else with ``+`` before it. None: nobody whom
    this phone ever had to reach."""
    raise NotImplementedError


def deliver(
    tx: Tx,
    device: Device,
    message: Message,
    recipient: Recipient,
    at: Milliseconds,
    *,
    said: Mapping[str, Any] | None = None,
) -> None:
    """A recipient has the message, with all of its parts. ``said``: as in ``NumberReport``."""
    raise NotImplementedError


def due(tx: Tx, job: SendJob) -> None:
    """The time of work in a phone's lane has come: offer it, move it on, or end it."""
    raise NotImplementedError
