"""Messages of a phone's own API (A §2.10): looser than the server's, and nothing is ever hashed."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from textgate.api.local.phone import LocalPhone
from textgate.api.operation import Answer, Call, Operation
from textgate.api.thirdparty_v1.shapes import MessageState, message_state
from textgate.api.thirdparty_v1.submission import (
    MAX_TTL_S,
    DataMessage,
    SendBody,
    SendQuery,
    read_submission,
)
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid, NotFound
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Submission
from textgate.domain.times import Milliseconds, parse_rfc3339
from textgate.gateway.cancel import cancel
from textgate.gateway.submit import CHECKED_BY_PHONE, ON_PHONE, check, submit
from textgate.store.base import Tx
from textgate.telemetry import ACCEPTED

DOOR = "local"
VALIDITY_MS = 3650 * 86_400_000
"""A phone keeps trying what has no end; everything here has one, so that nothing stays for ever."""
MAX_LISTED = 10_000
"""Messages that one list holds, whatever is asked for."""
Flag = Literal["true", "false"]


class LocalDataMessage(DataMessage):
    """A binary SMS to send."""

    port: Annotated[int, Meta(ge=0, le=65_535)]


class LocalSendQuery(msgspec.Struct, rename="camel"):
    """Options of a send."""

    skip_phone_validation: Flag = "false"


class LocalSendBody(SendBody, rename="camel", kw_only=True):
    """A message to send: exactly one of textMessage, dataMessage and message."""

    phone_numbers: Annotated[list[str], Meta(min_length=1)]
    data_message: LocalDataMessage | None = None
    sim_number: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    ttl: Annotated[int, Meta(ge=1, le=MAX_TTL_S, description="Seconds")] | None = None


class LocalListQuery(msgspec.Struct, rename="camel"):
    """Which messages, and how many. Times that are none are passed over."""

    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    state: State | None = None
    device_id: str | None = None
    limit: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 50
    offset: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    include_content: Flag = "false"


def _submission(body: LocalSendBody, query: LocalSendQuery, now: Milliseconds) -> Submission:
    """Raises ``Invalid``. Numbers stay as they are: the phone reads them when it sends."""
    if body.ttl is not None and body.valid_until is not None:
        raise Invalid("fields conflict: ttl and validUntil")
    if body.valid_until is not None and int(body.valid_until) <= now:
        raise Invalid("message already expired")
    wanted = read_submission(body, SendQuery(skip_phone_validation=True))
    validated = query.skip_phone_validation == "false" and not wanted.encrypted
    return msgspec.structs.replace(
        wanted,
        numbers=tuple(dict.fromkeys(wanted.numbers)),
        context={CHECKED_BY_PHONE: True} if validated else None,
    )


def lenient_time(text: str | None) -> Milliseconds | None:
    """Return a time of a query; None for one that cannot be read, as the app passes it over."""
    try:
        return None if text is None else parse_rfc3339(text)
    except (ValueError, OverflowError):
        return None


def span_of(since: str | None, until: str | None, now: Milliseconds) -> tuple[int, int]:
    """Return both ends, the second one excluded. Raises ``Invalid``."""
    first, last = lenient_time(since) or 0, lenient_time(until)
    if last is None:
        last = now
    if first > last:
        raise Invalid("Start date cannot be after end date")
    return first, last + 1


class _Messages:
    """The messages of one phone."""

    def __init__(self, phone: LocalPhone) -> None:
        self._phone, self._account_id = phone, phone.account_id

    async def send(self, call: Call[LocalSendQuery, LocalSendBody]) -> Answer:
        wanted = _submission(call.body, call.query, call.services.clock.now())
        checked = check(wanted, default_region=None, rules=ON_PHONE)
        done = await call.services.store.write(
            lambda tx: submit(tx, self._account_id, checked, validity_ms=VALIDITY_MS)
        )
        if done.created:
            ACCEPTED.inc(DOOR)
        return Answer(202, message_state(done.message, done.recipients))

    async def listed(self, call: Call[LocalListQuery, None]) -> Answer:
        query = call.query
        self._phone.check_device(query.device_id)
        since, until = span_of(query.from_, query.to, call.services.clock.now())

        def look(tx: Tx) -> tuple[list[MessageState], int]:
            found, total = tx.messages.page(
                self._account_id,
                since=since,
                until=until,
                state=query.state,
                limit=min(query.limit, MAX_LISTED),
                offset=query.offset,
            )
            content = query.include_content == "true"
            return [_shown(tx, message, content=content) for message in found], total

        states, total = await call.services.store.read(look)
        return Answer(200, states, (("X-Total-Count", str(total)),))

    async def one(self, call: Call[None, None]) -> Answer:
        message_id = call.path["id"]
        state = await call.services.store.read(
            lambda tx: _shown(tx, _known(tx, self._account_id, message_id), content=True)
        )
        return Answer(200, state)

    async def cancelled(self, call: Call[None, None]) -> Answer:
        """What is cancelled stays so, and what is not pending any more cannot be."""
        message_id = call.path["id"]

        def work(tx: Tx) -> MessageState:
            message = _known(tx, self._account_id, message_id)
            if message.state is not State.CANCELLED:
                if message.state is not State.PENDING:
                    raise Invalid("message is not pending")
                message, _ = cancel(tx, self._account_id, message_id, by_phone=True)
            return _shown(tx, message, content=False)

        return Answer(200, await call.services.store.write(work))


def _known(tx: Tx, account_id: str, message_id: str) -> Message:
    message = tx.messages.get(account_id, message_id)
    if message is None:
        raise NotFound("message not found")
    return message


def _shown(tx: Tx, message: Message, *, content: bool) -> MessageState:
    recipients = tx.recipients.of(message.account_id, message.id)
    return message_state(message, recipients, content=content)


_UNKNOWN = {404: "there is no such message; the body is empty"}


def operations(phone: LocalPhone) -> tuple[Operation, ...]:
    own = _Messages(phone)
    return (
        Operation(
            "POST",
            "/messages",
            "Send a message",
            "messages",
            Scope.MESSAGES_SEND,
            own.send,
            query=LocalSendQuery,
            body=LocalSendBody,
            answer=MessageState,
            status=202,
            errors={409: "another message has this id"},
            aliases=("/message",),
            description="Numbers are checked when it is their turn: one that is none fails then.",
        ),
        Operation(
            "GET",
            "/messages",
            "List messages",
            "messages",
            Scope.MESSAGES_READ,
            own.listed,
            query=LocalListQuery,
            answer=list[MessageState],
            aliases=("/message",),
            description="Newest first; `X-Total-Count` holds how many match in all.",
        ),
        Operation(
            "GET",
            "/messages/{id}",
            "Read a message",
            "messages",
            Scope.MESSAGES_READ,
            own.one,
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
            own.cancelled,
            answer=MessageState,
            errors={**_UNKNOWN, 400: "it is not pending any more"},
            aliases=("/message/{id}",),
        ),
    )
