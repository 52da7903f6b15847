"""The event streams that phones have open in this process: how many there may be, when one needs a
sign of life, and what it says of its phone that its stream is open."""

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from functools import partial
from itertools import islice

import structlog

from textgate import telemetry
from textgate.domain.device import Device
from textgate.domain.times import Clock, Milliseconds
from textgate.gateway import presence
from textgate.store.base import Store
from textgate.store.watching import Mailbox

MOST = 10_000
"""Streams in one process, or a third of the files that it may open, if that is less: a phone that
listens has a second connection for what it fetches, and others want to be served too."""
TICK_MS = 1_000
"""One timer for all streams, and not one for each."""
LOOK_MS = 30_000
"""So often open streams are written down as signs of life: half of the shortest silence that an
account can ask to hear of."""

log = structlog.get_logger("textgate.streams")


class Line:
    """One open event stream."""

    __slots__ = ("device", "mailbox", "spoke_at")

    def __init__(self, device: Device, mailbox: Mailbox, now: Milliseconds) -> None:
        self.device = device
        self.mailbox = mailbox
        self.spoke_at = now
        """When something was last written to it."""


class Lines:
    """All open event streams of this process. Belongs to one event loop."""

    def __init__(
        self, store: Store, clock: Clock, *, keep_alive_ms: Milliseconds, most_of_one: int
    ) -> None:
        """``keep_alive_ms``: a stream that is silent for so long gets a sign of life; 0: never.

        ``most_of_one``: when a phone opens one more, its oldest is closed.
        """
        self._store, self._clock = store, clock
        self._keep_alive_ms = keep_alive_ms
        self._most_of_one = most_of_one
        self._most = min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 3)
        self._lines: dict[str, list[Line]] = {}
        self.count = 0
        """How many are open."""
        self._ticker: asyncio.Task[None] | None = None
        telemetry.PHONE_STREAMS.set(0)

    @property
    def full(self) -> bool:
        return self.count >= self._most

    @contextlib.contextmanager
    def open(self, device: Device) -> Iterator[Line]:
        """A line to a phone, whose mailbox gets all nudges for it from now on."""
        lines = self._lines.setdefault(device.id, [])
        if len(lines) >= self._most_of_one:
            lines.pop(0).mailbox.close()
        with self._store.listen(device.id) as mailbox:
            line = Line(device, mailbox, self._clock.now())
            lines.append(line)
            self._counted(+1)
            try:
                yield line
            finally:
                self._closed(line)

    def _closed(self, line: Line) -> None:
        self._counted(-1)
        lines = self._lines.get(line.device.id, [])
        if line in lines:
            lines.remove(line)
            if not lines:
                del self._lines[line.device.id]

    def _counted(self, change: int) -> None:
        self.count += change
        telemetry.PHONE_STREAMS.set(self.count)
        if self.count and self._ticker is None:
            self._ticker = asyncio.create_task(self._tick_for_ever(), name="event streams")
        elif not self.count and self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    async def _tick_for_ever(self) -> None:
        looked_at = self._clock.now()
        while True:
            await self._clock.sleep(TICK_MS)
            now = self._clock.now()
            if self._keep_alive_ms:
                self._wake_the_quiet(now - self._keep_alive_ms)
            if now - looked_at >= LOOK_MS:
                try:
                    await self._look_after(looked_at)
                except Exception:  # keep-alives go on, whatever ails the store
                    log.exception("looking after event streams failed")
                looked_at = now

    def _wake_the_quiet(self, since: Milliseconds) -> None:
        for lines in self._lines.values():
            for line in lines:
                if line.spoke_at <= since:
                    line.mailbox.filled.set()

    async def _look_after(self, looked_at: Milliseconds) -> None:
        """Write down who is there. A dead line would have been ended by what was written to it
        (``TCP_USER_TIMEOUT``); one that nothing was written to proves nothing."""
        every = iter(
            [
                presence.Listening(
                    line.device.account_id,
                    line.device.id,
                    line.device.token_hash,
                    alive=line.spoke_at > looked_at,
                )
                for lines in self._lines.values()
                for line in lines
            ]
        )
        while some := tuple(islice(every, presence.CHUNK)):
            await self._store.write(partial(presence.look_after, listening=some))
