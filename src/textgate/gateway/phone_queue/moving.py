"""What becomes of work in a phone's lane when its time has come and the phone was silent."""

from functools import partial

import msgspec
import structlog

from textgate.domain.account import Channel
from textgate.domain.decision import Finish
from textgate.domain.device import DeviceEvent, PhonePolicy
from textgate.domain.lifecycle import Signal, State
from textgate.domain.message import Message, Recipient, SendJob
from textgate.domain.outcome import Reason
from textgate.domain.phone_choice import Burden, is_busy, move_on_at, takes_over
from textgate.domain.times import Milliseconds
from textgate.gateway.nudges import nudge
from textgate.gateway.phone_queue.fetching import IN_PROGRESS_MS, held_until
from textgate.gateway.phone_queue.reporting import all_parts_in
from textgate.gateway.route import policy_of, pulled
from textgate.gateway.settle import PERHAPS_OUT, finished, passed_on, start
from textgate.gateway.transition import record
from textgate.store.base import Tx

EXPIRED = Finish(Signal.EXPIRED, Reason.EXPIRED)
CANCELLED = Finish(Signal.CANCELLED, Reason.CANCELLED)
NO_CHANNEL = Finish(Signal.FAILED, Reason.NO_CHANNEL)

log = structlog.get_logger("textgate.phones")


def due(tx: Tx, job: SendJob) -> None:
    """The time of work in a phone's lane has come: offer it, move it on, or end it.

    ``job`` is a take of it; if that is over, nothing happens.
    """
    message, r = job.message, tx.recipients.one(*job.key)
    if r is None or r.attempt != job.recipient.attempt or r.due_at is None:
        return
    if r.state is State.SENT:
        all_parts_in(tx, message, r)
        return
    channel = tx.channels.get(r.account_id, r.lane)
    fetched = tx.phone_queues.tried(r, r.lane, open_only=True)
    if fetched and (channel is None or tx.now >= r.deadline):
        _end(tx, message, r, PERHAPS_OUT)
    elif fetched:
        _look_after_fetched(tx, message, r)
    elif r.state is State.CANCELLING:
        _end(tx, message, r, CANCELLED)
    elif tx.now >= r.deadline:
        _end(tx, message, r, EXPIRED)
    else:
        _look_after_offered(tx, message, r, channel)


def _end(tx: Tx, message: Message, old: Recipient, decision: Finish) -> None:
    """End it; what may have gone out is called so."""
    doubt = tx.phone_queues.in_doubt(old)
    new = finished(old, PERHAPS_OUT if doubt else decision)
    new = msgspec.structs.replace(new, uncertain=doubt)
    if tx.recipients.move(old, new):
        tx.phone_queues.end_try(old, old.lane, "unknown", Reason.UNKNOWN)
        record(tx, message, new, was=old.state)


def _look_after_fetched(tx: Tx, message: Message, r: Recipient) -> None:
    """The phone has it in hand. A second copy is harmless for a one-time code alone, and as long
    as the phone did not say that it is sending it."""
    policy = policy_of(tx, r.account_id)
    waits = message.one_time and r.provider_ref is None and r.state is not State.CANCELLING
    until = held_until(message, r, policy, r.updated_at) if waits else r.deadline
    if waits and tx.now >= until:
        there = _next(tx, message, r, policy)
        if there is not None:
            tx.phone_queues.end_try(r, r.lane, "unknown", Reason.UNKNOWN)
            _move(tx, message, r, there, policy, uncertain=True)
            return
        until = min(tx.now + policy.move_on_after_s * 1000, r.deadline)
    _put_back(tx, r, until, holder=r.lane)


def _look_after_offered(tx: Tx, message: Message, r: Recipient, channel: Channel | None) -> None:
    """Nobody has it in hand: it waits for its phone, or goes to the next of its route."""
    policy = policy_of(tx, r.account_id)
    usable = channel is not None and channel.enabled
    until = min(_until(message, r, policy, r.updated_at), r.deadline) if usable else tx.now
    if tx.now < until:
        _put_back(tx, r, until)
        tx.messages.carried_by(message.account_id, message.id, r.lane)
        nudge(tx, r.account_id, r.lane, DeviceEvent.MESSAGE_ENQUEUED)
        return
    there = _next(tx, message, r, policy)
    if there is not None:
        _move(tx, message, r, there, policy, uncertain=r.uncertain and tx.phone_queues.in_doubt(r))
    elif usable:
        _put_back(tx, r, min(tx.now + policy.move_on_after_s * 1000, r.deadline))
        nudge(tx, r.account_id, r.lane, DeviceEvent.MESSAGE_ENQUEUED)
    else:
        _end(tx, message, r, NO_CHANNEL)


def _until(
    message: Message, r: Recipient, policy: PhonePolicy, offered_at: Milliseconds
) -> Milliseconds:
    """The take that brought us here counts as one; each phone before this one was one more."""
    phones_before = max(0, r.attempt - r.base - 1)
    return move_on_at(
        policy,
        offered_at=offered_at,
        schedule_at=message.schedule_at,
        rounds=phones_before // (1 + len(r.route.split())),
    )


def _put_back(tx: Tx, r: Recipient, due_at: Milliseconds, holder: str | None = None) -> None:
    uncertain = r.uncertain and (holder is not None or tx.phone_queues.in_doubt(r))
    if tx.phone_queues.put_back(r, due_at=due_at, holder=holder, uncertain=uncertain):
        tx.due(due_at)


def _next(tx: Tx, message: Message, r: Recipient, policy: PhonePolicy) -> Channel | None:
    """Return the first of the route that takes over now."""
    present = _burden(tx, r.account_id, r.lane)
    busy = r.holder != r.lane and present is not None and is_busy(present, policy, tx.now)
    for channel_id in r.route.split():
        channel = tx.channels.get(r.account_id, channel_id)
        if channel is None or not channel.enabled:
            continue
        other = _burden(tx, r.account_id, channel_id) if pulled(channel) else None
        if pulled(channel) and other is None:
            continue
        if takes_over(other, policy, tx.now, from_busy=busy):
            return channel
    return None


def _burden(tx: Tx, account_id: str, device_id: str) -> Burden | None:
    device = tx.devices.get(account_id, device_id)
    channel = tx.channels.get(account_id, device_id)
    if device is None or channel is None or not channel.enabled:
        return None
    return Burden(
        last_seen=device.last_seen,
        in_hand=tx.phone_queues.busy_with(device_id, tx.now - IN_PROGRESS_MS),
        unfinished=tx.phone_queues.unfinished(device_id, channel.max_in_flight),
        most=channel.max_in_flight,
    )


def _move(
    tx: Tx,
    message: Message,
    old: Recipient,
    there: Channel,
    policy: PhonePolicy,
    *,
    uncertain: bool,
) -> None:
    """Give it to ``there``. Among phones it goes round: what one did not fetch may be the first's
    again, if that is back."""
    rest = [id_ for id_ in old.route.split() if id_ != there.id]
    if not pulled(there):
        new = passed_on(tx, message, old, there.id, " ".join(rest))
    else:
        base = old.base
        if tx.phone_queues.tried(old, old.lane):  # it is none of the circle any more, which begins
            base = old.attempt
        else:
            rest.append(old.lane)
        new = _offered_to(tx, message, old, there.id, " ".join(rest), policy, base)
    new = msgspec.structs.replace(new, uncertain=uncertain)
    if not tx.recipients.move(old, new):
        return
    tx.messages.carried_by(message.account_id, message.id, there.id)
    tx.afterwards(partial(_log_move, message.id, old.lane, there.id))
    start(tx, message, new)
    if pulled(there):
        nudge(tx, message.account_id, there.id, DeviceEvent.MESSAGE_ENQUEUED)


def _offered_to(
    tx: Tx, message: Message, old: Recipient, lane: str, route: str, policy: PhonePolicy, base: int
) -> Recipient:
    """Return it as it waits for another phone; the take that brought us here stays counted."""
    new = msgspec.structs.replace(
        old, lane=lane, route=route, base=base, holder=None, provider_ref=None
    )
    ahead = msgspec.structs.replace(new, attempt=new.attempt + 1)  # as at its next take
    until = min(_until(message, ahead, policy, tx.now), old.deadline)
    return msgspec.structs.replace(new, due_at=until)


def _log_move(message_id: str, was: str, now: str) -> None:
    log.info("message moves on", message=message_id, channel=was, to=now)
