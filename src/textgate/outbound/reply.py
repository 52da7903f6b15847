"""What a call to the outside comes back with."""

from enum import StrEnum

import msgspec

BODY_LIMIT = 65_536
"""Bytes of an answer's body that are read, after decompression."""


class FailureKind(StrEnum):
    """How far a call came that got no answer."""

    REFUSED = "refused"
    """By the guard, or the URL is malformed."""
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"
    """The connection broke, or what came was not HTTP."""


# Structs and not dataclasses: one is made for each call, at an eighth of the time.
class Reply(msgspec.Struct, frozen=True):
    """An answer, whatever its status; redirects are answers too."""

    status: int
    body: bytes
    """Decompressed; at most the first 64 KiB."""
    truncated: bool
    """There was more body than that; it was dropped."""
    headers: dict[str, str]
    """Names in lower case; repeated ones joined by commas. Empty unless asked for."""
    retry_after: int | None
    """Seconds, whichever form ``Retry-After`` had; only looked at if the status is no 2xx.
    libcurl caps it at six hours."""
    elapsed_ms: float


class Failure(msgspec.Struct, frozen=True):
    """No answer. ``detail`` is a sentence for people, without secrets."""

    kind: FailureKind
    detail: str
    sent: bool
    """A byte of the request may have left, so the far side may have acted on it."""
    elapsed_ms: float
