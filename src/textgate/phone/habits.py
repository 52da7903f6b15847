"""What the settings of an account make of a phone: as the app imports them (A §5)."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from textgate.domain.times import Milliseconds

MINUTE_MS = 60_000
DAY_MS = 86_400_000
URGENT = 100
"""From this priority on, limits, delays and work hours do not hold a message back (A §7.2)."""
_PERIOD_MS = {
    "PerMinute": MINUTE_MS,
    "Per30Minutes": 30 * MINUTE_MS,
    "PerHour": 60 * MINUTE_MS,
    "PerDay": DAY_MS,
}


class WorkHours(msgspec.Struct, frozen=True):
    """Minutes of the phone's own day; past midnight if the end is not after the start."""

    start: int
    end: int

    def wait(self, now: Milliseconds, offset_minutes: int) -> Milliseconds:
        """How long until messages may go out; 0: they may now."""
        day_ms = (now + offset_minutes * MINUTE_MS) % DAY_MS
        start, end = self.start * MINUTE_MS, self.end * MINUTE_MS
        inside = start <= day_ms < end if start < end else not end <= day_ms < start
        return 0 if inside else (start - day_ms) % DAY_MS


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How a phone sends. What is not set is as in a fresh app."""

    newest_first: bool = True
    interval_s: tuple[int, int] | None = None
    """Between two messages: from the least to the most."""
    limit: tuple[int, Milliseconds] | None = None
    """So many messages in such a period."""
    sim_mode: str = "OSDefault"
    work_hours: WorkHours | None = None
    ping_ms: Milliseconds | None = None
    passphrase: str | None = None


def habits_of(
    document: Mapping[str, Mapping[str, Any]], unseal: Callable[[str], str] = str
) -> Habits:
    """Read the document of an account. Numbers may be floats or texts, null is the default.

    ``unseal`` opens what is kept sealed.
    """
    messages = document.get("messages") or {}
    least, most = (_whole(messages, f"send_interval_{end}") for end in ("min", "max"))
    value, period = _whole(messages, "limit_value"), _PERIOD_MS.get(_text(messages, "limit_period"))
    ping = _whole(document.get("ping") or {}, "interval_seconds")
    return Habits(
        newest_first=_text(messages, "processing_order") != "FIFO",
        interval_s=(least, most) if most and most >= least else None,
        limit=(value, period) if value and period else None,
        sim_mode=_text(messages, "sim_selection_mode") or "OSDefault",
        work_hours=_work_hours(messages),
        ping_ms=ping * 1000 if ping else None,
        passphrase=unseal(_text(document.get("encryption") or {}, "passphrase")) or None,
    )


def _work_hours(messages: Mapping[str, Any]) -> WorkHours | None:
    if not messages.get("work_hours_enabled"):
        return None
    start, end = (_text(messages, f"work_hours_{edge}") for edge in ("start", "end"))
    return WorkHours(_minutes(start or "09:00"), _minutes(end or "19:00"))


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _whole(section: Mapping[str, Any], key: str) -> int:
    return int(float(section.get(key) or 0))


def _text(section: Mapping[str, Any], key: str) -> str:
    return str(section.get(key) or "")
