"""How fast a lane may go, and when it should be left alone. Time comes in as an argument."""

from dataclasses import dataclass

from textgate.domain.times import Milliseconds

LATE_MS = 10
"""A start that comes at most so late does not put off those after it: timers ring late."""


@dataclass(slots=True)
class Pace:
    """At most ``rate`` starts a second, evenly spaced; None: no limit."""

    rate: float | None = None
    _next: float = 0.0

    def wait(self, now: Milliseconds) -> float:
        """Return the milliseconds until the next start is allowed.

        What falls into the millisecond that has begun may start: ``now`` is cut to whole ones.
        """
        left = self._next - now
        return left if self.rate and left >= 1 else 0.0

    def start(self, now: Milliseconds) -> None:
        """Count a start."""
        if self.rate:
            due = self._next if self._next > now - LATE_MS else now
            self._next = due + 1000 / self.rate


@dataclass(slots=True)
class Breaker:
    """Leaves a far side alone that fails again and again, then tries it with a single call."""

    threshold: int = 5
    first_rest_ms: Milliseconds = 5_000
    longest_rest_ms: Milliseconds = 300_000
    failures: int = 0
    """In a row."""
    resting_until: Milliseconds = 0

    def succeeded(self) -> bool:
        """Note a success; True if that ends a bad time."""
        recovered = self.failures >= self.threshold
        self.failures, self.resting_until = 0, 0
        return recovered

    def failed(self, now: Milliseconds) -> bool:
        """Note a failure; True if a rest begins with it.

        During a rest only what was under way before can fail: that is no news.
        """
        if now < self.resting_until:
            return False
        self.failures += 1
        if self.failures < self.threshold:
            return False
        doublings = min(self.failures - self.threshold, 16)
        self.resting_until = now + min(self.first_rest_ms << doublings, self.longest_rest_ms)
        return True

    @property
    def suspect(self) -> bool:
        """Whether only a single call should be under way."""
        return self.failures >= self.threshold

    def rests(self, now: Milliseconds) -> bool:
        return now < self.resting_until
