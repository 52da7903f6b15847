"""What phones say in the payloads of their events (A §4.3): what is read of them, and what makes
two of them the same.

Further members are left alone: a payload goes on to the webhooks as it came.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from textgate.domain.device import SimCard
from textgate.domain.errors import Invalid
from textgate.domain.event import TIME_MEMBER, EventType
from textgate.domain.inbound import Attachment, Inbound
from textgate.domain.times import Milliseconds, parse_rfc3339

Name = Annotated[str, Meta(max_length=256)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
S = TypeVar("S", bound=msgspec.Struct)

AHEAD_MS = 86_400_000
"""A phone whose clock is further ahead of ours is not believed."""


class Kind(msgspec.Struct, frozen=True):
    """One kind of received message."""

    type: str
    """As the inbox names it (A §2.5)."""
    prefix: str
    """Of its id in the inbox (A §1.3)."""
    content: str
    """The member of the payload that holds it; empty: it has none."""
    needed: bool = False
    """Whether that member must be there."""


INCOMING: Mapping[EventType, Kind] = {
    EventType.SMS_RECEIVED: Kind("SMS", "text", "message", needed=True),
    EventType.SMS_DATA_RECEIVED: Kind("DATA_SMS", "data", "data", needed=True),
    EventType.MMS_RECEIVED: Kind("MMS", "mms-header", ""),
    EventType.MMS_DOWNLOADED: Kind("MMS_DOWNLOADED", "mms", "body"),
}
BATCHES: Mapping[EventType, EventType] = {
    EventType.SMS_BATCH_RECEIVED: EventType.SMS_RECEIVED,
    EventType.SMS_BATCH_DATA_RECEIVED: EventType.SMS_DATA_RECEIVED,
    EventType.MMS_BATCH_RECEIVED: EventType.MMS_RECEIVED,
    EventType.MMS_BATCH_DOWNLOADED: EventType.MMS_DOWNLOADED,
}
"""Events that hold several, and of what."""


class Part(msgspec.Struct, rename="camel", kw_only=True):
    """What is attached to an MMS."""

    part_id: Whole
    content_type: Name
    name: Name | None = None
    size: Whole | None = None
    data: str | None = None
    """Base64."""


class Incoming(msgspec.Struct, rename="camel", kw_only=True):
    """A message that came to the phone. Older apps give no ``messageId`` and no ``sender``."""

    received_at: str
    phone_number: Name | None = None
    sender: Name | None = None
    recipient: Name | None = None
    sim_number: Whole | None = None
    message_id: Name | None = None
    message: str | None = None
    data: str | None = None
    body: str | None = None
    subject: str | None = None
    attachments: Annotated[list[Part], Meta(max_length=1000)] | None = None


class Received(msgspec.Struct, frozen=True):
    """A message for the inbox, and what tells it from all others of its phone."""

    inbound: Inbound
    attachments: list[Attachment]
    digest: str


def read_incoming(
    event: EventType,
    payload: Mapping[str, Any],
    *,
    account_id: str,
    device_id: str,
    spare_id: str,
    now: Milliseconds,
) -> Received:
    """Read what came in. Raises ``Invalid``. ``spare_id``: for what an older app has no id for."""
    kind, said = INCOMING[event], _read(Incoming, payload)
    content = getattr(said, kind.content) if kind.content else ""
    if content is None and kind.needed:
        raise _missing(kind.content)
    sender = said.sender or said.phone_number
    if sender is None:
        raise _missing("phoneNumber")
    at = _instant(said.received_at, "receivedAt")
    parts = said.attachments or []
    inbound = Inbound(
        account_id=account_id,
        id=f"{kind.prefix}:{_shown_id(event, said.message_id) or spare_id}",
        type=kind.type,
        device_id=device_id,
        sender=sender,
        recipient=said.recipient,
        sim_number=said.sim_number,
        content=content or "",
        created_at=_believed(at, now),
        message_id=said.message_id,
        subject=said.subject,
    )
    # The bytes of attachments are left out: another telling may come without them.
    fact = digest(
        event,
        said.message_id,
        sender,
        at,
        content,
        said.subject,
        [part.part_id for part in parts],
    )
    return Received(inbound, [_attachment(inbound, part) for part in parts], fact)


def _attachment(inbound: Inbound, part: Part) -> Attachment:
    return Attachment(
        account_id=inbound.account_id,
        inbound_id=inbound.id,
        part_id=part.part_id,
        content_type=part.content_type,
        name=part.name,
        size=part.size,
        data=part.data,
    )


def _shown_id(event: EventType, message_id: str | None) -> str | None:
    """Return the id as the inbox shows it: of an SMS, the hash as a signed number (A §1.3)."""
    if not message_id or event not in (EventType.SMS_RECEIVED, EventType.SMS_DATA_RECEIVED):
        return message_id
    try:
        number = int(message_id, 16)
    except ValueError:
        return message_id
    if not 0 <= number < 2**32:
        return message_id
    return str(number - 2**32 if number >= 2**31 else number)


class Outgoing(msgspec.Struct, rename="camel", kw_only=True):
    """What became of a message for one number."""

    message_id: Annotated[str, Meta(min_length=1, max_length=256)]
    phone_number: Name | None = None
    recipient: Name | None = None
    reason: str | None = None


class Fate(msgspec.Struct, frozen=True):
    """What became of a message for one number, and when by the phone's clock."""

    message_id: str
    number: str
    at: Milliseconds
    reason: str | None


def read_outgoing(event: EventType, payload: Mapping[str, Any], now: Milliseconds) -> Fate:
    """Read what a phone says of a message that it was to send. Raises ``Invalid``."""
    said, member = _read(Outgoing, payload), TIME_MEMBER[event]
    number = said.recipient or said.phone_number
    if number is None:
        raise _missing("phoneNumber")
    told = payload.get(member)
    at = now if told is None else _believed(_instant(told, member), now)
    return Fate(said.message_id, number, at, said.reason)


class Started(msgspec.Struct, rename="camel", kw_only=True):
    """``app:started``; without the permission for it the phone gives no list."""

    sim_cards: Annotated[list[SimCard], Meta(max_length=32)] | None = None


def read_sim_cards(payload: Mapping[str, Any]) -> list[SimCard] | None:
    """Return the phone's SIMs, masked; None if it does not say. Raises ``Invalid``."""
    said = _read(Started, payload).sim_cards
    return None if said is None else [sim.masked() for sim in said]


class Batch(msgspec.Struct, kw_only=True):
    """Several payloads in one event: chunks of at most 100 (A §4.3)."""

    messages: Annotated[list[dict[str, Any]], Meta(max_length=1000)]


def read_batch(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the payloads of a batch. Raises ``Invalid``."""
    return _read(Batch, payload).messages


def digest(*what: Any) -> str:
    """Return 32 characters that stand for a business fact."""
    return hashlib.blake2b(msgspec.json.encode(what), digest_size=16).hexdigest()


def _read(wanted: type[S], payload: Mapping[str, Any]) -> S:
    try:
        return msgspec.convert(payload, wanted)
    except msgspec.ValidationError as error:
        raise Invalid(f"failed to read the payload: {error}", field="payload") from None


def _missing(member: str) -> Invalid:
    return Invalid("is required", field=f"payload.{member}")


def _instant(told: Any, member: str) -> Milliseconds:
    try:
        return parse_rfc3339(told)
    except (AttributeError, ValueError, OverflowError):  # AttributeError: it is no text
        raise Invalid("must be a date-time of RFC 3339", field=f"payload.{member}") from None


def _believed(at: Milliseconds, now: Milliseconds) -> Milliseconds:
    return at if 0 <= at <= now + AHEAD_MS else now
