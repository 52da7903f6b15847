"""Reading the body of a request, within bounds of size and time."""

import asyncio
import contextlib
import types
from collections.abc import Coroutine, Generator, Mapping
from typing import Any, cast

from starlette.types import Message, Receive

TIMEOUT_S = 60.0
"""How long a caller may take to send a body."""
DROPPED = 4
"""So many times the limit is read and dropped of a body that is too large: most clients listen
only after they have spoken, and would otherwise see a broken line instead of the answer."""


class TooLarge(Exception):
    """The body is beyond the limit."""


class WrongType(Exception):
    """The body is not declared to be what is read here."""


class Gone(Exception):
    """The caller hung up, or took too long."""


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Return the whole body, at most ``limit`` bytes. Raises ``TooLarge`` or ``Gone``."""
    length = headers.get(b"content-length")
    if length is not None and int(length) > limit:
        await _drop(receive, DROPPED * limit)
        raise TooLarge
    first = await _first(cast("Coroutine[Any, Any, Message]", receive()))
    if first["type"] != "http.request":
        raise Gone
    body: bytes = first.get("body", b"")
    if first.get("more_body"):
        return await _read_rest(body, receive, limit)
    if len(body) > limit:
        raise TooLarge
    return body


async def _first(step: "Coroutine[Any, Any, Message]") -> Message:
    """Await ``step``; a timer, which costs 7 µs, is set only if it is not done at once.

    A small body comes with its headers, so in the usual case there is nothing to wait for.
    """
    try:
        waiting = step.send(None)
    except StopIteration as done:
        return cast(Message, done.value)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _resume(step, waiting)
    except TimeoutError:
        raise Gone from None


@types.coroutine
def _resume(step: "Coroutine[Any, Any, Message]", waiting: Any) -> Generator[Any, Any, Message]:
    """Go on with a coroutine that has been begun by hand and waits for ``waiting``."""
    try:
        while True:
            try:
                value = yield waiting
            except BaseException as error:
                waiting = step.throw(error)
            else:
                waiting = step.send(value)
    except StopIteration as done:
        return cast(Message, done.value)


async def _read_rest(start: bytes, receive: Receive, limit: int) -> bytes:
    parts, size, more = [start], len(start), True
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while more and size <= limit:
                message = await receive()
                if message["type"] != "http.request":
                    raise Gone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body", False)
    except TimeoutError:
        raise Gone from None
    if size > limit:
        if more:
            await _drop(receive, DROPPED * limit)
        raise TooLarge
    return b"".join(parts)


async def _drop(receive: Receive, limit: int) -> None:
    """Read and forget the rest of a body."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TIMEOUT_S / 4):
            while limit > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                limit -= len(message.get("body", b""))
