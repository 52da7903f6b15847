"""What follows from calling a webhook: one pure function (A §4.6, §4.7)."""

from datetime import timedelta

import msgspec

from textgate.domain.retry import RetryPolicy

GONE = 410
LISTENED_TO = (429, 503)
"""Statuses whose ``Retry-After`` lengthens the wait."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """2xx: done."""


class Again(msgspec.Struct, frozen=True, gc=False):
    """Call again after ``wait``."""

    wait: timedelta


class Dead(msgspec.Struct, frozen=True, gc=False):
    """That was the last try; kept for a replay."""


class Disable(msgspec.Struct, frozen=True, gc=False):
    """410: the receiver wants no more calls; the webhook collects until it is enabled again."""


Verdict = Told | Again | Dead | Disable


def judge(
    status: int | None,
    retry_after_s: int | None,
    policy: RetryPolicy,
    *,
    attempt: int,
    dice: float,
    heeds: bool = True,
) -> Verdict:
    """Return what follows; ``status`` None means that no answer came. ``attempt`` from 1.

    ``heeds``: whether 410 and ``Retry-After`` are heeded. The app heeds neither (A §4.7).
    """
    if status is not None and 200 <= status < 300:
        return Told()
    if heeds and status == GONE:
        return Disable()
    wait = policy.wait(attempt, dice)
    if wait is None:
        return Dead()
    if heeds and status in LISTENED_TO and retry_after_s:
        wait = max(wait, min(timedelta(seconds=retry_after_s), timedelta(days=1)))
    return Again(wait)
