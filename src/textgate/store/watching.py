"""Who waits for a message to move."""

import asyncio
import contextlib
from collections.abc import Iterator

Watched = tuple[str, str]
"""A message: its account and its id."""


class Watchers:
    """The events of those who wait. Belongs to one event loop."""

    def __init__(self) -> None:
        self._events: dict[Watched, list[asyncio.Event]] = {}

    def __bool__(self) -> bool:
        return bool(self._events)

    def of(self, message: Watched) -> tuple[asyncio.Event, ...]:
        return tuple(self._events.get(message, ()))

    @contextlib.contextmanager
    def watch(self, message: Watched) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._events.setdefault(message, []).append(event)
        try:
            yield event
        finally:
            self._events[message].remove(event)
            if not self._events[message]:
                del self._events[message]
