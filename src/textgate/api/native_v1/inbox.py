"""/v1/inbox: what phones received."""

from typing import Annotated, Any, Literal

import msgspec

from textgate.api.attachments import name_of, read_attachment
from textgate.api.fields import EARLIEST, LATEST, DateTime, Instant
from textgate.api.native_v1.paging import Page, Paging, decode_cursor, page_of
from textgate.api.operation import Answer, Call, Content, Operation
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid, NotFound
from textgate.domain.inbound import Attachment, Inbound
from textgate.domain.phone import canonical
from textgate.domain.times import rfc3339
from textgate.store.base import Tx

PREVIEW = 100
"""Characters of a message that a list shows."""

Kind = Literal["SMS", "DATA_SMS", "MMS", "MMS_DOWNLOADED"]


class InboxQuery(Paging):
    """Which received messages."""

    sender: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    device_id: str | None = None
    type: Kind | None = None
    since: Instant | None = None
    """By the phone's clock, as ``until`` is."""
    until: Instant | None = None


class AttachmentShape(msgspec.Struct):
    """A part of a downloaded MMS; its bytes are at /v1/inbox/{id}/attachments/{part_id}."""

    part_id: int
    name: str
    size: int | None
    content_type: str


class Received(msgspec.Struct, kw_only=True):
    """A received message, as a list shows it."""

    id: str
    type: Kind
    device_id: str
    """The phone that received it."""
    sender: str
    recipient: str | None
    """The phone's own number, if it knows it."""
    sim_number: int | None
    subject: str | None
    """Of an MMS."""
    preview: str
    """How it begins; of a data SMS, how its base64 does."""
    received_at: DateTime
    """By the phone's clock."""
    kept_at: DateTime
    """When it came in here."""


class ReceivedWhole(Received, kw_only=True):
    """A received message with all that it holds."""

    message_id: str | None
    """The phone's name for it, which its webhooks carry."""
    text: str | None
    data: str | None
    """Base64 of a data SMS."""
    attachments: list[AttachmentShape]


async def _list(call: Call[InboxQuery, None]) -> Answer:
    query, account_id, limit = call.query, call.account.id, call.query.limit
    if query.since is not None and query.until is not None and query.since > query.until:
        raise Invalid("must not be after until", field="since")
    cursor = decode_cursor(query.cursor, tuple[int, str])
    region = call.services.settings.default_region
    found = await call.services.store.read(
        lambda tx: tx.inbox.after(
            account_id,
            cursor,
            since=EARLIEST if query.since is None else query.since,
            until=LATEST if query.until is None else query.until,
            kind=query.type,
            device_id=query.device_id,
            number=None if query.sender is None else canonical(query.sender, region),
            limit=limit + 1,
        )
    )
    kept, following = page_of(found, limit, lambda one: (one.created_at, one.id))
    return Answer(200, Page([Received(**_listed(one)) for one in kept], following))


async def _get(call: Call[None, None]) -> Answer:
    account_id, inbound_id = call.account.id, call.path["id"]

    def work(tx: Tx) -> tuple[Inbound | None, list[Attachment]]:
        found = tx.inbox.get(account_id, inbound_id)
        return found, tx.inbox.attachments(account_id, inbound_id) if found else []

    found, attachments = await call.services.store.read(work)
    if found is None:
        raise NotFound("message not found")
    shape = ReceivedWhole(
        **_listed(found),
        message_id=found.message_id,
        text=text_of(found),
        data=data_of(found),
        attachments=attachment_shapes(attachments),
    )
    return Answer(200, shape)


async def _attachment(call: Call[None, None]) -> Content:
    store, account_id = call.services.store, call.account.id
    return await read_attachment(store, account_id, call.path["id"], call.path["part_id"])


def _listed(inbound: Inbound) -> dict[str, Any]:
    return {
        "id": inbound.id,
        "type": inbound.type,
        "device_id": inbound.device_id,
        "sender": inbound.sender,
        "recipient": inbound.recipient,
        "sim_number": inbound.sim_number,
        "subject": inbound.subject,
        "preview": preview(inbound),
        "received_at": rfc3339(inbound.created_at),
        "kept_at": rfc3339(inbound.kept_at),
    }


def preview(inbound: Inbound) -> str:
    """Return how a message begins."""
    content = inbound.content
    return content if len(content) <= PREVIEW else content[:PREVIEW] + "…"


def text_of(inbound: Inbound) -> str | None:
    """Return the text of what is no data SMS."""
    return None if inbound.type == "DATA_SMS" else inbound.content


def data_of(inbound: Inbound) -> str | None:
    """Return the base64 of a data SMS."""
    return inbound.content if inbound.type == "DATA_SMS" else None


def attachment_shapes(attachments: list[Attachment]) -> list[AttachmentShape]:
    return [AttachmentShape(a.part_id, name_of(a), a.size, a.content_type) for a in attachments]


_TAG = "inbox"
OPERATIONS = (
    Operation(
        "GET",
        "/inbox",
        "List received messages, newest first",
        _TAG,
        Scope.INBOX_LIST,
        _list,
        query=InboxQuery,
        answer=Page[Received],
        errors={400: "The cursor, the limit or a filter is wrong."},
        description="Newest by the clock of the phone. One-time codes are not hidden here: an inbox"
        " is there to be read.",
    ),
    Operation(
        "GET",
        "/inbox/{id}",
        "Get a received message",
        _TAG,
        Scope.INBOX_READ,
        _get,
        answer=ReceivedWhole,
        errors={404: "No such message."},
    ),
    Operation(
        "GET",
        "/inbox/{id}/attachments/{part_id}",
        "Get the bytes of an attachment",
        _TAG,
        Scope.INBOX_READ,
        _attachment,
        answer=bytes,
        answer_type="application/octet-stream",
        errors={
            400: "The part is no number.",
            404: "No such part, or the phone did not send its bytes.",
        },
        description="Of the type that the phone says, as a file to be saved.",
    ),
)
