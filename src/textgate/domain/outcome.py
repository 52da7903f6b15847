"""What a provider says happened. Failure is a value: nobody catches to decide."""

from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec

from textgate.domain.lifecycle import Signal


class Reason(StrEnum):
    """The closed list of error classes. Each dialect maps it once."""

    INVALID_NUMBER = "invalid_number"
    RATE_LIMITED = "rate_limited"
    AUTHENTICATION_FAILED = "authentication_failed"
    DELIVERY_REJECTED = "delivery_rejected"
    UNSUPPORTED = "unsupported"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    ADDRESS_REFUSED = "address_refused"
    PROVIDER_ERROR = "provider_error"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    NO_CHANNEL = "no_channel"
    UNKNOWN = "unknown"


BLAMES_THE_CHANNEL = frozenset(
    {
        Reason.RATE_LIMITED,
        Reason.AUTHENTICATION_FAILED,
        Reason.UNSUPPORTED,
        Reason.TIMEOUT,
        Reason.UNREACHABLE,
        Reason.ADDRESS_REFUSED,
        Reason.PROVIDER_ERROR,
        Reason.NO_CHANNEL,
        Reason.UNKNOWN,
    }
)
"""Reasons that another channel may not share, so trying one is worth it."""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The far side has taken it. ``ref`` is its name for the message, matched by later receipts."""

    ref: str | None = None
    signal: Signal = Signal.SENT
    detail: str = ""
    trace: dict[str, Any] | None = None
    """What the attempt's record keeps beside, fit for people (a script's console and requests)."""


class Deferred(msgspec.Struct, frozen=True, gc=False):
    """It has surely not gone out; ``after`` is how long the far side asked us to wait."""

    reason: Reason
    detail: str = ""
    after: timedelta | None = None
    code: str | None = None
    """The provider's own error code, for people."""
    trace: dict[str, Any] | None = None


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """It has surely not gone out and never will through this channel."""

    reason: Reason
    detail: str = ""
    code: str | None = None
    trace: dict[str, Any] | None = None


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """It may be out already: the line broke after the first byte left."""

    reason: Reason
    detail: str = ""
    after: timedelta | None = None
    code: str | None = None
    trace: dict[str, Any] | None = None


Outcome = Accepted | Deferred | Rejected | Unknown
