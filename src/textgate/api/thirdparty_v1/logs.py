"""What an account's owner should know (A §2.8)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from textgate.api.fields import LATEST, DateTime, Instant
from textgate.api.operation import Answer, Call, Operation
from textgate.api.thirdparty_v1.messages import check_span
from textgate.domain.account import LogEntry, Scope
from textgate.domain.times import rfc3339

MAX_ENTRIES = 500


class LogQuery(msgspec.Struct):
    """Which part of the log."""

    from_: Instant | None = msgspec.field(default=None, name="from")
    to: Instant | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_ENTRIES, description="Of more entries, the newest")] = (
        MAX_ENTRIES
    )


class LogLine(msgspec.Struct, rename="camel"):
    """One entry. The values of its context are texts."""

    id: int
    priority: Literal["DEBUG", "INFO", "WARN", "ERROR"]
    module: str
    message: str
    context: dict[str, str]
    created_at: DateTime


def log_line(entry: LogEntry) -> LogLine:
    return LogLine(
        id=entry.id,
        priority=entry.priority,  # type: ignore[arg-type]
        module=entry.module,
        message=entry.message,
        context={key: _text(value) for key, value in entry.context.items()},
        created_at=rfc3339(entry.created_at),
    )


def _text(value: Any) -> str:
    # Typed clients of the original read the context as a map of texts.
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def listed(call: Call[LogQuery, None]) -> Answer:
    query, account_id = call.query, call.account.id
    check_span(query.from_, query.to)
    since, until = query.from_ or 0, LATEST if query.to is None else query.to
    found = await call.services.store.read(
        lambda tx: tx.logs.between(account_id, since, until, query.limit)
    )
    return Answer(200, [log_line(entry) for entry in found])


OPERATIONS = (
    Operation(
        "GET",
        "/logs",
        "Read the log",
        "logs",
        Scope.LOGS_READ,
        listed,
        query=LogQuery,
        answer=list[LogLine],
        description="The newest entries of the span, oldest first.",
    ),
)
