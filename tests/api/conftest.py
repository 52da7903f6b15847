"""A real server process, one account with a simulator channel, and who talks to them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import android_sms_gateway as original
import httpx
import pytest
import requests
from android_sms_gateway.ahttp import AiohttpAsyncHttpClient, HttpxAsyncHttpClient
from android_sms_gateway.errors import APIError
from android_sms_gateway.http import HttpxHttpClient, RequestsHttpClient

from textgate.testing.receiver import Receiver
from textgate.testing.server import Server, start_server

DELIVERY_TIMEOUT_S = 20.0

SYNC = {"requests": RequestsHttpClient, "httpx": HttpxHttpClient}
ASYNC = {"aiohttp": AiohttpAsyncHttpClient, "httpx async": HttpxAsyncHttpClient}
PREFIX = {"requests": "", "httpx": "/api", "aiohttp": "/api", "httpx async": ""}
"""Both spellings of the path are driven."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of the folder; its account has a simulator channel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")  # what the clients send stays on this machine
        with start_server(tmp_path_factory.mktemp("server")) as server:
            with own_api(server) as api:
                wanted = {"provider": "simulator", "name": "sim", "settings": {}}
                answer = api.post("/v1/channels", json=wanted)
                assert answer.status_code == 201, answer.text
            yield server


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """Textgate's own API with the account's password."""
    with own_api(server) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def own_api(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, auth=(server.login, server.password), timeout=20)


class Client:
    """A client of the original Python library: ``await client("method", …)``, sync or not."""

    def __init__(self, library: original.APIClient | original.AsyncAPIClient, tag: str) -> None:
        self._library, self.tag = library, tag

    async def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        bound = getattr(self._library, method)
        if isinstance(self._library, original.AsyncAPIClient):
            return await bound(*arguments, **named)
        return await asyncio.to_thread(bound, *arguments, **named)

    async def refused(self, method: str, *arguments: Any, **named: Any) -> tuple[int, str]:
        """Return the status and the message with which the server refuses."""
        try:
            result = await self(method, *arguments, **named)
        except APIError as error:
            return error.status_code or 0, (error.response or {})["message"]
        except requests.HTTPError as error:  # the delete of this backend maps nothing
            answer: Any = error.response
            return answer.status_code, answer.json()["message"]
        pytest.fail(f"{method} was not refused: {result}")

    async def reached(self, message_id: str, state: original.ProcessState) -> Any:
        """Return the message once it is in ``state``."""
        async with asyncio.timeout(DELIVERY_TIMEOUT_S):
            while (found := await self("get_state", message_id)).state is not state:
                await asyncio.sleep(0.05)
            return found


Opener = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(params=[*SYNC, *ASYNC])
def opened(request: pytest.FixtureRequest, server: Server) -> Opener:
    """Open a client with ``(login, password, **options)``, by each HTTP backend in turn."""
    backend = str(request.param)

    @asynccontextmanager
    async def opened(login: str | None, password: str, **options: Any) -> AsyncIterator[Client]:
        # The trailing slash is the client's to take away.
        options["base_url"] = f"{server.url}{PREFIX[backend]}/3rdparty/v1/"
        tag = f"{backend[:3]}-{uuid4().hex[:8]}"
        if backend in SYNC:
            with SYNC[backend]() as http:
                yield Client(original.APIClient(login, password, http=http, **options), tag)
        else:
            async with ASYNC[backend]() as http:
                library = original.AsyncAPIClient(login, password, http_client=http, **options)
                yield Client(library, tag)

    return opened


@pytest.fixture
async def client(server: Server, opened: Opener) -> AsyncIterator[Client]:
    """The account's client with its password."""
    async with opened(server.login, server.password) as client:
        yield client
