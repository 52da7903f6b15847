"""What this API shows of a message, its attempts and its events."""

from typing import Any
from urllib.parse import quote

import msgspec

from textgate.api.fields import DateTime
from textgate.api.operation import Headers
from textgate.domain.event import Event
from textgate.domain.lifecycle import OPEN, State
from textgate.domain.masking import mask_digits, mask_one_time
from textgate.domain.message import Message, Recipient, SendAttempt
from textgate.domain.times import Milliseconds, rfc3339


class RecipientShape(msgspec.Struct):
    """One number of a message."""

    number: str
    state: State
    channel_id: str
    """The channel that has it, or had it last."""
    reason: str | None
    """The class of what went wrong last."""
    error: str | None
    attempts: int
    next_attempt_at: DateTime | None
    """When it is tried again; null while it is tried, and when it is over."""
    deadline: DateTime
    provider_ref: str | None
    updated_at: DateTime


class MessageShape(msgspec.Struct):
    """A message, and what became of it."""

    id: str
    state: State
    created_at: DateTime
    channel_id: str
    """The channel that was chosen first."""
    recipients: list[RecipientShape]
    reached: dict[str, DateTime]
    """When the message first reached each state."""
    text: str | None
    data: str | None
    port: int | None
    parts: int | None
    """SMS parts for each recipient; null if they cannot be known."""
    encrypted: bool
    sim_number: int | None
    delivery_report: bool
    priority: int
    valid_until: DateTime | None
    schedule_at: DateTime | None
    context: dict[str, Any] | None


class AttemptShape(msgspec.Struct):
    """One try of a channel to send to one number."""

    number: str
    attempt: int
    channel_id: str
    started_at: DateTime
    elapsed_ms: float | None
    """Null while it runs, and for ever if the server died in it."""
    outcome: str | None
    """accepted, deferred, rejected or unknown."""
    reason: str | None
    code: str | None
    """What the provider calls it."""
    detail: str | None
    """What the provider said, with digits masked."""
    trace: dict[str, Any] | None
    """More to read, if the provider tells it: what a script did, its message and secrets hidden."""


class EventShape(msgspec.Struct):
    """Something that happened."""

    id: str
    type: str
    created_at: DateTime
    device_id: str
    message_id: str | None
    payload: dict[str, Any]


def location(place: str, id: str) -> Headers:  # noqa: A002
    """The header that says where a new thing is; ids of callers may hold anything."""
    return (("Location", f"/v1/{place}/{quote(id, safe='')}"),)


def when(ms: Milliseconds | None) -> DateTime | None:
    """A time that may not have come."""
    return None if ms is None else rfc3339(ms)


def message_shape(
    message: Message, recipients: list[Recipient], *, listed: bool = False
) -> MessageShape:
    """``listed``: among others, so its one-time codes are hidden."""
    text, context = message.text, msgspec.json.decode(message.context or "null")
    if listed:
        text, context = mask_one_time(text, context)
    return MessageShape(
        id=message.id,
        state=message.state,
        created_at=rfc3339(message.created_at),
        channel_id=message.device_id,
        recipients=[_recipient_shape(recipient) for recipient in recipients],
        reached={str(state): rfc3339(at) for state, at in message.reached().items()},
        text=text,
        data=message.data,
        port=message.port,
        parts=message.parts if message.parts >= 0 else None,
        encrypted=message.encrypted,
        sim_number=message.sim_number,
        delivery_report=message.delivery_report,
        priority=message.priority,
        valid_until=when(message.valid_until),
        schedule_at=when(message.schedule_at),
        context=context,
    )


def _recipient_shape(recipient: Recipient) -> RecipientShape:
    waits = recipient.state in OPEN and recipient.holder is None and recipient.due_at is not None
    # A priority is kept as a due time before now: nothing waits since before it was made.
    due_at = max(recipient.due_at or 0, recipient.updated_at) if waits else None
    return RecipientShape(
        number=recipient.number,
        state=recipient.state,
        channel_id=recipient.lane,
        reason=recipient.reason,
        error=recipient.error,
        attempts=recipient.attempt,
        next_attempt_at=when(due_at),
        deadline=rfc3339(recipient.deadline),
        provider_ref=recipient.provider_ref,
        updated_at=rfc3339(recipient.updated_at),
    )


def attempt_shape(attempt: SendAttempt, number: str) -> AttemptShape:
    return AttemptShape(
        number=number,
        attempt=attempt.attempt,
        channel_id=attempt.channel_id,
        started_at=rfc3339(attempt.started_at),
        elapsed_ms=attempt.elapsed_ms,
        outcome=attempt.outcome,
        reason=attempt.reason,
        code=attempt.code,
        detail=mask_digits(attempt.detail) if attempt.detail else None,
        trace=attempt.trace,
    )


def event_shape(event: Event) -> EventShape:
    return EventShape(
        id=event.id,
        type=event.type,
        created_at=rfc3339(event.created_at),
        device_id=event.device_id,
        message_id=event.message_id,
        payload=msgspec.json.decode(event.payload),
    )
