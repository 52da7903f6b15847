"""Types of members that JSON has no type for; each says how it is read and how it is documented."""

from typing import Annotated, Any

import msgspec

from textgate.domain.times import parse_rfc3339, rfc3339

LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999, which is the last that RFC 3339 can write."""
EARLIEST = -62_135_596_800_000
"""The first of the year 1."""

DateTime = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A time in an answer: made by ``rfc3339(ms)``."""


class Instant(int):
    """A time in a request, milliseconds UTC: RFC 3339, 0-9 fractional digits, naive is UTC."""

    def __str__(self) -> str:
        return rfc3339(self)


def plain(moment: Instant | None) -> int | None:
    """Return the milliseconds as what the rest of the house and its encoders take."""
    return None if moment is None else int(moment)


def read_field(wanted: type, value: Any) -> Any:
    """Make a field of ``wanted`` of what JSON or the query gave (msgspec's ``dec_hook``)."""
    if wanted is not Instant:
        raise NotImplementedError(wanted)
    if not isinstance(value, str):
        raise ValueError(f"Expected a date-time as text, got `{type(value).__name__}`")
    try:
        moment = parse_rfc3339(value)
    except (ValueError, OverflowError):
        raise ValueError("Expected a date-time of RFC 3339, e.g. 2026-05-06T07:08:09Z") from None
    # An offset can carry a moment just beyond what can be written back.
    return Instant(min(max(moment, EARLIEST), LATEST))


def field_schema(wanted: type) -> dict[str, Any]:
    """The JSON schema of such a field (msgspec's ``schema_hook``)."""
    if wanted is not Instant:
        raise NotImplementedError(wanted)
    return {"type": "string", "format": "date-time"}
