"""A far side of HTTP on the loopback, in the event loop of the test, that does as it is told.

Beside ``Receiver`` (a thread, for tests that do not await) it is fast, it knows at any moment which
requests it holds, and it can keep an answer back until the test lets it go.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

import msgspec


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    """With the query, as it was on the wire."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Say:
    """An answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: asyncio.Event | None = None
    """Answer when this is set, and not before."""
    delay_s: float = 0.0
    """Answer so much later."""
    drop: bool = False
    """Close the connection in place of an answer."""


OK = Say()
Script = Callable[[Request], Say]


class FarSide:
    """Listens while it is entered; records every request by its path."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.requests: dict[str, list[Request]] = defaultdict(list)
        """By path, without the query, in the order of arrival."""
        self.holding = 0
        """Requests that wait for their answer."""
        self.most_at_once: dict[str, int] = defaultdict(int)
        self.open: dict[str, int] = defaultdict(int)
        """Requests under way, by path."""
        self.url = ""
        self._scripts: dict[str, Script] = {}
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Line(self), "127.0.0.1", 0, backlog=1024, ssl=self._tls
        )
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for line in list(self._lines):
            line.hang_up()
        await self._server.wait_closed()

    def on(self, path: str, *says: Say, script: Script | None = None) -> str:
        """Say ``says`` to the next requests of a path, then ``script`` or 200; return the URL."""
        left = list(says)

        def choose(request: Request) -> Say:
            if left:
                return left.pop(0)
            return script(request) if script else OK

        self._scripts[path] = choose
        return self.url + path

    def count(self, path: str) -> int:
        return len(self.requests[path])

    def answer(self, request: Request) -> Say:
        path = request.path.partition("?")[0]
        self.requests[path].append(request)
        script = self._scripts.get(path)
        return script(request) if script else OK


class _Line(asyncio.Protocol):
    """One connection; requests on it come one after another."""

    def __init__(self, far: FarSide) -> None:
        self._far = far
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._held: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._far._lines.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._far._lines.discard(self)
        if self._held is not None:
            self._held.cancel()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = end + 4 + int(headers.get("content-length", "0"))
        if len(self._buffer) < size:
            return
        body = bytes(self._buffer[end + 4 : size])
        del self._buffer[:size]
        method, path, _ = first.split(" ", 2)
        self._serve(Request(method, path, headers, body))

    def _serve(self, request: Request) -> None:
        far, path = self._far, request.path.partition("?")[0]
        say = far.answer(request)
        far.open[path] += 1
        far.most_at_once[path] = max(far.most_at_once[path], far.open[path])
        if not say.delay_s and (say.hold is None or say.hold.is_set()):
            far.open[path] -= 1
            self._write(say)
        else:
            far.holding += 1
            self._held = asyncio.ensure_future(self._write_later(say, path))

    async def _write_later(self, say: Say, path: str) -> None:
        try:
            with suppress(asyncio.CancelledError):  # the caller went away
                await asyncio.sleep(say.delay_s)
                if say.hold is not None:
                    await say.hold.wait()
                self._write(say)
        finally:
            self._far.holding -= 1
            self._far.open[path] -= 1
            self._held = None

    def _write(self, say: Say) -> None:
        assert self._transport is not None
        if say.drop:
            self._transport.abort()
            return
        head = [f"HTTP/1.1 {say.status} X"]
        head += [f"{name}: {value}" for name, value in say.headers.items()]
        if say.status != 204:
            head.append(f"Content-Length: {len(say.body)}")
        self._transport.write("\r\n".join([*head, "", ""]).encode("latin-1") + say.body)
