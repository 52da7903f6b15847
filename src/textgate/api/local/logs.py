"""The phone's log (A §2.10): all of a span, without pages."""

import msgspec

from textgate.api.local.messages import span_of
from textgate.api.operation import Answer, Call, Operation
from textgate.api.thirdparty_v1.logs import LogLine, log_line
from textgate.domain.account import Scope

MOST = 10_000
"""Entries; of more, the newest."""


class LocalLogQuery(msgspec.Struct):
    """Which part of the log. Times that are none are passed over."""

    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None


async def listed(call: Call[LocalLogQuery, None]) -> Answer:
    account_id = call.account.id
    since, until = span_of(call.query.from_, call.query.to, call.services.clock.now())
    found = await call.services.store.read(
        lambda tx: tx.logs.between(account_id, since, until, MOST)
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
        query=LocalLogQuery,
        answer=list[LogLine],
        description="Oldest first.",
    ),
)
