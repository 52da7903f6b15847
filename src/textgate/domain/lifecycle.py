"""The states of a recipient and what may move them.

State names are those of the SMS Gateway for Android API, so that no dialect renames them.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class State(StrEnum):
    """Where one recipient of a message stands."""

    PENDING = "Pending"
    PROCESSED = "Processed"
    SENT = "Sent"
    DELIVERED = "Delivered"
    FAILED = "Failed"
    CANCELLING = "Cancelling"
    CANCELLED = "Cancelled"


class Signal(StrEnum):
    """What may move a state."""

    TAKEN = "taken"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCEL_ASKED = "cancel_asked"
    CANCELLED = "cancelled"


_FROM_QUEUE: Mapping[Signal, State] = {
    Signal.TAKEN: State.PROCESSED,
    Signal.SENT: State.SENT,
    Signal.DELIVERED: State.DELIVERED,
    Signal.FAILED: State.FAILED,
    Signal.EXPIRED: State.FAILED,
    Signal.CANCEL_ASKED: State.CANCELLING,
    Signal.CANCELLED: State.CANCELLED,
}

TRANSITIONS: Mapping[State, Mapping[Signal, State]] = {
    State.PENDING: _FROM_QUEUE,
    State.PROCESSED: {s: to for s, to in _FROM_QUEUE.items() if s is not Signal.TAKEN},
    # The far side may have been quicker than the wish to cancel; then the truth wins.
    State.CANCELLING: {
        Signal.SENT: State.SENT,
        Signal.DELIVERED: State.DELIVERED,
        Signal.FAILED: State.FAILED,
        Signal.EXPIRED: State.FAILED,
        Signal.CANCELLED: State.CANCELLED,
    },
    State.SENT: {Signal.DELIVERED: State.DELIVERED, Signal.FAILED: State.FAILED},
    # A late "delivered" overturns Failed: the truth may be late.
    State.FAILED: {Signal.DELIVERED: State.DELIVERED},
    State.DELIVERED: {},
    State.CANCELLED: {},
}

OPEN = frozenset({State.PENDING, State.PROCESSED, State.CANCELLING})
"""States in which Textgate still owes something: each has a deadline."""

FINAL = frozenset({State.DELIVERED, State.FAILED, State.CANCELLED})


def advance(state: State, signal: Signal) -> State:
    """Return the state after ``signal``; a signal with no exit leaves the state as it is.

    Networks repeat receipts and deliver them out of order, so a late one is news, not an error.
    """
    return TRANSITIONS[state].get(signal, state)


_AGGREGATE = (State.PENDING, State.CANCELLING, State.CANCELLED, State.PROCESSED)


def aggregate(states: Iterable[State]) -> State:
    """Return a message's state from its recipients' (app: ``MessageWithRecipients.state``).

    First match: any Pending, any Cancelling, any Cancelled, any Processed, all Failed, all
    Delivered, else Sent: a half-failed message shows Sent.
    """
    present = set(states)
    for state in _AGGREGATE:
        if state in present:
            return state
    return present.pop() if len(present) == 1 else State.SENT
