"""Who waits for a message to move or follows all of an account, and who listens for a phone."""

import asyncio
import contextlib
from collections.abc import Iterator

from textgate.domain.device import DeviceEvent, Nudge

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


MOST = 500
"""Nudges that wait in one mailbox."""

_ONCE = frozenset({DeviceEvent.WEBHOOKS_UPDATED, DeviceEvent.SETTINGS_UPDATED})


class Moves:
    """The messages of an account that moved since they were taken; belongs to one event loop."""

    def __init__(self) -> None:
        self.filled = asyncio.Event()
        self._moved: dict[str, None] = {}

    def put(self, message_id: str) -> None:
        self._moved[message_id] = None
        self.filled.set()

    def take(self) -> list[str]:
        """Return their ids, each once, and forget them."""
        self.filled.clear()
        moved, self._moved = list(self._moved), {}
        return moved


class Followers:
    """Who follows all messages of an account, by account."""

    def __init__(self) -> None:
        self._open: dict[str, list[Moves]] = {}

    def of(self, account_id: str) -> tuple[Moves, ...]:
        return tuple(self._open.get(account_id, ()))

    @contextlib.contextmanager
    def follow(self, account_id: str) -> Iterator[Moves]:
        moves = Moves()
        self._open.setdefault(account_id, []).append(moves)
        try:
            yield moves
        finally:
            self._open[account_id].remove(moves)
            if not self._open[account_id]:
                del self._open[account_id]


class Mailbox:
    """What one listener of a phone has still to hear; belongs to one event loop."""

    __slots__ = ("_nudges", "closed", "filled")

    def __init__(self) -> None:
        self.filled = asyncio.Event()
        self.closed = False
        """There is no such phone any more: whoever listens for it hangs up."""
        self._nudges: dict[tuple[DeviceEvent, tuple[tuple[str, str], ...]], Nudge] = {}

    def put(self, nudge: Nudge) -> None:
        """Add a nudge; the same one twice is heard once.

        When there are too many, *fetch your queue* stands for all messages and cancellations: it
        shows both. A request for an export is kept beside (``gateway.nudges``).
        """
        if len(self._nudges) >= MOST:
            self._nudges = {key: one for key, one in self._nudges.items() if key[0] in _ONCE}
            whole = Nudge(nudge.account_id, nudge.device_id, DeviceEvent.MESSAGE_ENQUEUED)
            self._nudges[whole.event, whole.data] = whole
        self._nudges[nudge.event, nudge.data] = nudge
        self.filled.set()

    def take(self) -> list[Nudge]:
        """Return all there is, and forget it."""
        self.filled.clear()
        nudges, self._nudges = list(self._nudges.values()), {}
        return nudges

    def close(self) -> None:
        self.closed = True
        self.filled.set()


class Mailboxes:
    """The listeners of this process, by phone."""

    def __init__(self) -> None:
        self._open: dict[str, list[Mailbox]] = {}

    def put(self, nudge: Nudge) -> bool:
        """Tell all who listen for the phone; False: nobody does."""
        listening = self._open.get(nudge.device_id, ())
        for mailbox in listening:
            mailbox.put(nudge)
        return bool(listening)

    def close(self, device_id: str) -> None:
        """Tell all who listen for the phone that it is no more."""
        for mailbox in self._open.get(device_id, ()):
            mailbox.close()

    def heard(self, device_id: str) -> bool:
        """Whether anybody listens for the phone."""
        return device_id in self._open

    @contextlib.contextmanager
    def listen(self, device_id: str) -> Iterator[Mailbox]:
        mailbox = Mailbox()
        self._open.setdefault(device_id, []).append(mailbox)
        try:
            yield mailbox
        finally:
            self._open[device_id].remove(mailbox)
            if not self._open[device_id]:
                del self._open[device_id]
