"""When to try again: one type for messages and for webhooks."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``waits[n - 1]`` follows failed attempt ``n``; after the last, give up."""

    waits: tuple[timedelta, ...]
    jitter: float = 0.0
    """Share of the wait, either way."""

    @classmethod
    def doubling(cls, first: timedelta, *, retries: int, jitter: float = 0.0) -> Self:
        """``first``, twice ``first``, four times …: ``retries`` waits."""
        return cls(tuple(first * 2**n for n in range(retries)), jitter)

    def wait(self, attempt: int, dice: float) -> timedelta | None:
        """Return the wait after failed ``attempt`` (from 1; ``dice`` in [0, 1)); None: stop."""
        if attempt > len(self.waits):
            return None
        return self.waits[attempt - 1] * (1 + self.jitter * (2 * dice - 1))


MESSAGE_POLICY = RetryPolicy(
    tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600)), jitter=0.0
)
"""The default between attempts of one message through one channel."""

WEBHOOK_RETRIES = 14
"""10 s, 20 s, 40 s … doubling, 14 times: the seed's schedule, about two days."""


def webhook_policy(retries: int = WEBHOOK_RETRIES, jitter: float = 0.0) -> RetryPolicy:
    """The schedule of event webhooks (A §4.7, first row)."""
    return RetryPolicy.doubling(timedelta(seconds=10), retries=retries, jitter=jitter)
