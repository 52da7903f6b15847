"""What phones and their queue tell each other."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient
from textgate.domain.times import Milliseconds

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
