"""Waiting for a time or for a nudge, whichever comes first."""

import asyncio

from textgate.domain.times import Clock, Milliseconds


class Alarm:
    """One waiter, any number of callers that want it awake by some time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: Milliseconds | None = None
        self._moved = asyncio.Event()

    def set(self, at: Milliseconds) -> None:
        """Ring at ``at``, or earlier if that was asked for before."""
        if self._at is None or at < self._at:
            self._at = at
            self._moved.set()

    async def wait(self, latest: Milliseconds) -> None:
        """Return at ``latest`` or at the earliest time set, and forget what was set."""
        while True:
            self._moved.clear()
            at = latest if self._at is None else min(latest, self._at)
            left = at - self._clock.now()
            if left <= 0:
                self._at = None
                return
            moved = asyncio.ensure_future(self._moved.wait())
            slept = asyncio.ensure_future(self._clock.sleep(left))
            try:
                await asyncio.wait({moved, slept}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                moved.cancel()
                slept.cancel()
