"""Guarded clients on the event loop that the product runs on."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from outbound_direct import client

from textgate.outbound.curl import CurlClient
from textgate.outbound.direct import DirectClient
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=[HttpClient, CurlClient], ids=["the door", "libcurl"])
async def http(request: pytest.FixtureRequest) -> AsyncIterator[HttpClient]:
    """Allowed to call the loopback. Plain http by the door does not go by libcurl, https does, and
    the promises are the same."""
    one = request.param(Guard(allow_loopback=True), user_agent="Textgate/test")
    yield one
    await one.close()


@pytest.fixture
async def direct() -> AsyncIterator[DirectClient]:
    """The way of plain http alone, allowed to call the loopback."""
    async with client() as one:
        yield one
