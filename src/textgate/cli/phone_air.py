"""Messages on their way to the phones of a run."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from textgate.phone.script import Cue

IN_HAND = 100
"""Messages that wait for one phone."""
Receive = Callable[[int, Cue], Coroutine[Any, Any, None]]


class Air:
    """Messages on their way to phones: on each phone one after another, in order."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ways: dict[int, asyncio.Queue[Cue]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._left = 0

    @property
    def empty(self) -> bool:
        return self._left == 0

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def begin(self, number: int, cue: Cue) -> None:
        self.spawn(self.put(number, cue))

    async def put(self, number: int, cue: Cue) -> None:
        """Wait until there is room."""
        if number not in self._ways:
            self._ways[number] = asyncio.Queue(IN_HAND)
            self.spawn(self._carry(number, self._ways[number]))
        self._left += 1
        await self._ways[number].put(cue)

    async def _carry(self, number: int, way: "asyncio.Queue[Cue]") -> None:
        while True:
            await self._receive(number, await way.get())
            self._left -= 1

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
