"""/v1/messages: what became of them, and calling them off."""

from typing import Any

import msgspec

from textgate.api.fields import DateTime
from textgate.api.native_v1.paging import (
    Page,
    Paging,
    decode_cursor,
    encode_cursor,
    page_of,
)
from textgate.api.native_v1.sending import SEND
from textgate.api.native_v1.shapes import (
    AttemptShape,
    EventShape,
    MessageShape,
    attempt_shape,
    event_shape,
    message_shape,
    when,
)
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.errors import NotFound
from textgate.domain.event import Delivery, DeliveryState, Event
from textgate.domain.message import Message, Recipient
from textgate.gateway.cancel import cancel
from textgate.store.base import Tx


class MessageDelivery(msgspec.Struct):
    """One event of a message, and one webhook that is told of it."""

    event_id: str
    event: str
    webhook_id: str | None
    """Null once the webhook has been removed."""
    state: DeliveryState
    attempts: int
    next_attempt_at: DateTime | None
    finished_at: DateTime | None


async def _list(call: Call[Paging, None]) -> Answer:
    account_id, limit = call.account.id, call.query.limit
    after = decode_cursor(call.query.cursor, tuple[int, str])

    def work(tx: Tx) -> Page[MessageShape]:
        found = tx.messages.after(account_id, after, limit + 1)
        messages, following = page_of(found, limit, lambda m: (m.created_at, m.id))
        shapes = [
            message_shape(m, tx.recipients.of(account_id, m.id), listed=True) for m in messages
        ]
        return Page(shapes, following)

    return Answer(200, await call.services.store.read(work))


def _known(tx: Tx, call: Call[Any, Any]) -> tuple[Message, list[Recipient]]:
    message = tx.messages.get(call.account.id, call.path["id"])
    if message is None:
        raise NotFound("message not found")
    return message, tx.recipients.of(message.account_id, message.id)


async def _get(call: Call[None, None]) -> Answer:
    found = await call.services.store.read(lambda tx: _known(tx, call))
    return Answer(200, message_shape(*found))


async def _cancel(call: Call[None, None]) -> Answer:
    account_id, message_id = call.account.id, call.path["id"]
    found = await call.services.store.write(lambda tx: cancel(tx, account_id, message_id))
    return Answer(200, message_shape(*found))


async def _attempts(call: Call[None, None]) -> Answer:
    def work(tx: Tx) -> Page[AttemptShape]:
        message, recipients = _known(tx, call)
        numbers = {recipient.n: recipient.number for recipient in recipients}
        attempts = tx.recipients.attempts(message.account_id, message.id)
        return Page([attempt_shape(attempt, numbers[attempt.n]) for attempt in attempts])

    return Answer(200, await call.services.store.read(work))


async def _events(call: Call[None, None]) -> Answer:
    def work(tx: Tx) -> Page[EventShape]:
        message, _ = _known(tx, call)
        return Page([event_shape(e) for e in tx.events.of_message(message.account_id, message.id)])

    return Answer(200, await call.services.store.read(work))


async def _deliveries(call: Call[Paging, None]) -> Answer:
    limit = call.query.limit
    after = decode_cursor(call.query.cursor, tuple[str, str]) or ("", "")

    def work(tx: Tx) -> Page[MessageDelivery]:
        message, _ = _known(tx, call)
        found: list[tuple[Event, Delivery]] = []
        for event in tx.events.of_message(message.account_id, message.id):
            if event.id >= after[0] and len(found) <= limit:
                deliveries = tx.deliveries.of_event(event.account_id, event.id)
                found += [(event, d) for d in deliveries if (event.id, d.lane) > after]
        kept = found[:limit]
        shapes = [_delivery_shape(tx, event, delivery) for event, delivery in kept]
        last = kept[-1][1] if len(found) > limit else None
        return Page(shapes, encode_cursor(last.event_id, last.lane) if last else None)

    return Answer(200, await call.services.store.read(work))


def _delivery_shape(tx: Tx, event: Event, delivery: Delivery) -> MessageDelivery:
    webhook = tx.webhooks.by_key(event.account_id, delivery.lane)
    return MessageDelivery(
        event_id=event.id,
        event=event.type,
        webhook_id=webhook.id if webhook else None,
        state=delivery.state,
        attempts=delivery.attempt,
        next_attempt_at=when(delivery.due_at) if delivery.holder is None else None,
        finished_at=when(delivery.finished_at),
    )


_TAG = "messages"
_UNKNOWN = {404: "No such message."}
OPERATIONS = (
    SEND,
    Operation(
        "GET",
        "/messages",
        "List messages, newest first",
        _TAG,
        Scope.MESSAGES_LIST,
        _list,
        query=Paging,
        answer=Page[MessageShape],
        errors={400: "The cursor or the limit is wrong."},
        description="One-time codes (`template_variables` named code, link, url and password) are"
        " hidden here, also in the text.",
    ),
    Operation(
        "GET",
        "/messages/{id}",
        "Get a message",
        _TAG,
        Scope.MESSAGES_READ,
        _get,
        answer=MessageShape,
        errors=_UNKNOWN,
    ),
    Operation(
        "DELETE",
        "/messages/{id}",
        "Cancel a message that has not gone out",
        _TAG,
        Scope.MESSAGES_CANCEL,
        _cancel,
        answer=MessageShape,
        errors={**_UNKNOWN, 409: "Nothing is left to cancel."},
    ),
    Operation(
        "GET",
        "/messages/{id}/attempts",
        "List the attempts to send a message",
        _TAG,
        Scope.MESSAGES_READ,
        _attempts,
        answer=Page[AttemptShape],
        errors=_UNKNOWN,
    ),
    Operation(
        "GET",
        "/messages/{id}/events",
        "List what happened to a message",
        _TAG,
        Scope.MESSAGES_READ,
        _events,
        answer=Page[EventShape],
        errors=_UNKNOWN,
    ),
    Operation(
        "GET",
        "/messages/{id}/deliveries",
        "List which webhooks are told of a message",
        _TAG,
        Scope.MESSAGES_READ,
        _deliveries,
        query=Paging,
        answer=Page[MessageDelivery],
        errors=_UNKNOWN,
    ),
)
