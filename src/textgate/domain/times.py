"""Times are integers: milliseconds since 1970, UTC. This file is their text at the edges."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

Milliseconds = int

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(ms: int) -> str:
    """``2026-05-06T07:08:09.010Z``: UTC, exactly three digits (the form every known peer reads)."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


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
