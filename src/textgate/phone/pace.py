"""The pace of the app's sending loop: A §7.2, without its clock and its queue."""

from textgate.domain.times import Milliseconds
from textgate.phone.habits import URGENT, Habits

LEAST = -128
AFTER_LIMIT_MS = 1_000


class Pace:
    """What must be waited for before and after each message of one run of the loop.

    A run ends when nothing is left to send; the next one begins with a pace of its own.
    """

    def __init__(self) -> None:
        self._previous = LEAST

    def is_limited(self, priority: int) -> bool:
        """Whether the limit holds for a message: a run of equal urgent ones is limited from the
        second on."""
        return priority < URGENT or self._previous >= priority

    def sent(self, priority: int) -> bool:
        """Note that a message was handed over; whether the interval is kept after it."""
        overtook = priority >= URGENT and self._previous < priority
        self._previous = priority
        return not overtook


def limit_wait(
    habits: Habits, now: Milliseconds, count: int, last: Milliseconds | None
) -> Milliseconds:
    """How long to wait for the limit: ``count`` messages were handed over within the period that
    ends now, the last of them at ``last``."""
    if habits.limit is None or last is None:
        return 0
    value, period_ms = habits.limit
    return period_ms - (now - last) + AFTER_LIMIT_MS if count >= value else 0
