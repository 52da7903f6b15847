"""Received messages (A §2.5)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from textgate.api.attachments import name_of, read_attachment
from textgate.api.fields import EARLIEST, LATEST, DateTime, Instant
from textgate.api.operation import Answer, Call, Content, Operation
from textgate.api.thirdparty_v1.messages import check_span
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid
from textgate.domain.inbound import Attachment, Inbound
from textgate.domain.times import rfc3339
from textgate.gateway.inbox import Refresh
from textgate.gateway.inbox import refresh as ask_phones
from textgate.store.base import Tx

PREVIEW = 100
"""Characters of a message that a list shows."""

Kind = Literal["SMS", "DATA_SMS", "MMS", "MMS_DOWNLOADED"]
STORE_OF: dict[Kind, Literal["SMS", "MMS"]] = {
    "SMS": "SMS",
    "DATA_SMS": "SMS",
    "MMS": "MMS",
    "MMS_DOWNLOADED": "MMS",
}
DeviceId = Annotated[str, Meta(max_length=21)]


class InboxQuery(msgspec.Struct, rename="camel"):
    """Which received messages, and how many."""

    type: Kind | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    offset: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    from_: Instant | None = msgspec.field(default=None, name="from")
    to: Instant | None = None
    device_id: Annotated[str, Meta(min_length=21, max_length=21)] | None = None
    include_attachments: bool = False


class AttachmentShape(msgspec.Struct, rename="camel"):
    """A part of a downloaded MMS."""

    part_id: int
    name: str
    size: int
    """Bytes; 0 if the phone did not say."""
    content_type: str


class IncomingMessage(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A received message."""

    id: str
    type: str
    device_id: str
    sender: str
    recipient: str | None = None
    sim_number: int | None = None
    content_preview: str
    created_at: DateTime
    attachments: list[AttachmentShape] | None = None
    """There if they were asked for, and then always."""


class RefreshBody(msgspec.Struct, rename="camel", kw_only=True):
    """What a phone shall read again."""

    since: Instant
    until: Instant
    device_id: DeviceId | None = None
    message_types: list[Kind] | None = None
    webhook_delivery: Literal["Disabled", "Individual", "Batch"] | None = None
    trigger_webhooks: bool | None = None


class ExportBody(msgspec.Struct, rename="camel", kw_only=True):
    """What a phone shall tell the webhooks of again."""

    since: Instant
    until: Instant
    device_id: DeviceId | None = None


class Nothing(msgspec.Struct):
    """An empty object."""


def _shown(inbound: Inbound, attachments: list[Attachment] | None) -> IncomingMessage:
    content = inbound.content
    preview = content if len(content) <= PREVIEW else content[:PREVIEW] + "…"
    return IncomingMessage(
        id=inbound.id,
        type=inbound.type,
        device_id=inbound.device_id,
        sender=inbound.sender,
        recipient=inbound.recipient,
        sim_number=inbound.sim_number,
        content_preview=preview,
        created_at=rfc3339(inbound.created_at),
        attachments=None if attachments is None else [_attached(a) for a in attachments],
    )


def _attached(attachment: Attachment) -> AttachmentShape:
    return AttachmentShape(
        part_id=attachment.part_id,
        name=name_of(attachment),
        size=attachment.size or 0,
        content_type=attachment.content_type,
    )


async def listed(call: Call[InboxQuery, None]) -> Answer:
    query, account_id = call.query, call.account.id
    check_span(query.from_, query.to)

    def look(tx: Tx) -> tuple[list[IncomingMessage], int]:
        found, total = tx.inbox.page(
            account_id,
            since=EARLIEST if query.from_ is None else query.from_,
            until=LATEST if query.to is None else query.to,
            kind=query.type,
            device_id=query.device_id,
            limit=query.limit,
            offset=query.offset,
        )
        wanted = query.include_attachments
        return [
            _shown(one, tx.inbox.attachments(account_id, one.id) if wanted else None)
            for one in found
        ], total

    messages, total = await call.services.store.read(look)
    return Answer(200, messages, (("X-Total-Count", str(total)),))


async def attachment(call: Call[None, None]) -> Content:
    store, account_id = call.services.store, call.account.id
    return await read_attachment(store, account_id, call.path["id"], call.path["partId"])


async def refresh(call: Call[None, RefreshBody]) -> Answer:
    """Ask the phones, now or when they are next in reach; 202 whatever they have."""
    body = call.body
    delivery = body.webhook_delivery or ("Individual" if body.trigger_webhooks else "Disabled")
    # A phone knows the two kinds of store that it reads, and not what is told apart in ours.
    kinds = tuple(dict.fromkeys(STORE_OF[kind] for kind in body.message_types or ()))
    await _ask(call, Refresh(since=body.since, until=body.until, kinds=kinds, delivery=delivery))
    return Answer(202, Nothing())


async def export(call: Call[None, ExportBody]) -> Answer:
    """The old form of ``refresh``: SMS, each told to the webhooks."""
    body = call.body
    await _ask(call, Refresh(since=body.since, until=body.until, delivery="Individual"))
    return Answer(202, Nothing(), (("Deprecation", "true"),))


async def _ask(call: Call[None, Any], wanted: Refresh) -> None:
    account_id, device_id = call.account.id, call.body.device_id or None
    _check_since(wanted.since, wanted.until)
    await call.services.store.write(
        lambda tx: ask_phones(tx, account_id, wanted, device_id=device_id)
    )


def _check_since(since: int, until: int) -> None:
    if since > until:
        raise Invalid("must not be after until", field="since")


_ASKED = (
    "Every phone of the account, or the one that is named, is asked when it is next in reach. What"
    " the inbox already holds is passed over. A phone that nobody knows is accepted, and nothing is"
    " done."
)
OPERATIONS = (
    Operation(
        "GET",
        "/inbox",
        "List received messages",
        "inbox",
        Scope.INBOX_LIST,
        listed,
        query=InboxQuery,
        answer=list[IncomingMessage],
        description="The header `X-Total-Count` holds how many match in all.",
    ),
    Operation(
        "GET",
        "/inbox/{id}/attachments/{partId}",
        "Read an attachment of a received message",
        "inbox",
        Scope.INBOX_READ,
        attachment,
        answer=bytes,
        answer_type="application/octet-stream",
        errors={
            400: "The part is no number.",
            404: "No such part, or the phone did not send its bytes.",
        },
        description="Of the type that the phone says, as a file to be saved.",
    ),
    Operation(
        "POST",
        "/inbox/refresh",
        "Have phones read their inbox again",
        "inbox",
        Scope.INBOX_REFRESH,
        refresh,
        body=RefreshBody,
        answer=Nothing,
        status=202,
        description=_ASKED,
    ),
    Operation(
        "POST",
        "/messages/inbox/export",
        "Have phones export their inbox to the webhooks (deprecated)",
        "inbox",
        Scope.MESSAGES_EXPORT,
        export,
        body=ExportBody,
        answer=Nothing,
        status=202,
        aliases=("/inbox/export",),
        description=_ASKED,
    ),
)
