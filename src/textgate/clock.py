"""The real clock."""

import asyncio
import time

from textgate.domain.times import Milliseconds


class SystemClock:
    """Wall-clock time of this machine."""

    def now(self) -> Milliseconds:
        return time.time_ns() // 1_000_000

    async def sleep(self, ms: Milliseconds) -> None:
        await asyncio.sleep(ms / 1000)
