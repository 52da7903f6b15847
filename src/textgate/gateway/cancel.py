"""Cancelling a message that has not gone out (A §2.4, with its suggestion)."""

import msgspec

from textgate.domain.decision import Finish
from textgate.domain.device import DeviceEvent
from textgate.domain.errors import Conflict, NotFound
from textgate.domain.lifecycle import Signal, State, advance
from textgate.domain.message import Message, Recipient, SendJob
from textgate.domain.outcome import Reason
from textgate.domain.phone_choice import heard_since
from textgate.domain.times import Milliseconds
from textgate.gateway.nudges import nudge
from textgate.gateway.route import policy_of
from textgate.gateway.settle import PERHAPS_OUT, finished
from textgate.gateway.transition import record
from textgate.store.base import Tx

OPEN_TO_CANCEL = (State.PENDING, State.PROCESSED)
CANCELLED = Finish(Signal.CANCELLED, Reason.CANCELLED)


def cancel(
    tx: Tx, account_id: str, message_id: str, *, by_phone: bool = False
) -> tuple[Message, list[Recipient]]:
    """Cancel every recipient that has not gone out; return what stands afterwards.

    What nobody has in hand is Cancelled at once, or Failed if an attempt may have gone out; an
    attempt under way makes it Cancelling, and its outcome decides. So does the word of a phone: it
    is told to drop it (A §2.9), and what it never fetched is Cancelled without its word too, when
    it has had its time, or at once if it is silent, or if it is the phone itself that cancels
    (``by_phone``). Raises ``NotFound``, or ``Conflict`` if nothing was left to cancel.
    """
    message = tx.messages.get(account_id, message_id)
    if message is None:
        raise NotFound("message not found")
    recipients = tx.recipients.of(account_id, message_id)
    if not any(r.state in OPEN_TO_CANCEL for r in recipients):
        raise Conflict("failed to cancel message: message is not pending")
    for recipient in recipients:
        if recipient.state in OPEN_TO_CANCEL:
            _cancel(tx, message, recipient, by_phone)
    after = tx.messages.get(account_id, message_id) or message
    return after, tx.recipients.of(account_id, message_id)


def _cancel(tx: Tx, message: Message, old: Recipient, by_phone: bool) -> None:
    wait_ms = 0 if by_phone else _word_of_a_phone(tx, old)
    new = msgspec.structs.replace(old, state=advance(old.state, Signal.CANCEL_ASKED))
    if wait_ms:
        # In its hand, without a try: so it finds it in its queue, and never has it to send.
        due_at = min(tx.now + wait_ms, old.deadline)
        new = msgspec.structs.replace(new, holder=old.lane, due_at=due_at)
        tx.due(due_at)
    if wait_ms or _on_a_phone(tx, old):
        data = {"messageId": message.id}
        nudge(tx, old.account_id, old.lane, DeviceEvent.MESSAGE_CANCELLED, data)
    elif old.holder is None or tx.withdraw(SendJob(message, old)):
        new = finished(old, PERHAPS_OUT if old.uncertain else CANCELLED)
    if tx.recipients.move(old, new):
        record(tx, message, new, was=old.state)


def _word_of_a_phone(tx: Tx, recipient: Recipient) -> Milliseconds:
    """Return how long to wait for the word of a phone that has not fetched it; 0 if nobody is
    there to say it."""
    if recipient.holder is not None or recipient.uncertain:
        return 0
    device = tx.devices.get(recipient.account_id, recipient.lane)
    policy = policy_of(tx, recipient.account_id)
    if device is None or device.last_seen < heard_since(policy, tx.now):
        return 0
    return policy.move_on_after_s * 1000


def _on_a_phone(tx: Tx, recipient: Recipient) -> bool:
    """Whether a phone has it in hand, be it that our engine is just looking after it."""
    if recipient.holder in (None, recipient.lane):
        return recipient.holder is not None
    return tx.devices.get(recipient.account_id, recipient.lane) is not None and (
        tx.phone_queues.tried(recipient, recipient.lane, open_only=True)
    )
