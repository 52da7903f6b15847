"""Messages of a server become messages of the phone's own store (A §3.6)."""

from enum import Enum

import msgspec

from textgate.domain.errors import Conflict, Invalid
from textgate.domain.lifecycle import State
from textgate.domain.message import Submission
from textgate.domain.times import Milliseconds, parse_rfc3339
from textgate.gateway import cancel, submit
from textgate.phone.mobile_api import QueueItem
from textgate.store.base import Store, Tx

VALIDITY_MS = 30 * 86_400_000
"""Of a message that its server gave no end: the app keeps those for ever."""


class Taken(Enum):
    """What became of one item of the queue."""

    NEW = "new"
    KNOWN = "known"
    """Its present state is to be reported once more."""
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """To be cancelled, and never heard of."""
    NOTHING = "nothing"


async def take(store: Store, account_id: str, device_id: str, item: QueueItem) -> Taken:
    """Store one item, or cancel what it says. Raises ``Invalid`` for one that cannot be sent."""
    if item.state == State.CANCELLING:
        return await store.write(lambda tx: cancel_here(tx, account_id, item.id))
    if item.state in set(State) - {State.PENDING}:
        return Taken.NOTHING
    checked = submit.check(_submission(item, device_id), default_region=None)
    made_at = _time(item.created_at)

    def keep(tx: Tx) -> Taken:
        if tx.messages.get(account_id, item.id) is not None:
            return Taken.KNOWN
        due = checked
        if checked.wanted.schedule_at is not None and checked.wanted.schedule_at <= tx.now:
            wanted = msgspec.structs.replace(checked.wanted, schedule_at=None)
            due = msgspec.structs.replace(checked, wanted=wanted)
        submit.submit(tx, account_id, due, validity_ms=VALIDITY_MS, created_at=made_at)
        return Taken.NEW

    return await store.write(keep)


def cancel_here(tx: Tx, account_id: str, message_id: str) -> Taken:
    """Cancel a message that the phone has not begun; one that it has begun goes on."""
    message = tx.messages.get(account_id, message_id)
    if message is None:
        return Taken.UNKNOWN
    if message.state is State.CANCELLED:
        return Taken.KNOWN
    if message.state is not State.PENDING:
        return Taken.NOTHING
    try:
        cancel.cancel(tx, account_id, message_id, by_phone=True)
    except Conflict:  # one of its numbers is further than the message
        return Taken.NOTHING
    return Taken.CANCELLED


def _submission(item: QueueItem, device_id: str) -> Submission:
    """Raises ``Invalid``. What is encrypted stays so; numbers stay as they were spelt."""
    data, text = item.data_message, item.message
    if item.text_message is not None:
        text = item.text_message.text
    if data is None and text is None:
        raise Invalid("the message has no content")
    return Submission(
        id=item.id,
        numbers=tuple(item.phone_numbers),
        text=text if data is None else None,
        data=data.data if data else None,
        port=data.port if data else None,
        device_id=device_id,
        encrypted=bool(item.is_encrypted),
        sim_number=item.sim_number,
        delivery_report=item.with_delivery_report is not False,
        priority=item.priority or 0,
        valid_until=_time(item.valid_until),
        schedule_at=_time(item.schedule_at),
        skip_validation=True,
    )


def _time(text: str | None) -> Milliseconds | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise Invalid(f"{text!r} is no time") from None
