"""The phone's network, which can be lost for a while, and HTTP over it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec

from textgate.domain.times import Clock, Milliseconds
from textgate.outbound.guard import Guard
from textgate.outbound.http import Failure, FailureKind, HttpClient, Reply

_LOST = "the phone is offline"


class Offline(Exception):
    """There is no network, or it was lost meanwhile."""


class Outage(msgspec.Struct, frozen=True):
    """The network is lost once: ``after_ms`` from the start on, for ``for_ms``."""

    for_ms: Milliseconds
    after_ms: Milliseconds


class Network:
    """Whether there is a network. Belongs to one event loop."""

    def __init__(self, tell: Callable[[bool], None]) -> None:
        """``tell`` hears each change: True, it is there again."""
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.up.set()
        self._tell = tell
        self._held: set[asyncio.Timeout] = set()

    def lose(self) -> None:
        """End all that is under way, and let nothing begin."""
        if not self.up.is_set():
            return
        self.up.clear()
        self.down.set()
        now = asyncio.get_running_loop().time()
        for scope in self._held:
            scope.reschedule(now)
        self._tell(False)

    def find(self) -> None:
        """It is there again."""
        if not self.up.is_set():
            self.down.clear()
            self.up.set()
            self._tell(True)

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """What needs the network. Raises ``Offline`` without it, and as soon as it is lost."""
        if not self.up.is_set():
            raise Offline
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._held.add(scope)
                yield
        except TimeoutError:
            if scope.expired():
                raise Offline from None
            raise
        finally:
            self._held.discard(scope)

    async def suffer(self, outage: Outage, clock: Clock) -> None:
        """Lose the network and find it again, as asked."""
        await clock.sleep(outage.after_ms)
        self.lose()
        await clock.sleep(outage.for_ms)
        self.find()


Watch = Callable[[bytes, Reply | Failure], None]


class PhoneHttp(HttpClient):
    """HTTP over a network that can be lost: a call is then answered by a ``Failure``."""

    def __init__(
        self,
        network: Network,
        guard: Guard,
        *,
        user_agent: str,
        ca_file: Path | None = None,
        watch: Watch | None = None,
    ) -> None:
        """``watch`` sees the body of each call and how it ended."""
        super().__init__(guard, user_agent=user_agent, ca_file=ca_file)
        self._network, self._watch = network, watch

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - the client below keeps it
        keep_headers: bool = False,
    ) -> Reply | Failure:
        """Make one call, as ``HttpClient.request`` says."""
        begun = False
        try:
            async with self._network.held():
                begun = True
                ended = await super().request(
                    method,
                    url,
                    headers=headers,
                    body=body,
                    timeout=timeout,
                    keep_headers=keep_headers,
                )
        except Offline:
            ended = Failure(FailureKind.CONNECT, _LOST, begun, 0.0)
        if self._watch is not None:
            self._watch(body, ended)
        return ended
