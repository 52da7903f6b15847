"""What follows from an outcome: one pure function."""

from datetime import timedelta
from typing import assert_never

import msgspec

from textgate.domain.lifecycle import Signal
from textgate.domain.outcome import (
    BLAMES_THE_CHANNEL,
    Accepted,
    Deferred,
    Outcome,
    Reason,
    Rejected,
    Unknown,
)
from textgate.domain.retry import RetryPolicy


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The recipient moves by ``signal`` and its sending is over."""

    signal: Signal
    reason: Reason | None = None


class Retry(msgspec.Struct, frozen=True, gc=False):
    """The same channel again after ``wait``."""

    wait: timedelta
    reason: Reason


class Reroute(msgspec.Struct, frozen=True, gc=False):
    """The next channel of the route, at once."""

    reason: Reason


Decision = Finish | Retry | Reroute


def decide(
    outcome: Outcome,
    policy: RetryPolicy,
    *,
    attempt: int,
    dice: float,
    resend: bool,
    others: bool,
) -> Decision:
    """Return what follows.

    ``attempt`` counts from 1 within this channel. ``resend``: a second copy is harmless or is
    dropped by the far side. ``others``: the route holds a channel that was not tried yet.
    """
    match outcome:
        case Accepted(signal=signal):
            return Finish(signal)
        case Rejected(reason=reason):
            return _elsewhere(reason, others) or Finish(Signal.FAILED, reason)
        case Unknown(reason=reason) if not resend:  # may be out already, and would go out twice
            return Finish(Signal.FAILED, reason)
        case Unknown(reason=reason, after=asked):  # same channel: it alone can drop a repeat
            return _later(reason, asked, policy, attempt, dice)
        case Deferred(reason=reason, after=asked):
            return _elsewhere(reason, others) or _later(reason, asked, policy, attempt, dice)
        case _:
            assert_never(outcome)


def _elsewhere(reason: Reason, others: bool) -> Reroute | None:
    return Reroute(reason) if others and reason in BLAMES_THE_CHANNEL else None


def _later(
    reason: Reason, asked: timedelta | None, policy: RetryPolicy, attempt: int, dice: float
) -> Finish | Retry:
    wait = policy.wait(attempt, dice)
    if wait is None:
        return Finish(Signal.FAILED, reason)
    return Retry(max(wait, asked) if asked else wait, reason)
