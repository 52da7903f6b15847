"""A guarded client on the event loop that the product runs on."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """Allowed to call the loopback."""
    client = HttpClient(Guard(allow_loopback=True), user_agent="Textgate/test")
    yield client
    await client.close()
