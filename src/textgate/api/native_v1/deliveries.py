"""What webhooks were told, and telling it again; and the secret that signs it."""

from typing import Annotated, Any

import msgspec

from textgate.api.fields import DateTime, Instant
from textgate.api.native_v1.paging import Limit, Page, decode_cursor, page_of
from textgate.api.native_v1.shapes import when
from textgate.api.native_v1.webhooks import known_webhook
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Account, Scope
from textgate.domain.errors import Invalid, NotFound
from textgate.domain.event import CallAttempt, Delivery, DeliveryState
from textgate.domain.signing import standard_webhooks_secret
from textgate.domain.times import Milliseconds, rfc3339
from textgate.gateway import replay
from textgate.gateway.credentials import rotate_webhook_secret
from textgate.store.base import Tx

LONGEST_OVERLAP_S = 30 * 86_400


class DeliveryQuery(msgspec.Struct):
    """Which deliveries."""

    state: DeliveryState | None = None
    limit: Limit = 50
    cursor: str | None = None


class DeliveryShape(msgspec.Struct):
    """One event as one webhook is told of it."""

    event_id: str
    event: str | None
    message_id: str | None
    state: DeliveryState
    attempts: int
    created_at: DateTime
    next_attempt_at: DateTime | None
    """When it is tried again; null while it is tried, and when it is over."""
    finished_at: DateTime | None


class CallShape(msgspec.Struct):
    """One call of a webhook."""

    attempt: int
    started_at: DateTime
    elapsed_ms: float
    status: int | None
    """The HTTP status; null when there was no answer."""
    ok: bool
    detail: str | None
    """An excerpt of the answer with digits masked, or what went wrong."""


class DeliveryDetail(DeliveryShape):
    """A delivery with each of its calls."""

    calls: list[CallShape]


class Replay(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries are to be made again: those of events in [since, until)."""

    state: Annotated[
        DeliveryState | None,
        msgspec.Meta(description="dead if left out; null: dead, delivered and held."),
    ] = DeliveryState.DEAD
    since: Instant | None = None
    until: Instant | None = None


class Replayed(msgspec.Struct):
    """How many deliveries are made again."""

    replayed: int


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """How long the secret before stays good, in seconds."""

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_OVERLAP_S)] = 86_400


class SecretShape(msgspec.Struct):
    """What signs the calls of the account's webhooks."""

    secret: str
    standard_webhooks: str
    """The same in the form that Standard Webhooks libraries take."""
    previous_until: DateTime | None
    """Until when the secret before it signs too; null: there is none."""


async def _list(call: Call[DeliveryQuery, None]) -> Answer:
    query, account_id = call.query, call.account.id
    webhook = await known_webhook(call)
    position = decode_cursor(query.cursor, tuple[str])
    before = position[0] if position else None
    states = (query.state,) if query.state else ()

    def work(tx: Tx) -> Page[DeliveryShape]:
        found = tx.deliveries.page(
            account_id, webhook.key, before=before, states=states, limit=query.limit + 1
        )
        page, following = page_of(found, query.limit, lambda d: (d.event_id,))
        return Page([_shape(tx, delivery) for delivery in page], following)

    return Answer(200, await call.services.store.read(work))


def _shape(tx: Tx, delivery: Delivery) -> DeliveryShape:
    event = tx.events.get(delivery.account_id, delivery.event_id)
    return DeliveryShape(
        event_id=delivery.event_id,
        event=event.type if event else None,
        message_id=event.message_id if event else None,
        state=delivery.state,
        attempts=delivery.attempt,
        created_at=rfc3339(delivery.created_at),
        next_attempt_at=when(delivery.due_at) if delivery.holder is None else None,
        finished_at=when(delivery.finished_at),
    )


async def _get(call: Call[None, None]) -> Answer:
    account_id, event_id = call.account.id, call.path["event_id"]
    webhook = await known_webhook(call)

    def work(tx: Tx) -> DeliveryDetail:
        delivery = tx.deliveries.get(account_id, webhook.key, event_id)
        if delivery is None:
            raise NotFound("this webhook has no delivery of that event")
        calls = tx.deliveries.attempts(account_id, webhook.key, event_id)
        shown = msgspec.structs.asdict(_shape(tx, delivery))
        return DeliveryDetail(**shown, calls=[_call_shape(attempt) for attempt in calls])

    return Answer(200, await call.services.store.read(work))


def _call_shape(attempt: CallAttempt) -> CallShape:
    return CallShape(
        attempt=attempt.attempt,
        started_at=rfc3339(attempt.started_at),
        elapsed_ms=attempt.elapsed_ms,
        status=attempt.status,
        ok=attempt.ok,
        detail=attempt.detail,
    )


async def _replay_one(call: Call[None, None]) -> Answer:
    account_id, webhook_id = call.account.id, call.path["id"]
    event_id = call.path["event_id"]

    def work(tx: Tx) -> DeliveryShape:
        return _shape(tx, replay.replay_one(tx, account_id, webhook_id, event_id))

    return Answer(202, await call.services.store.write(work))


async def _replay(call: Call[None, Replay | None]) -> Answer:
    body = call.body or Replay()
    if body.state is DeliveryState.PENDING:
        raise Invalid("what is pending goes out by itself", field="state")
    if body.since is not None and body.until is not None and body.since > body.until:
        raise Invalid("since must not be after until", field="since")
    every = (DeliveryState.DEAD, DeliveryState.DELIVERED, DeliveryState.HELD)
    wanted = replay.Wanted(
        states=(body.state,) if body.state else every,
        since=body.since or 0,
        until=body.until,
    )
    account_id, webhook_id = call.account.id, call.path["id"]
    count = await replay.replay_all(call.services.store, account_id, webhook_id, wanted)
    return Answer(202, Replayed(count))


async def _secret(call: Call[Any, Any]) -> Answer:
    account_id = call.account.id
    account = await call.services.store.read(lambda tx: tx.accounts.get(account_id))
    if account is None:
        raise NotFound("account not found")
    return Answer(200, _secret_shape(account, call.services.clock.now()))


async def _rotate(call: Call[None, Rotation | None]) -> Answer:
    account_id, overlap_ms = call.account.id, (call.body or Rotation()).overlap_s * 1000
    await call.services.store.write(
        lambda tx: rotate_webhook_secret(tx, account_id, overlap_ms=overlap_ms)
    )
    return await _secret(call)


def _secret_shape(account: Account, now: Milliseconds) -> SecretShape:
    overlaps = len(account.secrets(now)) > 1
    return SecretShape(
        secret=account.webhook_secret,
        standard_webhooks=standard_webhooks_secret(account.webhook_secret),
        previous_until=rfc3339(account.previous_secret_until) if overlaps else None,
    )


_TAG = "webhooks"
_UNKNOWN = {404: "No such webhook."}
_UNKNOWN_DELIVERY = {404: "No such webhook, or it has no delivery of this event."}
OPERATIONS = (
    Operation(
        "GET",
        "/webhooks/{id}/deliveries",
        "List the deliveries of a webhook, newest event first",
        _TAG,
        Scope.WEBHOOKS_LIST,
        _list,
        query=DeliveryQuery,
        answer=Page[DeliveryShape],
        errors={**_UNKNOWN, 400: "The state, the cursor or the limit is wrong."},
    ),
    Operation(
        "GET",
        "/webhooks/{id}/deliveries/{event_id}",
        "Get a delivery with each of its calls",
        _TAG,
        Scope.WEBHOOKS_LIST,
        _get,
        answer=DeliveryDetail,
        errors=_UNKNOWN_DELIVERY,
    ),
    Operation(
        "POST",
        "/webhooks/{id}/deliveries/{event_id}/replay",
        "Make a delivery again, from the start of its schedule",
        _TAG,
        Scope.WEBHOOKS_WRITE,
        _replay_one,
        answer=DeliveryShape,
        status=202,
        errors={**_UNKNOWN_DELIVERY, 409: "It is under way, or the webhook is disabled."},
    ),
    Operation(
        "POST",
        "/webhooks/{id}/replay",
        "Make many deliveries again",
        _TAG,
        Scope.WEBHOOKS_WRITE,
        _replay,
        body=Replay,
        body_optional=True,
        answer=Replayed,
        status=202,
        errors={**_UNKNOWN, 400: "A rule is broken.", 409: "The webhook is disabled."},
    ),
    Operation(
        "GET",
        "/webhook-secret",
        "Get the secret that signs webhooks",
        _TAG,
        Scope.WEBHOOKS_WRITE,
        _secret,
        answer=SecretShape,
    ),
    Operation(
        "POST",
        "/webhook-secret/rotate",
        "Replace the secret that signs webhooks",
        _TAG,
        Scope.WEBHOOKS_WRITE,
        _rotate,
        body=Rotation,
        body_optional=True,
        answer=SecretShape,
        errors={400: "The overlap is out of range."},
    ),
)
