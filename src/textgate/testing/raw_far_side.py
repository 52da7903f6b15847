"""A far side on the loopback that answers with exactly the bytes it was told, or with none.

For what a well-behaved HTTP server cannot say: broken lines, half answers, wrong compression.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

_LONGEST_BODY = 1 << 20


class Then(Enum):
    """What comes after the bytes of an answer."""

    KEEP = "keep the connection for the next request"
    CLOSE = "close the connection"
    HANG = "say nothing more, until the far side is closed"


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes to say, as they go over the wire."""

    raw: bytes
    then: Then = Then.KEEP


SILENCE = Answer(b"", Then.HANG)
BROKEN_LINE = Answer(b"", Then.CLOSE)


def answer(
    status: int = 200, body: bytes | str | object = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    """A whole answer. A body that is neither bytes nor text is written as JSON."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    fields = {"Content-Length": str(len(body))} if status not in (204, 304) else {}
    fields |= headers or {}
    reason = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else "Odd"
    lines = (f"HTTP/1.1 {status} {reason}", *(f"{k}: {v}" for k, v in fields.items()))
    return Answer("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RawFarSide:
    """Records every request, and says what its script says; the last answer is repeated.

    ``async with RawFarSide(answer(503), answer(200)) as far:`` fails once, then succeeds for
    ever. Without a script it says an empty 200.
    """

    def __init__(self, *script: Answer) -> None:
        self._script = deque(script or (answer(),))
        self.requests: list[Request] = []
        self._connections: set[asyncio.Task[None]] = set()

    def script(self, *answers: Answer) -> None:
        """Answer the requests to come like this, in place of what was left to say."""
        self._script = deque(answers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side may go at any time, and so may we
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.requests.append(await _read(reader))
            said = self._script[0] if len(self._script) == 1 else self._script.popleft()
            writer.write(said.raw)
            await writer.drain()
            if said.then is Then.CLOSE:
                return
            if said.then is Then.HANG:
                await asyncio.Event().wait()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    if length > _LONGEST_BODY:
        raise ConnectionError(f"a request of {length} bytes")
    return Request(method, target, headers, await reader.readexactly(length))
