"""A client for plain http, and calls whose end is known."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from textgate.outbound.direct import DirectClient
from textgate.outbound.guard import Guard
from textgate.outbound.reply import Failure, Reply

REPEATABLE = [("Idempotency-Key", "k")]


@contextlib.asynccontextmanager
async def client(guard: Guard | None = None, **limits: int) -> AsyncIterator[DirectClient]:
    direct = DirectClient(guard or Guard(allow_loopback=True), user_agent="Textgate/1", **limits)
    try:
        yield direct
    finally:
        async with asyncio.timeout(5):
            await direct.close()


async def replied(direct: DirectClient, url: str, **how: Any) -> Reply:
    ended = await direct.request("POST", url, **{"timeout": 10, **how})
    assert isinstance(ended, Reply), ended
    return ended


async def failed(direct: DirectClient, url: str, **how: Any) -> Failure:
    ended = await direct.request("POST", url, **{"timeout": 10, **how})
    assert isinstance(ended, Failure), ended
    return ended
