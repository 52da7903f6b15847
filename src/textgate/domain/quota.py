"""How often something may be done: counted for each who asks. Time comes in as an argument."""

from collections import deque

from textgate.domain.times import Milliseconds


class Quota:
    """At most so many starts within any span of time; each limit is (starts, span)."""

    def __init__(self, *limits: tuple[int, Milliseconds]) -> None:
        self._limits = limits
        self._longest = max(span for _, span in limits)
        self._starts: dict[str, deque[Milliseconds]] = {}

    def take(self, who: str, now: Milliseconds) -> Milliseconds:
        """Count a start of ``who`` and return 0, or return how long it has to wait for one."""
        starts = self._starts.setdefault(who, deque())
        while starts and starts[0] <= now - self._longest:
            starts.popleft()
        wait = max(
            (starts[-most] + span - now for most, span in self._limits if len(starts) >= most),
            default=0,
        )
        if wait > 0:
            return wait
        starts.append(now)
        return 0
