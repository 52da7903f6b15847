"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from itertools import count

from textgate.domain.times import Milliseconds

START = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


class FakeClock:
    """Time as a test wants it; who sleeps wakes when it has been moved far enough."""

    def __init__(self, now: Milliseconds = START) -> None:
        self._now = now
        self._order = count()  # futures do not compare: who began to sleep first wakes first
        self._sleepers: list[tuple[Milliseconds, int, asyncio.Future[None]]] = []

    def now(self) -> Milliseconds:
        return self._now

    async def sleep(self, ms: Milliseconds) -> None:
        if ms <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + ms, next(self._order), woken))
        await woken

    def advance(self, ms: Milliseconds) -> None:
        """Move the time on, and wake whose time has come. Call it on the running loop."""
        self._now += ms
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():  # its task may have been cancelled
                woken.set_result(None)

    def next_wake(self) -> Milliseconds | None:
        """Return when the next sleeper wants to wake, or None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None
