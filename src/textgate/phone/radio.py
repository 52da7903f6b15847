"""What the air does with a message: how long its parts take, and what is said of them (A §7.3)."""

from random import Random

import msgspec

from textgate.domain.lifecycle import State
from textgate.domain.times import Milliseconds
from textgate.phone.behaviour import RESULTS, Behaviour, Span

STATUS_DELIVERED = 0
STATUS_REFUSED = 64
"""TS 23.040 §9.2.3.15: permanent error, remote procedure error."""
_TRYING, _REFUSED = 32, 64


class Receipt(msgspec.Struct, frozen=True):
    """The delivery report of one part."""

    after_ms: Milliseconds
    """Counted from the hand-over."""
    status: int

    @property
    def state(self) -> State | None:
        """None: the service centre is still trying, which nobody is told."""
        if self.status < _TRYING:
            return State.DELIVERED
        return None if self.status < _REFUSED else State.FAILED


class Flight(msgspec.Struct, frozen=True):
    """What becomes of one number of a message."""

    sent_after_ms: Milliseconds
    """From the hand-over until its last part is out, or has failed."""
    failure: str | None
    """The reason, if it cannot be sent."""
    receipts: tuple[Receipt, ...]
    """In the order of their times."""


class Radio:
    """Throws the dice of one phone; the same seed and the same messages, the same flights."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._asked = behaviour
        self.dice = Random(behaviour.seed)

    def hand_over_ms(self) -> Milliseconds:
        return self._within(self._asked.hand_over_ms)

    def flight(self, parts: int, *, report: bool) -> Flight:
        """Send ``parts`` parts one after another; ``report``: delivery reports are asked for."""
        asked = self._asked
        if self._hits(asked.failures):
            return Flight(self._within(asked.send_ms), send_result(asked.result), ())
        after_ms, receipts = 0, list[Receipt]()
        for _ in range(max(parts, 1)):
            after_ms += self._within(asked.send_ms)
            if report and asked.receipts:
                receipts += self._receipts(after_ms)
        receipts.sort(key=lambda receipt: receipt.after_ms)
        return Flight(after_ms, None, tuple(receipts))

    def _receipts(self, sent_after_ms: Milliseconds) -> list[Receipt]:
        asked, after_ms = self._asked, sent_after_ms + self._within(self._asked.deliver_ms)
        if self._hits(asked.lost_receipts):
            return []
        receipts = []
        if self._hits(asked.trying):
            receipts.append(Receipt(after_ms, _TRYING))
            after_ms += self._within(asked.deliver_ms)
        status = STATUS_REFUSED if self._hits(asked.refused) else STATUS_DELIVERED
        return [*receipts, Receipt(after_ms, status)]

    def _within(self, span: Span) -> Milliseconds:
        return self.dice.randint(*span)

    def _hits(self, share: float) -> bool:
        return share > 0 and self.dice.random() < share


def send_result(result: str) -> str:
    """Return what the app says of a result of Android (A §4.3)."""
    return f"Send result: {result} ({RESULTS.get(result, 'Unknown error')})"
