"""A far side on the loopback that says exactly the bytes a test wants, and counts."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[["Line"], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TIMEOUT_S = 10.0


@dataclass(slots=True)
class Line:
    """One connection as the far side sees it."""

    far: "FarSide"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """Read one request, keep and return it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        body = await self.reader.readexactly(length)
        self.far.requests.append(head + body)
        self.far.came.set()
        return head + body

    async def say(self, what: bytes) -> None:
        self.writer.write(what)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Return when the client hangs up."""
        while await self.reader.read(65_536):
            pass


@dataclass(slots=True)
class FarSide:
    """What came, in order."""

    port: int = 0
    scheme: str = "http"
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    alpn: list[str | None] = field(default_factory=list)
    lines: set[asyncio.StreamWriter] = field(default_factory=set)

    async def hang_up_on_all(self) -> None:
        lines = list(self.lines)
        for line in lines:
            line.close()
        for line in lines:
            with contextlib.suppress(OSError):
                await line.wait_closed()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextlib.asynccontextmanager
async def far_side(
    behave: Behaviour, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[FarSide]:
    """Serve each connection with ``behave`` until it returns, then close it."""
    far = FarSide(scheme="https" if tls else "http")
    running: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far.connections += 1
        if tls is not None:
            far.alpn.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        far.lines.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await behave(Line(far, reader, writer))
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            running.discard(task)
            far.lines.discard(writer)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            far.hung_up.set()

    server = await asyncio.start_server(serve, host, 0, ssl=tls, limit=1_000_000, backlog=512)
    far.port = server.sockets[0].getsockname()[1]
    try:
        yield far
    finally:
        server.close()
        for task in list(running):
            task.cancel()


@contextlib.contextmanager
def deaf(address: str, port: int = 0) -> Iterator[int]:
    """A place that never takes a connection, and answers none who dials it: its backlog is full.

    Yields its port.
    """
    with socket.create_server((address, port), backlog=0) as full, contextlib.ExitStack() as crowd:
        for _ in range(8):
            one = crowd.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def answers(*each: bytes) -> Behaviour:
    """Answer the requests of a connection with ``each`` in turn, then close it."""

    async def behave(line: Line) -> None:
        for answer in each:
            await line.request()
            await line.say(answer)

    return behave


async def keeps_answering(line: Line) -> None:
    """Answer every request with 200."""
    while True:
        await line.request()
        await line.say(OK)


async def says_nothing(line: Line) -> None:
    """Take the request and wait."""
    await line.request()
    await line.until_closed()


async def soon(event: asyncio.Event) -> None:
    """Wait for something that is certain to happen."""
    async with asyncio.timeout(TIMEOUT_S):
        await event.wait()
