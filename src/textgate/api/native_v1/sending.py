"""POST /v1/messages: sending, a text or a template."""

from typing import Annotated, Any

import msgspec

from textgate.api.fields import Instant, plain
from textgate.api.native_v1.shapes import MessageShape, location, message_shape
from textgate.api.native_v1.templates import Languages, Variables
from textgate.api.native_v1.wording import own_words
from textgate.api.operation import Answer, Call, Operation, Services
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid
from textgate.domain.language import preferred_tags
from textgate.domain.message import Submission
from textgate.domain.phone import parse_phone
from textgate.domain.times import milliseconds
from textgate.gateway import templates
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


SEND = Operation(
    "POST",
    "/messages",
    "Send a message",
    "messages",
    Scope.MESSAGES_SEND,
    _send,
    body=NewMessage,
    answer=MessageShape,
    status=201,
    errors={400: "A rule is broken.", 409: "The id is taken by another message."},
    description="A repeat with the same id and content answers 200 and what became of it. Of a"
    " template the name, the languages and the variables are compared, not the text.",
)
