"""What a phone fetches (A §3.6)."""

from collections.abc import Iterable
from functools import partial

import msgspec

from textgate.domain.device import Device, PhonePolicy
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient
from textgate.domain.phone_choice import in_turn
from textgate.domain.times import Milliseconds
from textgate.gateway.phone_queue.shapes import MOST, Order, Queued
from textgate.gateway.route import policy_of
from textgate.store.base import Tx
from textgate.telemetry import TIME_TO_PHONE

IN_PROGRESS_MS = 3_600_000
"""What a phone reported as Processed counts as in hand for so long: a phone that is slow fetches no
more than it can send, and one that never tells the end of something is not kept from the rest."""


def waiting(tx: Tx, device: Device, *, order: Order = "lifo", limit: int = MOST) -> list[Queued]:
    """Return what the phone has to take or to cancel; changes nothing."""
    enabled = _is_enabled(tx, device)
    ids = dict.fromkeys(_in_hand(tx, device))
    if enabled:
        ids |= dict.fromkeys(_offers(tx, device, order, limit))
    found = dict[str, Queued]()
    for message_id in ids:
        queued = _queued(tx, device, message_id, enabled)
        if queued is not None:
            found[message_id] = queued
    turns = in_turn((queued.message for queued in found.values()), order)
    every = [found[message.id] for message in turns]
    if len(every) <= limit:
        return every
    cancelling = [queued for queued in every if queued.state is State.CANCELLING][:limit]
    left = limit - len(cancelling)
    pending = [queued for queued in every if queued.state is State.PENDING][:left]
    kept = {queued.message.id for queued in (*cancelling, *pending)}
    return [queued for queued in every if queued.message.id in kept]


def _in_hand(tx: Tx, device: Device) -> list[str]:
    held = tx.phone_queues.in_hand(device.id)
    return [r.message_id for r in held if _is_new(r) or r.state is State.CANCELLING]


def _is_enabled(tx: Tx, device: Device) -> bool:
    channel = tx.channels.get(device.account_id, device.id)
    return channel is not None and channel.enabled


def room(tx: Tx, device: Device) -> int:
    """Return how many more messages the phone may have in hand."""
    channel = tx.channels.get(device.account_id, device.id)
    if channel is None:
        return 0
    busy = tx.phone_queues.busy_with(device.id, tx.now - IN_PROGRESS_MS)
    return max(0, channel.max_in_flight - busy)


def _offers(tx: Tx, device: Device, order: Order, limit: int) -> Iterable[str]:
    """Yield the messages that the phone may fetch anew: as many as it has room for; what is
    scheduled for later takes none."""
    left = room(tx, device)
    for message_id, schedule_at in tx.phone_queues.offered(device.id, order, limit):
        if schedule_at is None or schedule_at <= tx.now:
            if left == 0:
                continue
            left -= 1
        yield message_id


def _queued(tx: Tx, device: Device, message_id: str, enabled: bool) -> Queued | None:
    """Return a message as the phone sees it; None if it is to see nothing of it."""
    recipients = [
        r
        for r in tx.recipients.of(device.account_id, message_id)
        if r.lane == device.id and r.due_at is not None and r.deadline > tx.now
        if r.state is State.CANCELLING or (enabled and _is_new(r))
    ]
    message = tx.messages.get(device.account_id, message_id)
    return Queued(message, recipients) if message and recipients else None


def _is_new(recipient: Recipient) -> bool:
    """Whether the phone has still to say that it has it."""
    unsent = recipient.state in (State.PENDING, State.PROCESSED)
    return unsent and recipient.provider_ref is None


def take(tx: Tx, device: Device, queued: Iterable[Queued]) -> list[Queued]:
    """Write down that the phone has in hand what it was found to wait for; return what of it is
    still there for it to have."""
    if tx.devices.get(device.account_id, device.id) is None:  # removed since: it could never report
        return []
    policy = policy_of(tx, device.account_id)
    taken = []
    for one in queued:
        held = [r for r in one.recipients if r.holder == device.id]
        for recipient in one.recipients:
            if recipient.holder != device.id:
                mine = hold(tx, one.message, recipient, policy)
                held += [mine] if mine else []
        if held:
            taken.append(Queued(one.message, sorted(held, key=lambda r: r.n)))
    return taken


def hold(tx: Tx, message: Message, old: Recipient, policy: PhonePolicy) -> Recipient | None:
    """Put ``old`` in the hand of the phone of its lane; None if it is not there any more."""
    new = msgspec.structs.replace(
        old,
        attempt=old.attempt + 1,
        holder=old.lane,
        due_at=held_until(message, old, policy, tx.now),
    )
    if not tx.recipients.move(old, new):
        return None
    if old.uncertain and tx.phone_queues.tried(old, old.lane, open_only=True):
        return new  # it has it from before
    tx.recipients.begin_attempt(new, tx.now)
    if old.n == 0:
        waited = max(0, tx.now - old.updated_at) / 1000
        tx.afterwards(partial(TIME_TO_PHONE.observe, waited, old.lane))
    return new


def held_until(
    message: Message, recipient: Recipient, policy: PhonePolicy, since: Milliseconds
) -> Milliseconds:
    """Return when to look after what a phone fetched: at its deadline, or where a second copy is
    harmless when a phone that sends would have told so."""
    if not message.one_time:
        return recipient.deadline
    starts = max(since, message.schedule_at or 0)
    return min(starts + policy.move_on_after_s * 1000, recipient.deadline)
