"""One recipient's new state, carried to its message and announced."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from textgate.domain.event import Telling
from textgate.domain.lifecycle import State, aggregate
from textgate.domain.message import Message, Recipient
from textgate.domain.times import Milliseconds
from textgate.gateway.announce import announce_state
from textgate.store.base import Tx
from textgate.telemetry import RECIPIENTS

NEVER: Mapping[State, Milliseconds] = MappingProxyType({})


def record(
    tx: Tx,
    message: Message,
    recipient: Recipient,
    *,
    was: State,
    taken_at: Milliseconds | None = None,
    times: Mapping[State, Milliseconds] = NEVER,
    said: Mapping[str, Any] | None = None,
    telling: Telling = Telling.ALL,
) -> None:
    """Follow up a move of ``recipient`` that the store has accepted.

    ``times``: when a state was reached, where the far side says so; else it is now. ``said`` and
    ``telling``: as for ``announce_state``.

    ``taken_at``: when the attempt behind it began; a message that was never seen as Processed
    was so from then on.
    """
    if recipient.state is was:
        return
    reason = recipient.reason if recipient.state is State.FAILED else None
    tx.afterwards(partial(RECIPIENTS.inc, recipient.state, reason or "", recipient.lane))
    state = recipient.state
    if message.recipient_count > 1:
        state = aggregate(tx.recipients.states(message.account_id, message.id))
    if state is State.SENT and taken_at is not None:
        tx.messages.sent(message.account_id, message.id, taken_at, tx.now)
    elif state is not State.PENDING:
        if taken_at is not None:
            tx.messages.taken(message.account_id, message.id, taken_at)
        tx.messages.reach(message.account_id, message.id, state, times.get(state, tx.now))
    at = times.get(recipient.state, tx.now)
    announce_state(tx, message, recipient, at=at, said=said, telling=telling)
