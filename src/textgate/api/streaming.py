"""Answers without end: sent until they end, their caller goes away, or the server stops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from starlette.types import Receive, Send


class Streams:
    """The answers without end of one operation.

    Each has one task beside that of its request, and no more: a phone that listens is cheap.
    """

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._pumps: set[asyncio.Task[None]] = set()
        self._stopper: asyncio.Task[None] | None = None

    async def send(self, chunks: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
        """Send the chunks, and close them in the end. Raises what they raise."""
        pump = asyncio.create_task(_pump(chunks, send))
        with self._stopped_in_time(pump):
            try:
                # Told also once the answer is complete (ASGI), however it came to that.
                while (await receive())["type"] != "http.disconnect":
                    pass
            finally:
                pump.cancel()
                await asyncio.wait([pump])
        if not pump.cancelled() and (problem := pump.exception()) is not None:
            raise problem

    @contextlib.contextmanager
    def _stopped_in_time(self, pump: "asyncio.Task[None]") -> Iterator[None]:
        self._pumps.add(pump)
        if self._stopper is None or self._stopper.done():
            self._stopper = asyncio.create_task(self._stop())
        try:
            yield
        finally:
            self._pumps.discard(pump)
            if not self._pumps:
                self._stopper.cancel()

    async def _stop(self) -> None:
        await self._stopping.wait()
        for pump in self._pumps:
            pump.cancel()


async def _pump(chunks: AsyncIterator[bytes], send: Send) -> None:
    try:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
        await send({"type": "http.response.body", "body": b""})
