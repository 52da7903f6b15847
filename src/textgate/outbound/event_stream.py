"""Server-sent events, as a client hears them (WHATWG HTML §9.2), within bounds."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from textgate.outbound.dial import Unreachable
from textgate.outbound.reply import FailureKind
from textgate.outbound.streamed import Streamed, Streams

LONGEST_LINE = 65_536
"""Bytes; what is longer is no event of anybody's."""
MOST_DATA = 262_144
"""Bytes of all data lines of one event."""


class ServerEvent(msgspec.Struct, frozen=True):
    """One event. ``name`` is ``message`` if the stream gave none."""

    name: str
    data: str


class TooLong(Exception):
    """A line or an event beyond the bounds."""


class Lines:
    """Turns the bytes of a stream into events."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_return = False
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that ``chunk`` completes. Raises ``TooLong``."""
        if self._after_return and chunk:
            # The line feed of a line that ended with the chunk before.
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        self._after_return = chunk.endswith(b"\r")
        whole = self._rest + chunk
        lines = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()
        if max(map(len, (self._rest, *lines))) > LONGEST_LINE:
            raise TooLong
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._size += len(line)
            if self._size > MOST_DATA:
                raise TooLong
            self._data.append(value)
        return None  # a comment, or a field that means nothing here

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name or "message", "\n".join(self._data)
        heard = bool(self._data)
        self._name, self._data, self._size = "", [], 0
        return ServerEvent(name, data) if heard else None


@contextlib.asynccontextmanager
async def open_events(
    streams: Streams, url: str, *, headers: Sequence[tuple[str, str]], silence_s: float
) -> AsyncIterator[AsyncIterator[ServerEvent]]:
    """Open an event stream. Raises ``Unreachable``, also for an answer that is none.

    The events end when the far side closes the stream; they raise ``Unreachable`` if it breaks,
    or if not even a comment comes for ``silence_s``.
    """
    asked = [*headers, ("Accept", "text/event-stream"), ("Cache-Control", "no-cache")]
    async with streams.open(url, headers=asked, silence_s=silence_s) as answer:
        if answer.status != 200 or answer.content_type != "text/event-stream":
            what = f"{answer.status} {answer.content_type}".strip()
            raise Unreachable(FailureKind.BROKEN, f"{answer.place} answered {what}, no events")
        yield _events(answer)


async def _events(answer: Streamed) -> AsyncIterator[ServerEvent]:
    lines = Lines()
    async for chunk in answer.chunks():
        try:
            events = lines.feed(chunk)
        except TooLong:
            detail = f"{answer.place} sent an event that is too long"
            raise Unreachable(FailureKind.BROKEN, detail) from None
        for event in events:
            yield event
