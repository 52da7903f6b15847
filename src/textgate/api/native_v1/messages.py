"""/v1/messages: sending, and what became of it."""

from typing import Annotated, Any

import msgspec

from textgate.api.fields import DateTime, Instant, plain
from textgate.api.native_v1.paging import (
    Page,
    Paging,
    decode_cursor,
    encode_cursor,
    page_of,
)
from textgate.api.native_v1.shapes import (
    AttemptShape,
    EventShape,
    MessageShape,
    attempt_shape,
    event_shape,
    location,
    message_shape,
    when,
)
from textgate.api.native_v1.templates import Languages, Variables
from textgate.api.native_v1.wording import own_words
from textgate.api.operation import Answer, Call, Operation, Services
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid, NotFound
from textgate.domain.event import Delivery, DeliveryState, Event
from textgate.domain.language import preferred_tags
from textgate.domain.message import Message, Recipient, Submission
from textgate.domain.phone import parse_phone
from textgate.domain.times import milliseconds
from textgate.gateway import templates
from textgate.gateway.cancel import cancel
from textgate.gateway.submit import Submitted, check, repeat_of, submit
from textgate.gateway.templates import Order
from textgate.store.base import Tx
from textgate.telemetry import ACCEPTED

DOOR = "native_v1"
"""This way in, in the metrics."""


class NewMessage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be sent, to whom: ``text``, ``template``, or ``data`` and ``port``."""

    to: Annotated[
        str | list[str], msgspec.Meta(description="One number or up to 100, in the form +41…")
    ]
    text: str | None = None
    template: Annotated[
        str | None, msgspec.Meta(description="The name of a template, instead of text.")
    ] = None
    language: Languages | None = None
    variables: Variables | None = None
    data: Annotated[
        str | None, msgspec.Meta(description="A binary message in base64; needs port.")
    ] = None
    port: int | None = None
    id: Annotated[
        str | None,
        msgspec.Meta(description="Your name for it, up to 36 characters; makes a repeat safe."),
    ] = None
    channel: Annotated[
        str | None, msgspec.Meta(description="The id of the only channel that may carry it.")
    ] = None
    priority: Annotated[
        int, msgspec.Meta(description="From -128 to 127; a point is worth a minute of waiting.")
    ] = 0
    ttl_s: Annotated[
        int | None, msgspec.Meta(description="Seconds in which it must go out; at least 5.")
    ] = None
    valid_until: Instant | None = None
    schedule_at: Instant | None = None
    sim_number: int | None = None
    delivery_report: bool = True
    encrypted: bool = False
    context: Annotated[
        dict[str, Any] | None, msgspec.Meta(description="Travels with it to the channel.")
    ] = None


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


async def _send(call: Call[None, NewMessage]) -> Answer:
    wanted, account_id = _submission(call.body), call.account.id
    order = _order(call.body, wanted, call.services.settings.default_region)
    if order is None:
        sent = await send(call.services, account_id, wanted)
    else:
        sent = await _send_template(call.services, account_id, wanted, order)
    shape = message_shape(sent.message, sent.recipients)
    return Answer(201 if sent.created else 200, shape, location("messages", sent.message.id))


async def send(services: Services, account_id: str, wanted: Submission) -> Submitted:
    """Check and store a message; errors speak the words of this API."""
    settings = services.settings
    validity_ms = milliseconds(settings.message_validity)
    with own_words(device="channel"):
        checked = check(wanted, default_region=settings.default_region)
        sent = await services.store.write(
            lambda tx: submit(tx, account_id, checked, validity_ms=validity_ms)
        )
    return _counted(sent)


async def _send_template(
    services: Services, account_id: str, wanted: Submission, order: Order
) -> Submitted:
    """Fill in a template, check and store the message, in one write: a text that is changed
    meanwhile counts either not at all or wholly."""
    settings = services.settings
    validity_ms = milliseconds(settings.message_validity)
    asked = templates.fingerprint_of(wanted, order)

    def work(tx: Tx) -> Submitted:
        if wanted.id and (known := repeat_of(tx, account_id, wanted.id, asked)):
            return known
        filled = templates.fill(tx, account_id, order, fallback=settings.template_language)
        written = templates.written(wanted, order, filled)
        with own_words(device="channel"):
            checked = check(written, default_region=settings.default_region)
            checked = msgspec.structs.replace(checked, fingerprint=asked)
            return submit(tx, account_id, checked, validity_ms=validity_ms)

    return _counted(await services.store.write(work))


def _counted(sent: Submitted) -> Submitted:
    if sent.created:
        ACCEPTED.inc(DOOR)
    return sent


def _order(body: NewMessage, wanted: Submission, default_region: str | None) -> Order | None:
    """Return the template that is asked for, or None; ``phone`` is the number if it is one."""
    if body.template is None:
        for name in ("language", "variables"):
            if getattr(body, name) is not None:
                raise Invalid(f"{name} is for templates only", field=name)
        return None
    if body.text is not None or body.data is not None or body.encrypted:
        raise Invalid(
            "a template takes the place of text and data, and cannot be encrypted",
            field="template",
        )
    variables = dict(body.variables or {})
    if len(wanted.numbers) == 1 and "phone" not in variables:
        with own_words():
            number = parse_phone(wanted.numbers[0], default_region=default_region)
        variables["phone"] = number.e164
    return Order(body.template, preferred_tags(body.language), variables)


def _submission(body: NewMessage) -> Submission:
    if body.port is not None and body.data is None:
        raise Invalid("port is for data messages only", field="port")
    return Submission(
        numbers=(body.to,) if isinstance(body.to, str) else tuple(body.to),
        text=body.text,
        data=body.data,
        port=body.port,
        id=body.id or None,
        device_id=body.channel,
        encrypted=body.encrypted,
        sim_number=body.sim_number,
        delivery_report=body.delivery_report,
        priority=body.priority,
        ttl_ms=None if body.ttl_s is None else body.ttl_s * 1000,
        valid_until=plain(body.valid_until),
        schedule_at=plain(body.schedule_at),
        context=body.context,
    )


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
    Operation(
        "POST",
        "/messages",
        "Send a message",
        _TAG,
        Scope.MESSAGES_SEND,
        _send,
        body=NewMessage,
        answer=MessageShape,
        status=201,
        errors={400: "A rule is broken.", 409: "The id is taken by another message."},
        description="A repeat with the same id and content answers 200 and what became of it. Of a"
        " template the name, the languages and the variables are compared, not the text.",
    ),
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
