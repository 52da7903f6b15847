"""What knows how much of it is under way, so that a story can wait until nothing moves any more.

No time passes meanwhile: with a ``FakeClock`` everything happens at a moment that the story knows.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from textgate.domain.times import Milliseconds
from textgate.outbound.http import Failure, HttpClient, Reply
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock

T = TypeVar("T")
ROUNDS = 25
"""Turns of the event loop in which nothing moves: far more than any step of an engine takes."""
PATIENCE_S = 30.0


class Watched(Protocol):
    """What has callers."""

    calls: int
    """How many there were."""


class WatchedStore(SqliteStore):
    """The real store, which also knows how many of its callers wait."""

    waiting = 0
    calls = 0

    async def write(self, work: Callable[[Tx], T]) -> T:
        self.waiting += 1
        self.calls += 1
        try:
            return await super().write(work)
        finally:
            self.waiting -= 1

    async def read(self, work: Callable[[Tx], T]) -> T:
        self.waiting += 1
        self.calls += 1
        try:
            return await super().read(work)
        finally:
            self.waiting -= 1


class WatchedHttp(HttpClient):
    """The real client, which also knows how many calls are under way."""

    waiting = 0
    calls = 0

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - as the client it stands for
        keep_headers: bool = False,
    ) -> Reply | Failure:
        self.waiting += 1
        self.calls += 1
        try:
            return await super().request(
                method, url, headers=headers, body=body, timeout=timeout, keep_headers=keep_headers
            )
        finally:
            self.waiting -= 1


async def settle_down(*watched: Watched, busy: Callable[[], bool]) -> None:
    """Return when nothing moves: nobody is ``busy``, and nobody has called for a while."""
    quiet, last, until = 0, -1, time.monotonic() + PATIENCE_S
    while quiet < ROUNDS:
        await asyncio.sleep(0)
        moves, pulse = busy(), sum(each.calls for each in watched)
        quiet = 0 if moves or pulse != last else quiet + 1
        last = pulse
        if moves:
            await asyncio.sleep(0.0002)  # the disk and the sockets take real time
        assert time.monotonic() < until, "it does not settle down"


async def live(clock: FakeClock, ms: Milliseconds, settled: Callable[[], Awaitable[None]]) -> None:
    """Let the time pass: everybody wakes when they wanted to, and ``settled`` waits for them."""
    end = clock.now() + ms
    await settled()
    while (wake := clock.next_wake()) is not None and wake <= end:
        clock.advance(wake - clock.now())
        await settled()
    clock.advance(end - clock.now())
    await settled()
