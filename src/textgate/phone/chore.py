"""What a phone does now and then: when it is wanted, every so often, and again if it failed."""

import asyncio
from collections.abc import Awaitable, Callable

from textgate.domain.errors import Unavailable
from textgate.domain.times import Clock, Milliseconds
from textgate.phone.network import Network

FIRST_WAIT_MS = 10_000
LONGEST_WAIT_MS = 5 * 3_600_000
"""Android lets no work wait for longer (A §4.7)."""
RETRIES = 10
"""Of a report (A §3.7)."""


def wait_after(failures: int) -> Milliseconds:
    """How long the app waits after so many failures in a row: 10 s, doubling."""
    return min(FIRST_WAIT_MS << min(failures - 1, 20), LONGEST_WAIT_MS)


async def is_set_within(event: asyncio.Event, clock: Clock, ms: Milliseconds) -> bool:
    """Wait for ``event``, for ``ms`` at most; return whether it is set."""
    if event.is_set():
        return True
    waiting = {asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(ms))}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
    return event.is_set()


class Chore:
    """``do`` is done at the start, whenever it is wanted, and ``every_ms`` after the last time.

    If it raises ``Unavailable`` it is done again: after 10 s, 20 s, 40 s …, or as soon as it is
    wanted. Without a network it waits for one.
    """

    def __init__(
        self,
        clock: Clock,
        network: Network,
        do: Callable[[], Awaitable[None]],
        *,
        every_ms: Milliseconds,
        tell: Callable[[Unavailable], None],
    ) -> None:
        self._clock, self._network, self._do = clock, network, do
        self._every_ms, self._tell = every_ms, tell
        self._wanted = asyncio.Event()
        self.resting = False
        """All that was wanted is done."""

    def want(self) -> None:
        self.resting = False
        self._wanted.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        failures = 0
        while True:
            await self._network.up.wait()
            self._wanted.clear()
            try:
                await self._do()
            except Unavailable as problem:
                if not self._network.up.is_set():
                    continue
                failures += 1
                self._tell(problem)
                await is_set_within(self._wanted, self._clock, wait_after(failures))
            else:
                failures = 0
                self.resting = not self._wanted.is_set()
                await is_set_within(self._wanted, self._clock, self._every_ms)
