"""/v1/conversations: who has written, and what was said both ways."""

from typing import Literal

import msgspec

from textgate.api.fields import DateTime
from textgate.api.native_v1.inbox import (
    AttachmentShape,
    attachment_shapes,
    data_of,
    preview,
    text_of,
)
from textgate.api.native_v1.paging import Page, Paging, decode_cursor, page_of
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.errors import Forbidden
from textgate.domain.inbound import Conversation, Inbound
from textgate.domain.lifecycle import State
from textgate.domain.masking import mask_one_time
from textgate.domain.message import Message, Recipient
from textgate.domain.phone import canonical
from textgate.domain.times import rfc3339
from textgate.store.base import Tx
from textgate.store.conversations import RECEIVED, SENT, Place


class ConversationShape(msgspec.Struct):
    """A number that has written to the account."""

    number: str
    last_received_at: DateTime
    received: int
    """How many of its messages are in the inbox."""
    preview: str
    """How its last message begins."""


class Said(msgspec.Struct, kw_only=True):
    """One message of a conversation."""

    direction: Literal["received", "sent"]
    id: str
    """Of /v1/inbox/{id}, or of /v1/messages/{id}."""
    at: DateTime
    """When it was received, by the phone's clock, or accepted for sending."""
    device_id: str
    """The phone or the channel that received it, or has it to send."""
    text: str | None
    data: str | None
    """Base64 of a data SMS."""
    attachments: list[AttachmentShape] = []
    state: State | None = None
    """Of this number, if it was sent."""
    error: str | None = None


async def _list(call: Call[Paging, None]) -> Answer:
    account_id, limit = call.account.id, call.query.limit
    cursor = decode_cursor(call.query.cursor, tuple[int, str])

    def work(tx: Tx) -> Page[ConversationShape]:
        found = tx.conversations.after(account_id, cursor, limit + 1)
        kept, following = page_of(found, limit, lambda one: (one.last_at, one.number))
        return Page([_conversation_shape(tx, one) for one in kept], following)

    return Answer(200, await call.services.store.read(work))


def _conversation_shape(tx: Tx, conversation: Conversation) -> ConversationShape:
    last = tx.conversations.received(conversation.account_id, conversation.number, None, 1)
    return ConversationShape(
        number=conversation.number,
        last_received_at=rfc3339(conversation.last_at),
        received=conversation.received,
        preview=preview(last[0]) if last else "",
    )


async def _read(call: Call[Paging, None]) -> Answer:
    if call.caller is not None and not call.caller.may(Scope.MESSAGES_LIST):
        raise Forbidden(f"scope required: {Scope.MESSAGES_LIST}")
    account_id, limit = call.account.id, call.query.limit
    number = canonical(call.path["number"], call.services.settings.default_region)
    before: Place | None = decode_cursor(call.query.cursor, tuple[int, int, str])

    def work(tx: Tx) -> Page[Said]:
        received = tx.conversations.received(account_id, number, before, limit + 1)
        sent = tx.conversations.sent(account_id, number, before, limit + 1)
        found: list[tuple[Place, Said]] = [
            *(((m.created_at, RECEIVED, m.id), _received(tx, m)) for m in received),
            *(((m.created_at, SENT, m.id), _sent(m, r)) for m, r in sent),
        ]
        found.sort(key=lambda one: one[0], reverse=True)
        kept, following = page_of(found, limit, lambda one: one[0])
        return Page([said for _, said in kept], following)

    return Answer(200, await call.services.store.read(work))


def _received(tx: Tx, inbound: Inbound) -> Said:
    return Said(
        direction="received",
        id=inbound.id,
        at=rfc3339(inbound.created_at),
        device_id=inbound.device_id,
        text=text_of(inbound),
        data=data_of(inbound),
        attachments=attachment_shapes(tx.inbox.attachments(inbound.account_id, inbound.id)),
    )


def _sent(message: Message, recipient: Recipient) -> Said:
    # Among others, so its one-time codes are hidden.
    text, _ = mask_one_time(message.text, msgspec.json.decode(message.context or "null"))
    return Said(
        direction="sent",
        id=message.id,
        at=rfc3339(message.created_at),
        device_id=recipient.lane,
        text=text,
        data=message.data,
        state=recipient.state,
        error=recipient.error,
    )


_TAG = "conversations"
OPERATIONS = (
    Operation(
        "GET",
        "/conversations",
        "List the numbers that have written, the last to write first",
        _TAG,
        Scope.INBOX_LIST,
        _list,
        query=Paging,
        answer=Page[ConversationShape],
        errors={400: "The cursor or the limit is wrong."},
    ),
    Operation(
        "GET",
        "/conversations/{number}",
        "Read what was said with a number, newest first",
        _TAG,
        Scope.INBOX_READ,
        _read,
        query=Paging,
        answer=Page[Said],
        errors={400: "The cursor or the limit is wrong."},
        description="Both directions, so a token needs `messages:list` beside. One-time codes are"
        " hidden in what was sent. What was encrypted has no number that anybody here could read,"
        " and is in no conversation. A number that nobody knows has an empty one.",
    ),
)
