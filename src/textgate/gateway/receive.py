"""A provider's later word: a receipt moves a state, or is kept until its message is known."""

import msgspec

from textgate.domain.lifecycle import Signal, State, advance
from textgate.domain.message import Receipt
from textgate.gateway.transition import record
from textgate.store.base import Tx

SIGNAL_OF = {
    State.SENT: Signal.SENT,
    State.DELIVERED: Signal.DELIVERED,
    State.FAILED: Signal.FAILED,
}


def receive(tx: Tx, receipt: Receipt) -> bool:
    """Apply a receipt. False: nothing known has its reference yet, so it was kept.

    Repeats and late ones change nothing (``advance`` shrugs).
    """
    old = tx.recipients.by_ref(receipt.channel_id, receipt.ref)
    if old is None:
        tx.recipients.keep_early(receipt)
        return False
    message = tx.messages.get(old.account_id, old.message_id)
    state = advance(old.state, SIGNAL_OF[receipt.state])
    if message is None or state is old.state:
        return True
    new = msgspec.structs.replace(
        old,
        state=state,
        due_at=None,
        holder=None,
        reason=receipt.reason if state is State.FAILED else None,
        error=(receipt.detail or receipt.reason) if state is State.FAILED else None,
    )
    if tx.recipients.move(old, new):
        record(tx, message, new, was=old.state)
    return True
