"""Times are integers: milliseconds since 1970, UTC. This file is their text at the edges."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

Milliseconds = int

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(ms: int) -> str:
    """``2026-05-06T07:08:09.010Z``: UTC, exactly three digits (the form every known peer reads)."""
    seconds, rest = divmod(ms, 1000)
    return f"{_to_the_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=1024)  # the times of one moment are written many times
def _to_the_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:-6]


def parse_rfc3339(text: str) -> int:
    """Read RFC 3339 with 0–9 fractional digits; a naive value is UTC (A §1.4). ValueError if not.

    A ``+`` that a query decoder turned into a blank is forgiven.
    """
    text = text.strip().upper()
    text = text if "T" in text else text.replace(" ", "T", 1)
    text = text.replace(" ", "+")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def milliseconds(span: timedelta) -> int:
    """Whole milliseconds of a span."""
    return span // timedelta(milliseconds=1)


class Clock(Protocol):
    """Where time comes from; tests own theirs."""

    def now(self) -> Milliseconds: ...

    async def sleep(self, ms: Milliseconds) -> None:
        """Return after ``ms`` milliseconds, never earlier."""
        ...
