"""Two kinds of connection: one that asks, and one that listens to an event stream."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

OPENED = b": events follow"
EVENT = b"event: MessageEnqueued"


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """A connection that is kept, for one request after another."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authorization: str
    ) -> None:
        self._reader, self._writer = reader, writer
        self._authorization = authorization

    @classmethod
    async def open(cls, port: int, authorization: str) -> "Line":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader, writer, authorization)

    async def ask(self, method: str, path: str, value: object = None) -> Heard:
        """Send a request, its body as JSON, and return the whole answer."""
        body = b"" if value is None else json.dumps(value).encode()
        self._writer.write(_head(method, path, self._authorization, len(body)) + body)
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", 0))
        answer = await self._reader.readexactly(length) if length else b""
        return Heard(int(first.split()[1]), headers, answer)

    def close(self) -> None:
        self._writer.close()


class Ear(asyncio.Protocol):
    """An open event stream; ``heard`` is called for each message that is announced on it."""

    def __init__(self, authorization: str, heard: Callable[[], None]) -> None:
        self._request = _head("GET", "/mobile/v1/events", authorization, 0)
        self._heard = heard
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, port: int, authorization: str, heard: Callable[[], None]) -> "Ear":
        """Return once the stream has said its first words. Raises ConnectionError if it does not,
        TimeoutError after 30 s."""
        loop = asyncio.get_running_loop()
        _, ear = await loop.create_connection(lambda: cls(authorization, heard), "127.0.0.1", port)
        async with asyncio.timeout(30):
            await ear.opened
        return ear

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not of that class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == EVENT:
                self._heard()
            elif line == OPENED and not self.opened.done():
                self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the stream ended before its first word"))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


def _head(method: str, path: str, authorization: str, length: int) -> bytes:
    declared = f"Content-Type: application/json\r\nContent-Length: {length}\r\n" if length else ""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
        f"User-Agent: me.capcom.smsgateway/1.68.0\r\n{declared}\r\n"
    ).encode()
