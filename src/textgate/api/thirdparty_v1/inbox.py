"""Received messages (A §2.5)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from textgate.api.fields import LATEST, DateTime, Instant
from textgate.api.operation import Answer, Call, Operation
from textgate.api.thirdparty_v1.messages import check_span
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid
from textgate.domain.inbound import Inbound
from textgate.domain.times import rfc3339

PREVIEW = 100
"""Characters of a message that a list shows."""

DeviceId = Annotated[str, Meta(max_length=21)]


class InboxQuery(msgspec.Struct, rename="camel"):
    """Which received messages, and how many."""

    type: Literal["SMS", "DATA_SMS", "MMS", "MMS_DOWNLOADED"] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    offset: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    from_: Instant | None = msgspec.field(default=None, name="from")
    to: Instant | None = None
    device_id: Annotated[str, Meta(min_length=21, max_length=21)] | None = None


class IncomingMessage(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A received message."""

    id: str
    type: str
    sender: str
    recipient: str | None = None
    sim_number: int | None = None
    content_preview: str
    created_at: DateTime


class RefreshBody(msgspec.Struct, rename="camel", kw_only=True):
    """What a phone shall read again."""

    since: Instant
    until: Instant
    device_id: DeviceId | None = None
    message_types: list[Literal["SMS", "DATA_SMS", "MMS", "MMS_DOWNLOADED"]] | None = None
    webhook_delivery: Literal["Disabled", "Individual", "Batch"] | None = None
    trigger_webhooks: bool | None = None


class ExportBody(msgspec.Struct, rename="camel", kw_only=True):
    """What a phone shall tell the webhooks of again."""

    since: Instant
    until: Instant
    device_id: DeviceId | None = None


class Nothing(msgspec.Struct):
    """An empty object."""


def _shown(inbound: Inbound) -> IncomingMessage:
    content = inbound.content
    preview = content if len(content) <= PREVIEW else content[:PREVIEW] + "…"
    return IncomingMessage(
        id=inbound.id,
        type=inbound.type,
        sender=inbound.sender,
        recipient=inbound.recipient,
        sim_number=inbound.sim_number,
        content_preview=preview,
        created_at=rfc3339(inbound.created_at),
    )


async def listed(call: Call[InboxQuery, None]) -> Answer:
    query, account_id = call.query, call.account.id
    check_span(query.from_, query.to)
    found, total = await call.services.store.read(
        lambda tx: tx.inbox.page(
            account_id,
            since=query.from_ or 0,
            until=LATEST if query.to is None else query.to,
            kind=query.type,
            device_id=query.device_id,
            limit=query.limit,
            offset=query.offset,
        )
    )
    return Answer(200, [_shown(i) for i in found], (("X-Total-Count", str(total)),))


async def refresh(call: Call[None, RefreshBody]) -> Answer:
    """Nothing has anything stored to read again unless it is a phone, and there is none."""
    _check_since(call.body.since, call.body.until)
    return Answer(202, Nothing())


async def export(call: Call[None, ExportBody]) -> Answer:
    """The old form of ``refresh``."""
    _check_since(call.body.since, call.body.until)
    return Answer(202, Nothing(), (("Deprecation", "true"),))


def _check_since(since: int, until: int) -> None:
    if since > until:
        raise Invalid("must not be after until", field="since")


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
        "POST",
        "/inbox/refresh",
        "Have phones read their inbox again",
        "inbox",
        Scope.INBOX_REFRESH,
        refresh,
        body=RefreshBody,
        answer=Nothing,
        status=202,
        description="An account without phones has nothing to read: accepted, and nothing is done.",
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
        description="An account without phones has nothing to read: accepted, and nothing is done.",
    ),
)
