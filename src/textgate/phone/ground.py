"""What the phones of one process stand on: a data folder with their store, a network, and the
engine that calls their webhooks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from textgate.config import Settings, kept_secret
from textgate.domain.errors import Unavailable
from textgate.domain.retry import RetryPolicy
from textgate.domain.times import Clock
from textgate.engine.engine import Engine
from textgate.engine.insist import AGAIN_MS
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.workers import Workers
from textgate.outbound.streamed import Streams
from textgate.phone.network import Network, PhoneHttp, Watch
from textgate.store.sqlite import SqliteStore
from textgate.store.sqlite_file import sole_server
from textgate.store.vault import Vault

STREAM_AGENT = "okhttp/4.12.0"
"""On its event stream the app says what its library says by default (A §3.10)."""
EVERYWHERE = ("0.0.0.0/0", "::/0")
RETENTION = timedelta(days=30)
"""The app keeps messages for ever (A §7.5); of what a phone here did, a month is enough."""
STOP_S = 3.0


class Reach:
    """Where phones may call: public addresses by https, their own machine by either.

    That is the app's rule (A §4.10) but for private addresses, which ``allow`` names: here it is
    a server's users who say what is called on the network of whoever runs the phone.
    ``insecure`` lifts all of it.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        insecure: bool = False,
        ca_file: Path | None = None,
        version: str,
    ) -> None:
        """``version``: of the app. Raises ``Invalid`` for an entry that is no address."""
        self._allow = [*allow, *(EVERYWHERE if insecure else ())]
        self._ca_file, self._version = ca_file, version
        self.insecure = insecure
        self.guard = Guard(self._allow, allow_loopback=True)

    @property
    def user_agent(self) -> str:
        return f"me.capcom.smsgateway/{self._version}"

    def http(self, network: Network, watch: Watch | None = None) -> PhoneHttp:
        """What calls webhooks."""
        return PhoneHttp(
            network, self.guard, user_agent=self.user_agent, ca_file=self._ca_file, watch=watch
        )

    def to_server(self, network: Network, host: str) -> tuple[PhoneHttp, Streams]:
        """What calls the server that a person named, wherever it is."""
        guard = Guard([*self._allow, host], allow_loopback=True)
        http = PhoneHttp(network, guard, user_agent=self.user_agent, ca_file=self._ca_file)
        return http, Streams(guard, user_agent=STREAM_AGENT, ca_file=self._ca_file)


@dataclass(frozen=True, slots=True)
class Ground:
    """Open as long as its phones live."""

    clock: Clock
    store: SqliteStore
    network: Network


@contextlib.asynccontextmanager
async def open_ground(
    data: Path,
    clock: Clock,
    reach: Reach,
    *,
    tell_network: Callable[[bool], None],
    watch: Watch | None = None,
) -> AsyncIterator[Ground]:
    """Open the data folder, made if need be, and start calling webhooks.

    ``tell_network`` hears when the network goes and comes, ``watch`` sees each call of a webhook.
    Raises ``Conflict`` if another process has the folder.
    """
    settings = Settings(data=data)
    _make(data)
    with sole_server(settings.database):
        async with contextlib.AsyncExitStack() as closing:
            vault = Vault(kept_secret(settings, "master_key"))
            store = SqliteStore(settings.database, clock, vault)
            closing.push_async_callback(store.close)
            network = Network(tell_network)
            http = reach.http(network, watch)
            closing.push_async_callback(http.close)
            scripts = Workers(Deno(None), total=1, memory_mb=settings.script_memory)
            closing.push_async_callback(scripts.close)
            calls = _Calls(
                network, clock, lambda: _engine(store, clock, http, reach.guard, scripts, settings)
            )
            await closing.enter_async_context(calls.made())
            yield Ground(clock, store, network)


class _Calls:
    """The calls of webhooks: without a network none is tried, and what is owed waits (A §4.8)."""

    def __init__(self, network: Network, clock: Clock, make: Callable[[], Engine]) -> None:
        self._network, self._clock, self._make = network, clock, make
        self._engine = make()

    @contextlib.asynccontextmanager
    async def made(self) -> AsyncIterator[None]:
        await self._engine.start()
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await self._engine.stop(STOP_S)

    async def _follow(self) -> None:
        while True:
            await self._network.down.wait()
            await self._engine.stop(STOP_S)
            while not self._network.up.is_set():
                await self._network.up.wait()
            self._engine = self._make()
            await self._start()

    async def _start(self) -> None:
        while True:
            try:
                return await self._engine.start()
            except Unavailable:  # the disk is full, say
                await self._clock.sleep(AGAIN_MS)


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _engine(
    store: SqliteStore,
    clock: Clock,
    http: HttpClient,
    guard: Guard,
    scripts: Workers,
    settings: Settings,
) -> Engine:
    return Engine(
        store,
        clock,
        http,
        guard,
        scripts,
        policy=RetryPolicy(settings.channel_retry_waits),
        channel_concurrency=settings.channel_concurrency,
        webhook_concurrency=settings.webhook_concurrency,
        webhook_concurrency_total=settings.webhook_concurrency_total,
        webhook_jitter=0.0,
        heeds_receivers=False,
        retention=RETENTION,
    )
