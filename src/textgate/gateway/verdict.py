"""Waiting for what becomes of a message, on behalf of a caller who wants to know now."""

import asyncio

import msgspec

from textgate.domain.ingress import OnTimeout
from textgate.domain.lifecycle import OPEN, State
from textgate.domain.masking import confidential, mask_echo
from textgate.domain.message import Message, Recipient, SendAttempt
from textgate.domain.outcome import Reason
from textgate.domain.times import Clock, Milliseconds
from textgate.ingress.base import Verdict
from textgate.store.base import Store, Tx

LOOK_AGAIN_MS = 1_000
"""Another process may carry the message, and its commits wake nobody here."""


class _Seen(msgspec.Struct, frozen=True):
    """How a message stands."""

    verdict: Verdict
    decided: bool
    due_at: Milliseconds | None
    """When somebody will next act on it; None: somebody does now."""


async def await_verdict(
    store: Store,
    clock: Clock,
    message: Message,
    *,
    end: Milliseconds,
    on_timeout: OnTimeout,
    stopping: asyncio.Event,
) -> Verdict:
    """Return the first decisive outcome of a message to one number.

    At ``end``, when the server stops, and as soon as nothing can come before ``end`` any more, the
    answer is that of ``on_timeout``; the message goes on in any case.
    """
    with store.watch(message.account_id, message.id) as moved:
        while True:
            moved.clear()
            seen = await store.read(lambda tx: _look(tx, message))
            if seen.decided:
                return seen.verdict
            left = end - clock.now()
            hopeless = seen.due_at is not None and seen.due_at > end
            if left <= 0 or hopeless or stopping.is_set():
                return _undecided(seen.verdict, on_timeout)
            await _until_news(clock, min(left, LOOK_AGAIN_MS), moved, stopping)


async def _until_news(clock: Clock, ms: Milliseconds, *events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    waits_and_time = {*waits, asyncio.ensure_future(clock.sleep(ms))}
    try:
        await asyncio.wait(waits_and_time, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits_and_time:
            wait.cancel()


def _look(tx: Tx, message: Message) -> _Seen:
    recipient = tx.recipients.one(message.account_id, message.id, 0)
    if recipient is None:  # its account was removed meanwhile
        return _Seen(Verdict(reason=Reason.CANCELLED), decided=True, due_at=None)
    attempts = tx.recipients.attempts(message.account_id, message.id)
    last = next((a for a in reversed(attempts) if a.outcome is not None), None)
    channel = tx.channels.get(message.account_id, recipient.lane)
    failed = recipient.state in (State.FAILED, State.CANCELLED)
    out = recipient.state in (State.SENT, State.DELIVERED)
    verdict = Verdict(
        reason=_reason(recipient) if failed else None,
        description="" if out else _description(message, recipient, last),
        provider_code="" if out or last is None else last.code or "",
        channel=channel.name if channel else "",
        provider=channel.provider if channel else "",
    )
    due_at = recipient.due_at if recipient.holder is None else None
    return _Seen(verdict, decided=recipient.state not in OPEN, due_at=due_at)


def _reason(recipient: Recipient) -> Reason:
    try:
        return Reason(recipient.reason or Reason.UNKNOWN)
    except ValueError:  # a provider from outside, in its own words
        return Reason.UNKNOWN


def _description(message: Message, recipient: Recipient, last: SendAttempt | None) -> str:
    """Return what went wrong last, without what it may repeat of the message."""
    told = (last.detail or last.reason or "") if last is not None else ""
    if recipient.error and (last is None or recipient.reason != last.reason):
        told = f"{recipient.error}; before that: {told}" if told else recipient.error
    context = msgspec.json.decode(message.context) if message.context else {}
    return mask_echo(told, confidential(recipient.number, message.text, context))


def _undecided(verdict: Verdict, on_timeout: OnTimeout) -> Verdict:
    trouble = f": {verdict.description}" if verdict.description else ""
    if on_timeout is OnTimeout.OK:
        told = f"Accepted, and not out yet{trouble}"
        return msgspec.structs.replace(verdict, description=told, provider_code="")
    told = f"Not out in time, and tried on{trouble}"
    return msgspec.structs.replace(verdict, reason=Reason.TIMEOUT, description=told)
