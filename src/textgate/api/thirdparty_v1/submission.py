"""What the dialect's messages look like on the wire, in (A §2.1)."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from textgate.api.fields import Instant, plain
from textgate.domain.errors import Invalid
from textgate.domain.message import Submission
from textgate.gateway.submit import MAX_ID_LENGTH, MAX_NUMBER_LENGTH, MAX_NUMBERS, MAX_TEXT

MAX_TTL_S = 2**31 - 1
MAX_HOURS = 24 * 366 * 100

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Number = Annotated[str, Meta(min_length=1, max_length=MAX_NUMBER_LENGTH)]


class TextMessage(msgspec.Struct):
    """A text to send."""

    text: Text


class DataMessage(msgspec.Struct):
    """A binary SMS to send."""

    data: Annotated[
        str,
        Meta(min_length=4, max_length=MAX_TEXT, extra_json_schema={"contentEncoding": "base64"}),
    ]
    port: Annotated[int, Meta(ge=1, le=65_535)]


class SendQuery(msgspec.Struct, rename="camel"):
    """Options of a send."""

    skip_phone_validation: bool = False
    device_active_within: Annotated[
        int, Meta(ge=0, le=MAX_HOURS, description="Hours; 0: any device")
    ] = 0


class SendBody(msgspec.Struct, rename="camel", kw_only=True):
    """A message to send: exactly one of textMessage, dataMessage and message."""

    phone_numbers: Annotated[list[Number], Meta(min_length=1, max_length=MAX_NUMBERS)]
    id: Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | None = None
    device_id: str | None = None
    text_message: TextMessage | None = None
    data_message: DataMessage | None = None
    message: (
        Annotated[str, Meta(max_length=MAX_TEXT, description="Old spelling of textMessage.text")]
        | None
    ) = None
    mms_message: Annotated[Any, Meta(description="Not supported: refused")] = None
    is_encrypted: bool | None = None
    sim_number: Annotated[int, Meta(ge=1, le=3)] | None = None
    with_delivery_report: bool | None = None
    priority: Annotated[int, Meta(ge=-128, le=127)] | None = None
    ttl: Annotated[int, Meta(ge=5, le=MAX_TTL_S, description="Seconds")] | None = None
    valid_until: Instant | None = None
    schedule_at: Instant | None = None


def read_submission(body: SendBody, query: SendQuery) -> Submission:
    """Return what the caller wants sent; null and empty ids are absent. Raises ``Invalid``."""
    if body.mms_message is not None:
        raise Invalid("outgoing MMS is not supported", field="mmsMessage")
    given = [c for c in (body.text_message, body.data_message, body.message or None) if c]
    if len(given) > 1:
        raise Invalid("conflict fields: textMessage, dataMessage and message exclude each other")
    text = body.message or (body.text_message.text if body.text_message else None)
    return Submission(
        numbers=tuple(body.phone_numbers),
        text=text,
        data=body.data_message.data if body.data_message else None,
        port=body.data_message.port if body.data_message else None,
        id=body.id or None,
        device_id=body.device_id or None,
        encrypted=bool(body.is_encrypted),
        sim_number=body.sim_number,
        delivery_report=body.with_delivery_report is not False,
        priority=body.priority or 0,
        ttl_ms=None if body.ttl is None else body.ttl * 1000,
        valid_until=plain(body.valid_until),
        schedule_at=plain(body.schedule_at),
        skip_validation=query.skip_phone_validation,
        active_within_hours=query.device_active_within,
    )
