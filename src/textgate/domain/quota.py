"""How often something may be done: counted for each who asks. Time comes in as an argument."""

from collections import deque

from textgate.domain.times import Milliseconds

MOST = 10_000
"""Of those who ask, so many are remembered."""


class Quota:
    """At most so many starts within any span of time; each limit is (starts, span).

    When more than ``most`` ask, the one known longest is forgotten, and may start anew.
    """

    def __init__(self, *limits: tuple[int, Milliseconds], most: int = MOST) -> None:
        self._limits = limits
        self._most = most
        self._longest = max(span for _, span in limits)
        self._starts: dict[str, deque[Milliseconds]] = {}

    def take(self, who: str, now: Milliseconds) -> Milliseconds:
        """Count a start of ``who`` and return 0, or return how long it has to wait for one."""
        starts = self._starts.get(who)
        if starts is None:
            if len(self._starts) >= self._most:
                del self._starts[next(iter(self._starts))]
            starts = self._starts[who] = deque()
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

    def give_back(self, who: str) -> None:
        """Do not count the last start of ``who``."""
        if starts := self._starts.get(who):
            starts.pop()
