"""A real server process between two counting sinks: a provider and a receiver of webhooks.

The sinks live in the event loop of the caller, so every blocking step (start, kill, command) is
taken in a thread.
"""

import asyncio
import base64
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from textgate.testing.far_side import FarSide, Request, Say
from textgate.testing.server import Server, start_server

NUMBER = "+41790000001"
PROVIDER, HOOK = "/provider", "/hook"
TAKEN = Say(body=b'{"code":"ok"}')
TOLD = Say(status=204)
EVENTS = ("sms:sent", "sms:failed")
PATIENCE_S = 60.0


class Broken(Exception):
    """No answer: the connection could not be made, or broke."""


class Line:
    """One kept connection to the server's API."""

    def __init__(self, server: Server) -> None:
        self._port = server.port
        user = base64.b64encode(f"{server.login}:{server.password}".encode()).decode()
        self._headers = f"Host: 127.0.0.1\r\nAuthorization: Basic {user}\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and answer. Raises ``Broken``."""
        try:
            await self.send(method, path, body)
            return await self.answer()
        except (OSError, EOFError, ValueError) as problem:
            self.close()
            raise Broken(f"{method} {path}") from problem

    async def send(self, method: str, path: str, body: object = None, *, missing: int = 0) -> None:
        """Send a request, and do not wait for the answer.

        ``missing``: so many bytes more than come are announced.
        """
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        data = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if data else ""
        length = f"Content-Length: {len(data) + missing}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}{kind}{length}\r\n"
        self._writer.write(head.encode() + data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, Any]:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        _, found, rest = head.partition("\r\ncontent-length:")
        size = int(rest.split("\r\n", 1)[0]) if found else 0
        body = await self._reader.readexactly(size)
        return int(head.split(" ", 2)[1]), json.loads(body) if body else None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


@dataclass
class Heard:
    """What the sinks count."""

    keys: dict[str, Counter[tuple[str, bytes]]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    """At the provider, of each message: its Idempotency-Key and body, and how often they came."""
    events: dict[str, Counter[tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    """At the webhook, of each message: id and type of its events, and how often they came."""

    def provider_calls(self, message_id: str) -> int:
        return self.keys[message_id].total()

    def told(self, message_id: str) -> Counter[tuple[str, str]]:
        return self.events[message_id]


class Sinks(FarSide):
    """Both sinks; ``on_provider`` and ``on_hook`` are what they say, or choose it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = Heard()
        self.on_provider: Say | Callable[[], Say] = TAKEN
        self.on_hook: Say | Callable[[], Say] = TOLD
        self.news = asyncio.Event()

    def answer(self, request: Request) -> Say:
        self.news.set()
        if request.path == PROVIDER:
            seen = (request.headers["idempotency-key"], request.body)
            self.heard.keys[request.headers["textgate-message-id"]][seen] += 1
            return _said(self.on_provider)
        told = request.json
        self.heard.events[told["payload"]["messageId"]][(told["id"], told["event"])] += 1
        return _said(self.on_hook)

    async def until(self, holds: Callable[[], object]) -> None:
        """Return as soon as ``holds()``; TimeoutError if that takes too long."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self.news.clear()
                await self.news.wait()


def _said(answer: Say | Callable[[], Say]) -> Say:
    return answer if isinstance(answer, Say) else answer()


@dataclass
class Installation:
    """A server with one channel (to the provider's sink) and webhooks (to the other)."""

    server: Server
    sinks: Sinks
    line: Line
    channel_id: str = ""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, environ: Mapping[str, str] | None = None, **channel: Any
    ) -> AsyncIterator[Self]:
        server = await asyncio.to_thread(start_server, folder, environ=environ)
        try:
            async with cls.of(server, **channel) as installation:
                yield installation
        finally:
            await asyncio.to_thread(server.kill)

    @classmethod
    @asynccontextmanager
    async def of(cls, server: Server, **channel: Any) -> AsyncIterator[Self]:
        """Equip a running server for the time of a story."""
        async with Sinks() as sinks:
            self = cls(server, sinks, Line(server))
            settings = {"url": sinks.url + PROVIDER, "signature_key": "key"}
            settings |= channel.pop("settings", {})
            made = {"provider": "webhook", "name": "sink", "settings": settings, **channel}
            self.channel_id = (await self.ask("POST", "/v1/channels", made))["id"]
            for n, event in enumerate(EVENTS):
                wanted = {"id": f"hook-{n}", "url": sinks.url + HOOK, "event": event}
                await self.ask("POST", "/3rdparty/v1/webhooks", wanted)
            yield self
            self.line.close()

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Call the API, once more if the kept connection has died meanwhile; insist on 2xx."""
        try:
            status, answer = await self.line.call(method, path, body)
        except Broken:
            status, answer = await self.line.call(method, path, body)
        assert 200 <= status < 300, (method, path, status, answer)
        return answer

    async def submit(self, message_id: str) -> None:
        await self.ask("POST", "/3rdparty/v1/messages", message(message_id))

    async def state(self, message_id: str) -> str:
        found: str = (await self.ask("GET", f"/3rdparty/v1/messages/{message_id}"))["state"]
        return found

    async def state_becomes(self, message_id: str, wants: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.state(message_id) != wants:
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """Kill at this very moment: nothing else of this process runs before the signal."""
        self.server.kill()
        self.line.close()

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def stop(self) -> int | None:
        return await asyncio.to_thread(self.server.stop)

    async def feed(self) -> dict[str, list[tuple[str, str]]]:
        """Return id and type of all events that the server remembers, by message."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        after = ""
        while True:
            page = await self.ask("GET", f"/v1/events?limit=200&after={after}")
            for event in page["items"]:
                found[event["message_id"]].append((event["id"], event["type"]))
            if not page["items"]:
                return found
            after = page["next"]

    async def states(self) -> dict[str, str]:
        """Return the state of every message."""
        found: dict[str, str] = {}
        cursor = ""
        while True:
            page = await self.ask("GET", f"/v1/messages?limit=200{cursor}")
            found |= {item["id"]: item["state"] for item in page["items"]}
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"

    async def remove(self) -> None:
        """Take back what ``of`` has made, for the next story on the same server."""
        for n in range(len(EVENTS)):
            await self.ask("DELETE", f"/3rdparty/v1/webhooks/hook-{n}")
        await self.ask("DELETE", f"/v1/channels/{self.channel_id}")


def message(message_id: str) -> dict[str, Any]:
    return {
        "id": message_id,
        "textMessage": {"text": f"Message {message_id}"},
        "phoneNumbers": [NUMBER],
    }
