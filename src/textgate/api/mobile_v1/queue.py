"""The queue of a phone and its reports (A §3.6, §3.7)."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from textgate.api.fields import DateTime, Instant
from textgate.api.operation import Answer, Call, Operation
from textgate.api.thirdparty_v1.shapes import DataContent, TextContent
from textgate.domain.lifecycle import State
from textgate.domain.message import Message
from textgate.domain.times import Milliseconds, rfc3339
from textgate.gateway import phone_queue
from textgate.gateway.phone_queue import NumberReport, Order, Queued, Report
from textgate.gateway.submit import MAX_ID_LENGTH, MAX_NUMBER_LENGTH, MAX_NUMBERS

T = TypeVar("T")

MOST_REPORTS = 1_000
AT_ONCE = 100
"""Numbers that one write takes of a report or of what is fetched, or one message: it keeps the
event loop."""
MAX_STATE = 64
MAX_ERROR = 4_096
STATES = {state.value: state for state in State}


class Fetch(msgspec.Struct):
    """In which order: of messages of the same priority the newest first, or the oldest."""

    order: Order = "lifo"


class QueuedMessage(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A message to send or to cancel. Members that are null or usual are left out."""

    id: str
    message: str | None = None
    """The text once more, for old apps."""
    text_message: TextContent | None = None
    data_message: DataContent | None = None
    phone_numbers: list[str]
    is_encrypted: bool = False
    sim_number: int | None = None
    with_delivery_report: bool | None = None
    priority: int = 0
    ttl: int | None = None
    """Seconds that are left."""
    valid_until: DateTime | None = None
    schedule_at: DateTime | None = None
    state: State
    created_at: DateTime


class ReportedNumber(msgspec.Struct, rename="camel"):
    """What became of it for one number."""

    phone_number: Annotated[str, Meta(min_length=1, max_length=MAX_NUMBER_LENGTH)]
    state: Annotated[str, Meta(max_length=MAX_STATE)]
    error: Annotated[str, Meta(max_length=MAX_ERROR)] | None = None
    """Kept up to 256 characters."""


class ReportedMessage(msgspec.Struct, rename="camel"):
    """What became of a message. Names of states that are unknown are ignored, each by itself."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    recipients: Annotated[list[ReportedNumber], Meta(min_length=1, max_length=MAX_NUMBERS)]
    state: Annotated[str, Meta(max_length=MAX_STATE)] | None = None
    """Of the message as a whole: not read, it follows from its numbers."""
    states: Annotated[dict[str, Instant], Meta(max_length=MAX_STATE)] | None = None
    """When it came to each, by the phone's clock."""


async def fetched(call: Call[Fetch, None]) -> Answer:
    """What the phone has yet to take. Most phones find nothing: then nothing is written."""
    store, device, order = call.services.store, call.device, call.query.order
    found = await store.read(lambda tx: phone_queue.waiting(tx, device, order=order))
    if any(r.holder != device.id for queued in found for r in queued.recipients):
        taken = []
        for some in _portions(found, lambda queued: len(queued.recipients)):
            taken += await store.write(partial(phone_queue.take, device=device, queued=some))
        found = taken
    now = call.services.clock.now()
    return Answer(200, [queued_message(queued, now) for queued in found])


def queued_message(queued: Queued, now: Milliseconds) -> QueuedMessage:
    """Return the form in which a phone reads a message (A §3.6)."""
    m = queued.message
    data = None if m.data is None else DataContent(m.data, m.port or 0)
    return QueuedMessage(
        id=m.id,
        message=m.text,
        text_message=None if m.text is None else TextContent(m.text),
        data_message=data,
        phone_numbers=[r.number for r in queued.recipients],
        is_encrypted=m.encrypted,
        sim_number=m.sim_number,
        with_delivery_report=m.delivery_report,
        priority=m.priority,
        ttl=_seconds_left(m, now),
        valid_until=None if m.valid_until is None else rfc3339(m.valid_until),
        schedule_at=None if m.schedule_at is None else rfc3339(m.schedule_at),
        state=queued.state,
        created_at=rfc3339(m.created_at),
    )


def _seconds_left(message: Message, now: Milliseconds) -> int | None:
    if message.valid_until is None:
        return None
    return max(0, (message.valid_until - now) // 1000)


async def reported(call: Call[None, list[ReportedMessage]]) -> Answer:
    """204 whatever is said, if only it can be read: on an error the app repeats it for hours."""
    device = call.device
    reports = map(_report, call.body)
    for some in _portions(reports, lambda report: len(report.numbers)):
        await call.services.store.write(partial(phone_queue.report, device=device, reports=some))
    return Answer(204)


def _portions(all_of_it: Iterable[T], numbers: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield as much as one write takes. What a crash leaves undone, the phone asks for again."""
    some: list[T] = []
    count = 0
    for one in all_of_it:
        count += numbers(one)
        if some and count > AT_ONCE:
            yield some
            some, count = [], numbers(one)
        some.append(one)
    if some:
        yield some


def _report(told: ReportedMessage) -> Report:
    return Report(
        message_id=told.id,
        numbers=[
            NumberReport(number=n.phone_number, state=STATES[n.state], error=n.error)
            for n in told.recipients
            if n.state in STATES
        ],
        at={STATES[name]: int(at) for name, at in (told.states or {}).items() if name in STATES},
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/message",
        "Fetch what is to be sent or cancelled",
        "queue",
        None,
        fetched,
        query=Fetch,
        answer=list[QueuedMessage],
        aliases=("/messages",),
        for_phones=True,
        description="At most 100. The same messages come again until the phone reports on them.",
    ),
    Operation(
        "PATCH",
        "/message",
        "Report what became of messages",
        "queue",
        None,
        reported,
        body=Annotated[list[ReportedMessage], Meta(max_length=MOST_REPORTS)],
        status=204,
        aliases=("/messages",),
        for_phones=True,
        description="What is unknown, repeated or late changes nothing.",
    ),
)
