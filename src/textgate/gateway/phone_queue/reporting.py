"""What a phone says became of its messages (A §2.9, §3.7, with their suggestions)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from textgate.domain.device import Device, DeviceEvent, PhonePolicy
from textgate.domain.event import EVENT_OF_STATE, Telling
from textgate.domain.lifecycle import Signal, State, advance
from textgate.domain.message import Message, Recipient
from textgate.domain.outcome import Reason
from textgate.domain.times import Milliseconds
from textgate.gateway.nudges import nudge
from textgate.gateway.parts import telling, waits_for_parts
from textgate.gateway.phone_queue.fetching import hold, room
from textgate.gateway.phone_queue.shapes import NumberReport, Report
from textgate.gateway.route import policy_of
from textgate.gateway.settle import ERROR_TEXT, MAX_DETAIL
from textgate.gateway.transition import record
from textgate.store.base import Tx

CLOCK_SLACK_MS = 300_000
"""A phone's clock is believed if it is off by no more: a message that was sent before it was made,
or in the future, gets our time."""
PARTS_MS = 60_000
"""When a phone has reported Delivered, the events of the single parts have so long to arrive."""

SIGNAL_OF = {
    State.PENDING: Signal.TAKEN,  # "a reported Pending is stored as Processed"
    State.PROCESSED: Signal.TAKEN,
    State.SENT: Signal.SENT,
    State.DELIVERED: Signal.DELIVERED,
    State.FAILED: Signal.FAILED,
    State.CANCELLED: Signal.CANCELLED,
}
"""``Cancelling`` is our word, and no news from a phone."""
UNSENT = (State.PENDING, State.PROCESSED, State.CANCELLING)

OUTCOME_OF = {
    State.SENT: "accepted",
    State.DELIVERED: "accepted",
    State.FAILED: "rejected",
    State.CANCELLED: "rejected",
}
EXPIRED_TEXT = "TTL expired"


class _Word(msgspec.Struct, frozen=True, gc=False):
    """Whose word it is, of which message, and when that came to its states."""

    device: Device
    policy: PhonePolicy
    message: Message
    at: Mapping[State, Milliseconds]


def report(tx: Tx, device: Device, reports: Sequence[Report]) -> None:
    """Apply what a phone reports. What is unknown, repeated or late changes nothing.

    Tells the phone if there is more to fetch and it has room again.
    """
    for one in reports:
        message = tx.messages.get(device.account_id, one.message_id)
        if message is not None:
            _apply(tx, device, message, one)
    channel = tx.channels.get(device.account_id, device.id)
    if channel is None or not channel.enabled or not tx.phone_queues.waits(device.id):
        return
    if room(tx, device) * 2 >= channel.max_in_flight:  # not for each place: it fetches many
        nudge(tx, device.account_id, device.id, DeviceEvent.MESSAGE_ENQUEUED)


def _apply(tx: Tx, device: Device, message: Message, told: Report) -> None:
    at = {state: _believed(ms, message, tx.now) for state, ms in told.at.items()}
    word = _Word(device, policy_of(tx, device.account_id), message, at)
    reached, known = {State.PROCESSED}, _numbers(tx, message)
    for number in told.numbers:
        recipient = _reported(tx, device, message, known, number.number)
        if recipient is not None:
            stands = _tell(tx, word, recipient, number)
            reached |= {stands} if stands else set()
    if len(reached) > 1:
        _stamp(tx, message, at, reached)


def _believed(at: Milliseconds, message: Message, now: Milliseconds) -> Milliseconds:
    earliest = message.created_at - CLOCK_SLACK_MS
    return at if earliest <= at <= now + CLOCK_SLACK_MS else now


def _stamp(
    tx: Tx, message: Message, at: Mapping[State, Milliseconds], reached: Iterable[State]
) -> None:
    """Keep when the message came to the states that lie behind it; the first word stays."""
    for state in {*reached, State.SENT} if State.DELIVERED in reached else set(reached):
        if state in at and state not in (State.PENDING, State.CANCELLING):
            tx.messages.stamp(message.account_id, message.id, state, at[state])


def reported_recipient(tx: Tx, device: Device, message: Message, number: str) -> Recipient | None:
    """Return who the phone means: the very number, or else with ``+`` before it. None: nobody whom
    this phone ever had to reach."""
    return _reported(tx, device, message, _numbers(tx, message), number)


def _numbers(tx: Tx, message: Message) -> dict[str, int]:
    """Return which recipient has which number: read once for all that a report says."""
    return {r.number: r.n for r in tx.recipients.of(message.account_id, message.id)}


def _reported(
    tx: Tx, device: Device, message: Message, known: Mapping[str, int], number: str
) -> Recipient | None:
    n = known.get(number, known.get(f"+{number}"))
    found = None if n is None else tx.recipients.one(message.account_id, message.id, n)
    if found is None or found.lane == device.id or tx.phone_queues.tried(found, device.id):
        return found
    return None


def _tell(tx: Tx, word: _Word, old: Recipient, told: NumberReport) -> State | None:
    """Apply what is said of one number; return where it stands then, or None if it is no news."""
    device, policy, message = word.device, word.policy, word.message
    signal = SIGNAL_OF.get(told.state)
    lost = old.lane != device.id  # then only that it is out is news
    if signal is None or (lost and signal not in (Signal.SENT, Signal.DELIVERED)):
        return None
    if old.due_at is not None and old.state in UNSENT and not lost and old.holder != device.id:
        old = hold(tx, message, old, policy) or old  # it has it, whoever told it so
    in_parts = told.said is None and waits_for_parts(device, policy, message)
    if in_parts and signal is Signal.DELIVERED and old.state is not State.FAILED:
        return _await_parts(tx, word, old, told)
    state = advance(old.state, signal)
    if state in (State.PENDING, State.PROCESSED, State.CANCELLING):
        new = msgspec.structs.replace(old, state=state, provider_ref=message.id)
        if old.due_at is not None:
            new = msgspec.structs.replace(new, due_at=old.deadline)
    elif state is old.state:
        return state
    else:
        if state is State.DELIVERED:
            old = _sent_before(tx, word, old)
        new = _ended(tx, device, old, state, told.error)
    _store(tx, word, old, new, said=told.said)
    return new.state


def _await_parts(tx: Tx, word: _Word, old: Recipient, told: NumberReport) -> State:
    """All parts are out, and it is not known how many have arrived: their events say that, or
    their time ends."""
    state = advance(old.state, Signal.SENT)
    if state is State.SENT and (old.state is not State.SENT or old.due_at is None):
        new = _ended(tx, word.device, old, state, told.error)
        new = msgspec.structs.replace(new, due_at=tx.now + PARTS_MS, holder=word.device.id)
        _store(tx, word, old, new)
    return state


def all_parts_in(tx: Tx, message: Message, old: Recipient) -> None:
    """The phone had said Delivered, and the time of the single parts is over."""
    device = tx.devices.get(old.account_id, old.lane)
    new = msgspec.structs.replace(
        old, state=State.DELIVERED, due_at=None, holder=None, uncertain=False
    )
    at = {State.DELIVERED: old.updated_at}
    if device is not None:
        _store(tx, _Word(device, policy_of(tx, old.account_id), message, at), old, new)
    elif tx.recipients.move(old, new):
        record(tx, message, new, was=old.state, times=at)


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
    state = advance(recipient.state, Signal.DELIVERED)
    if state is recipient.state:
        return
    times = {State.DELIVERED: _believed(at, message, tx.now)}
    word = _Word(device, policy_of(tx, device.account_id), message, times)
    old = _sent_before(tx, word, recipient)
    _store(tx, word, old, _ended(tx, device, old, state), said=said)


def _sent_before(tx: Tx, word: _Word, old: Recipient) -> Recipient:
    """What has arrived was sent before, and that is told first: a phone's own word of it may come
    later, and none at all by its queue, as each report tells the newest state (A §3.7)."""
    if old.state not in UNSENT:
        return old
    new = _ended(tx, word.device, old, State.SENT)
    sent_at = word.at.get(State.SENT, word.at.get(State.DELIVERED, tx.now))
    _store(tx, msgspec.structs.replace(word, at={State.SENT: sent_at}), old, new)
    return new


def _ended(
    tx: Tx, device: Device, old: Recipient, state: State, error: str | None = None
) -> Recipient:
    """Return a recipient that the phone is done with, and end its try."""
    reason = _reason(old.state, state, error)
    error = error or ("Unknown" if state is State.FAILED else None)
    error = error[:MAX_DETAIL] if error else None
    tx.phone_queues.end_try(old, device.id, OUTCOME_OF[state], reason, error)
    doubt = old.uncertain and tx.phone_queues.in_doubt(old)
    if doubt and state is State.CANCELLED:  # by this phone; another had it before
        state, reason, error = State.FAILED, Reason.UNKNOWN, ERROR_TEXT[Reason.UNKNOWN]
    return msgspec.structs.replace(
        old,
        state=state,
        lane=device.id,
        due_at=None,
        holder=None,
        uncertain=doubt,
        provider_ref=old.message_id,
        reason=reason,
        error=error,
    )


def _reason(was: State, state: State, error: str | None) -> Reason | None:
    """What the text of a failure says is free, and not read, but for the one of the app itself."""
    if state is State.CANCELLED:
        return Reason.CANCELLED
    if state is not State.FAILED:
        return None
    if error == EXPIRED_TEXT:
        return Reason.EXPIRED
    # A negative delivery report speaks of the network; before that it is the phone's own trouble.
    return Reason.DELIVERY_REJECTED if was is State.SENT else Reason.PROVIDER_ERROR


def _store(
    tx: Tx,
    word: _Word,
    old: Recipient,
    new: Recipient,
    *,
    said: Mapping[str, Any] | None = None,
) -> None:
    if new == old or not tx.recipients.move(old, new):
        return
    event = EVENT_OF_STATE.get(new.state)
    to_us = said is not None
    far = telling(word.device, word.policy, event, to_us=to_us) if event else Telling.ALL
    record(tx, word.message, new, was=old.state, times=word.at, said=said, telling=far)
    if new.lane != old.lane:
        tx.messages.carried_by(new.account_id, new.message_id, new.lane)
