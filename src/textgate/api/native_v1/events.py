"""/v1/events: everything that happened, for a receiver that was down or that would rather ask."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec

from textgate.api.native_v1.paging import Limit
from textgate.api.native_v1.shapes import EventShape, event_shape
from textgate.api.operation import Answer, Call, Operation, Stream
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid, NotFound, Unavailable
from textgate.domain.event import Event
from textgate.domain.identity import is_id
from textgate.store.base import Tx

LATEST = "latest"
POLL_MS = 1_000
"""A stream looks for news this often."""
KEEP_ALIVE_MS = 15_000
"""Proxies cut a connection that is silent for long."""
STREAM_PAGE = 100
"""Events in memory for one stream: the store holds the others until the caller has read these."""
MAX_STREAMS = 20
"""Per account, in one process: each asks the store once a second."""
RECONNECT_MS = 3_000

_encode = msgspec.json.Encoder().encode
_streams: Counter[str] = Counter()

After = (
    Annotated[
        str,
        msgspec.Meta(
            description="The id of the last event known, or latest; left out: the beginning.",
        ),
    ]
    | None
)


class FeedQuery(msgspec.Struct):
    """Which part of the feed."""

    after: After = None
    limit: Limit = 50


class StreamQuery(msgspec.Struct):
    """Where the stream begins; the header Last-Event-ID is stronger."""

    after: After = None


class FeedPage(msgspec.Struct):
    """Events, the oldest first. ``next`` is the ``after`` of the next request, also when nothing
    is new; null only while nothing has happened at all."""

    items: list[EventShape]
    next: str | None


def _known(after: str, field: str) -> str:
    """Return ``after`` if a feed can go on from it: an id, ``latest``, or empty for the beginning.

    Raises ``Invalid``: a receiver that keeps something else would wait for ever, or begin anew.
    """
    if after and after != LATEST and not is_id(after):
        raise Invalid(f"{field} must be the id of an event, or {LATEST}", field=field)
    return after


async def _feed(call: Call[FeedQuery, None]) -> Answer:
    account_id, query = call.account.id, call.query
    after = _known(query.after or "", "after")

    def work(tx: Tx) -> FeedPage:
        if after == LATEST:
            return FeedPage([], tx.events.last_id(account_id) or None)
        events = tx.events.after(account_id, after, query.limit)
        last = events[-1].id if events else after or None
        return FeedPage([event_shape(event) for event in events], last)

    return Answer(200, await call.services.store.read(work))


async def _get(call: Call[None, None]) -> Answer:
    account_id, event_id = call.account.id, call.path["id"]
    event = await call.services.store.read(lambda tx: tx.events.get(account_id, event_id))
    if event is None:
        raise NotFound("event not found")
    return Answer(200, event_shape(event))


async def _stream(call: Call[StreamQuery, None]) -> Stream:
    account_id = call.account.id
    after = _known(call.headers.get("last-event-id", ""), "Last-Event-ID")
    after = after or _known(call.query.after or "", "after")
    if after == LATEST:
        after = await call.services.store.read(lambda tx: tx.events.last_id(account_id))
    if _streams[account_id] >= MAX_STREAMS:
        raise Unavailable(f"this account has {MAX_STREAMS} event streams open; close one first")
    return Stream(_frames(call, after))


async def _frames(call: Call[Any, Any], after: str) -> AsyncIterator[bytes]:
    """Yield the events after an id as they come, until the caller goes or may no longer read."""
    account_id, clock = call.account.id, call.services.clock
    _streams[account_id] += 1
    try:
        yield b"retry: %d\n: events follow\n\n" % RECONNECT_MS
        spoke_at = clock.now()
        while (events := await _news(call, after)) is not None:
            if events:
                after = events[-1].id
                spoke_at = clock.now()
                yield b"".join(map(_frame, events))
            elif clock.now() - spoke_at >= KEEP_ALIVE_MS:
                spoke_at = clock.now()
                yield b": nothing new\n\n"
            if len(events) < STREAM_PAGE:
                await clock.sleep(POLL_MS)
    finally:
        _streams[account_id] -= 1
        if not _streams[account_id]:
            del _streams[account_id]


async def _news(call: Call[Any, Any], after: str) -> list[Event] | None:
    """Return the next events after an id; None once the caller's credentials are no longer good."""
    caller, now = call.caller, call.services.clock.now()
    assert caller is not None, "the operation is not public"

    def work(tx: Tx) -> list[Event] | None:
        account = tx.accounts.get(caller.account.id)
        if account is None or account.password_hash != caller.account.password_hash:
            return None
        if caller.token_id is not None:
            token = tx.tokens.get(account.id, caller.token_id)
            if token is None or token.revoked_at is not None or token.expires_at <= now:
                return None
        return tx.events.after(account.id, after, STREAM_PAGE)

    return await call.services.store.read(work)


def _frame(event: Event) -> bytes:
    data = _encode(event_shape(event))  # one line: JSON escapes line ends
    return b"id: %b\ndata: %b\n\n" % (event.id.encode(), data)


_TAG = "events"
OPERATIONS = (
    Operation(
        "GET",
        "/events",
        "Read the feed of events, oldest first",
        _TAG,
        Scope.EVENTS_READ,
        _feed,
        query=FeedQuery,
        answer=FeedPage,
        errors={400: "The limit is wrong, or after is no id."},
        description="Ask again with after=<next> to go on; next stays when nothing is new.",
    ),
    Operation(
        "GET",
        "/events/stream",
        "Follow the feed as server-sent events",
        _TAG,
        Scope.EVENTS_READ,
        _stream,
        query=StreamQuery,
        answer=str,
        answer_type="text/event-stream",
        errors={
            400: "after or Last-Event-ID is no id.",
            503: "The account has too many streams open.",
        },
        description="Each message has the event's id, and as data what GET /v1/events/{id} shows."
        " A header Last-Event-ID, as browsers send it, continues where the stream broke off.",
    ),
    Operation(
        "GET",
        "/events/{id}",
        "Get an event",
        _TAG,
        Scope.EVENTS_READ,
        _get,
        answer=EventShape,
        errors={404: "No such event."},
    ),
)
