from collections.abc import AsyncIterator

import pytest
from provider_case import Bench

from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.workers import Workers
from textgate.testing.raw_far_side import RawFarSide

DENO = Deno()
"""One for all, because each reads the whole program once before its first script."""


async def nowhere(host: str, port: int) -> list[str]:
    """Names of the tests; no resolver is asked, so that nobody's server is called by mistake."""
    return []


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A far side on the loopback, a real HTTP client, and a clock that stands still."""
    guard = Guard(allow_loopback=True, resolve=nowhere)
    http = HttpClient(guard, user_agent="textgate-tests")
    async with RawFarSide() as far:
        scripts = Workers(DENO, total=4, memory_mb=256)
        bench = Bench(http, guard, far, scripts)
        yield bench
        for channel in bench.opened:
            await channel.close()
        await scripts.close()
        await http.close()
