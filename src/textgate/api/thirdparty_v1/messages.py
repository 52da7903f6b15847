"""Messages: send, list, read, cancel (A §2.1-§2.4)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from textgate.api.fields import LATEST, Instant
from textgate.api.operation import Answer, Call, Operation
from textgate.api.thirdparty_v1.shapes import MessageState, location, message_state
from textgate.api.thirdparty_v1.submission import SendBody, SendQuery, read_submission
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid, NotFound
from textgate.domain.lifecycle import State
from textgate.domain.times import milliseconds
from textgate.gateway.cancel import cancel
from textgate.gateway.submit import check, submit
from textgate.store.base import Tx
from textgate.telemetry import ACCEPTED

DOOR = "thirdparty_v1"
"""This way in, in the metrics."""


class ListQuery(msgspec.Struct, rename="camel"):
    """Which messages, and how many."""

    from_: Instant | None = msgspec.field(default=None, name="from")
    to: Instant | None = None
    state: State | None = None
    device_id: Annotated[str, Meta(min_length=21, max_length=21)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    offset: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    include_content: bool = False
    sort: Literal["created_at", "-created_at"] = "-created_at"


async def send(call: Call[SendQuery, SendBody]) -> Answer:
    """202 once it is on disk; a repeat of the same id and content gets the present state."""
    settings, account_id = call.services.settings, call.account.id
    wanted = read_submission(call.body, call.query)
    checked = check(wanted, default_region=settings.default_region)
    validity_ms = milliseconds(settings.message_validity)
    done = await call.services.store.write(
        lambda tx: submit(tx, account_id, checked, validity_ms=validity_ms)
    )
    if done.created:
        ACCEPTED.inc(DOOR)
    state = message_state(done.message, done.recipients)
    return Answer(202, state, (("Location", location(state.id)),))


async def listed(call: Call[ListQuery, None]) -> Answer:
    query, account_id = call.query, call.account.id
    check_span(query.from_, query.to)

    def look(tx: Tx) -> tuple[list[MessageState], int]:
        found, total = tx.messages.page(
            account_id,
            since=query.from_ or 0,
            until=LATEST if query.to is None else query.to,
            state=query.state,
            device_id=query.device_id,
            limit=query.limit,
            offset=query.offset,
            newest_first=query.sort == "-created_at",
        )
        shown = [
            message_state(
                m,
                tx.recipients.of(account_id, m.id),
                content=query.include_content,
                listed=True,
            )
            for m in found
        ]
        return shown, total

    states, total = await call.services.store.read(look)
    return Answer(200, states, (("X-Total-Count", str(total)),))


def check_span(since: int | None, until: int | None) -> None:
    """Refuse a span of time that ends before it begins."""
    if since is not None and until is not None and since > until:
        raise Invalid("must not be after to", field="from")


async def one(call: Call[None, None]) -> Answer:
    account_id, message_id = call.account.id, call.path["id"]

    def look(tx: Tx) -> MessageState | None:
        message = tx.messages.get(account_id, message_id)
        if message is None:
            return None
        return message_state(message, tx.recipients.of(account_id, message_id))

    state = await call.services.store.read(look)
    if state is None:
        raise NotFound("message not found")
    return Answer(200, state)


async def cancelled(call: Call[None, None]) -> Answer:
    account_id, message_id = call.account.id, call.path["id"]
    message, recipients = await call.services.store.write(
        lambda tx: cancel(tx, account_id, message_id)
    )
    return Answer(200, message_state(message, recipients))


_UNKNOWN = {404: "message not found"}

OPERATIONS = (
    Operation(
        "POST",
        "/messages",
        "Send a message",
        "messages",
        Scope.MESSAGES_SEND,
        send,
        query=SendQuery,
        body=SendBody,
        answer=MessageState,
        status=202,
        errors={409: "another message has this id"},
        aliases=("/message",),
        quick=True,
        description="Repeating a request with its `id` is safe: the same content is accepted once.",
    ),
    Operation(
        "GET",
        "/messages",
        "List messages",
        "messages",
        Scope.MESSAGES_LIST,
        listed,
        query=ListQuery,
        answer=list[MessageState],
        aliases=("/message",),
        description="The header `X-Total-Count` holds how many match in all.",
    ),
    Operation(
        "GET",
        "/messages/{id}",
        "Read a message",
        "messages",
        Scope.MESSAGES_READ,
        one,
        answer=MessageState,
        errors=_UNKNOWN,
        aliases=("/message/{id}",),
    ),
    Operation(
        "DELETE",
        "/messages/{id}",
        "Cancel a message",
        "messages",
        Scope.MESSAGES_CANCEL,
        cancelled,
        answer=MessageState,
        errors={**_UNKNOWN, 409: "nothing of it was left to cancel"},
        aliases=("/message/{id}",),
    ),
)
