"""The only file that knows every concrete class: it wires the settings to the rooms."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn
import uvloop

from textgate import __version__, telemetry
from textgate.api.operation import Services
from textgate.api.protocol import QuickProtocol
from textgate.api.server import build_api
from textgate.clock import SystemClock
from textgate.config import Settings, kept_file, kept_secret
from textgate.domain.errors import Unavailable
from textgate.domain.retry import RetryPolicy
from textgate.domain.times import Milliseconds
from textgate.engine.engine import Engine
from textgate.gateway import channels, credentials
from textgate.gateway.phone_settings import unreachable
from textgate.listening import allow_many_files, bound, is_alone, url_of
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.desk import Desk
from textgate.outbound.script.workers import Workers
from textgate.store.base import Store, Tx
from textgate.store.seals import sealed_with
from textgate.store.sqlite import PATIENCE_AT_END_S, SqliteStore
from textgate.store.sqlite_file import ask_file, renew_seals, sole_server
from textgate.store.vault import Vault

log = structlog.get_logger("textgate")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Shown once."""

    login: str
    password: str


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account of a list."""

    login: str
    created_at: Milliseconds


@dataclass(frozen=True, slots=True)
class Started:
    """What ``serve`` announces once it answers."""

    url: str
    data: Path
    first: Credentials | None
    """The account made on the very first start."""


class AccountBook:
    """The accounts of an installation, for its operator."""

    def __init__(self, store: Store, guard: Guard) -> None:
        self._store = store
        self._guard = guard

    async def add(self, login: str | None = None) -> Credentials:
        """Add an account without channels. Raises ``Conflict`` if the login is taken."""
        password = credentials.make_password()
        hashed = await asyncio.to_thread(credentials.hash_password, password)
        account = await self._store.write(
            lambda tx: credentials.add_account(tx, password_hash=hashed, login=login)
        )
        return Credentials(account.login, password)

    async def first(self) -> Credentials | None:
        """Make an account with a simulator if there is none at all."""
        if await self._store.read(lambda tx: tx.accounts.all()):
            return None
        made = await self.add()
        draft = channels.Draft(provider="simulator", name="simulator", settings={})
        guard = self._guard

        def add_channel(tx: Tx) -> None:
            channels.add(tx, credentials.account_named(tx, made.login).id, draft, guard)

        await self._store.write(add_channel)
        return made

    async def list(self) -> list[AccountRow]:
        accounts = await self._store.read(lambda tx: tx.accounts.all())
        return [AccountRow(a.login, a.created_at) for a in accounts]

    async def set_password(self, login: str, password: str | None) -> Credentials:
        """Set a password, made up if None. Raises ``Invalid`` or ``NotFound``."""
        password = password or credentials.make_password()
        hashed = await asyncio.to_thread(credentials.hash_password, password)

        def change(tx: Tx) -> None:
            credentials.set_password(tx, credentials.account_named(tx, login).id, hashed)

        await self._store.write(change)
        return Credentials(login, password)

    async def remove(self, login: str) -> None:
        """Remove an account and all that belongs to it. Raises ``NotFound``."""
        await self._store.write(
            lambda tx: credentials.remove_account(tx, credentials.account_named(tx, login).id)
        )


@contextlib.asynccontextmanager
async def open_accounts(settings: Settings) -> AsyncIterator[AccountBook]:
    """Open the data folder, made if need be, with or without a running server beside it."""
    _make_folder(settings.data)
    store = SqliteStore(settings.database, SystemClock(), _vault(settings))
    try:
        yield AccountBook(store, guard_of(settings))
    finally:
        await store.close()


def guard_of(settings: Settings) -> Guard:
    """Return the guard of outbound calls."""
    return Guard(settings.allow_addresses, allow_loopback=settings.listens_on_loopback_only)


def serve(settings: Settings, *, announce: Callable[[Started], None]) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    return uvloop.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Callable[[Started], None]) -> int:
    _make_folder(settings.data)
    allow_many_files()
    with sole_server(settings.database), bound(settings) as sock:
        vault = _vault(settings)
        renew_seals(settings.database, vault)
        async with contextlib.AsyncExitStack() as closing:
            store = SqliteStore(settings.database, SystemClock(), vault)
            closing.push_async_callback(store.close)
            outside = _outside(settings)
            closing.push_async_callback(outside.close)
            return await _run(settings, store, outside, sock, announce)


@dataclass(frozen=True, slots=True)
class _Outside:
    """What reaches out of this process."""

    guard: Guard
    http: HttpClient
    scripts: Workers
    desk: Desk

    async def close(self) -> None:
        await self.desk.close()
        await self.scripts.close()
        await self.http.close()


def _outside(settings: Settings) -> _Outside:
    guard, deno = guard_of(settings), Deno(settings.deno)
    http = HttpClient(guard, user_agent=f"Textgate/{__version__}", ca_file=settings.ca_file)
    scripts = Workers(deno, total=settings.script_workers, memory_mb=settings.script_memory)
    return _Outside(guard, http, scripts, Desk(deno, http, hosts=settings.script_hosts))


async def _run(
    settings: Settings,
    store: SqliteStore,
    outside: _Outside,
    sock: socket.socket,
    announce: Callable[[Started], None],
) -> int:
    clock = SystemClock()
    engine = _engine(settings, store, outside, clock)
    services = _services(settings, store, outside, clock, engine, url_of(settings, sock))
    server = HttpServer(uvicorn_config(settings, build_api(services)))
    # Last of what can fail: its password is shown once.
    first = await AccountBook(store, outside.guard).first()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if why := unreachable(services.url, elsewhere=not is_alone(settings)):
        log.info("phones call webhooks themselves", why=why)
    await engine.start()
    _spare_the_collector()
    server.on_started = lambda: announce(Started(url_of(settings, sock), settings.data, first))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    await asyncio.wait(
        {serving, asyncio.ensure_future(stop.wait())}, return_when=asyncio.FIRST_COMPLETED
    )
    log.info("stopping")
    loop = asyncio.get_running_loop()
    end = loop.time() + settings.stop_timeout.total_seconds()
    # Who waits behind another process's lock is told so while it can still be answered.
    loop.call_at(end - PATIENCE_AT_END_S, store.lose_patience)
    services.stopping.set()
    server.should_exit = True
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(serving, end - loop.time())
    await engine.stop(max(PATIENCE_AT_END_S, end - loop.time()))
    log.info("stopped")
    return 0


def _engine(
    settings: Settings, store: SqliteStore, outside: _Outside, clock: SystemClock
) -> Engine:
    return Engine(
        store,
        clock,
        outside.http,
        outside.guard,
        outside.scripts,
        policy=RetryPolicy(settings.channel_retry_waits),
        channel_concurrency=settings.channel_concurrency,
        webhook_concurrency=settings.webhook_concurrency,
        webhook_concurrency_total=settings.webhook_concurrency_total,
        webhook_jitter=settings.webhook_jitter,
        retention=settings.retention,
        push_relay_url=settings.push_relay_url,
    )


def _services(
    settings: Settings,
    store: SqliteStore,
    outside: _Outside,
    clock: SystemClock,
    engine: Engine,
    url: str,
) -> Services:
    return Services(
        store=store,
        settings=settings,
        guard=outside.guard,
        http=outside.http,
        scripts=outside.scripts,
        desk=outside.desk,
        clock=clock,
        exposition=telemetry.exposition,
        url=url,
        jwt_secret=kept_secret(settings, "jwt_secret"),
        forward_pushes=engine.relay.forward if engine.relay and settings.push_relay_open else None,
    )


def _spare_the_collector() -> None:
    """What was imported stays for good, and a message leaves few cycles behind: look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: ``_run`` decides when to stop, and the exit code."""

    on_started: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def uvicorn_config(settings: Settings, api: object) -> uvicorn.Config:
    return uvicorn.Config(
        api,  # type: ignore[arg-type]
        http=QuickProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        backlog=1024,
        limit_concurrency=2_000,
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=65_536,
        timeout_graceful_shutdown=max(1, int(settings.stop_timeout.total_seconds())),
    )


def _vault(settings: Settings) -> Vault:
    """Raises ``Unavailable`` if the kept key is gone: another one would be of no use."""
    kept = kept_file(settings, "master_key")
    # Asked for before the file: a process that starts just now makes the file first.
    sealed = ask_file(settings.database, sealed_with)
    if sealed and settings.master_key is None and not kept.exists():
        raise Unavailable(
            f"{kept} is gone, and the secrets in {settings.database} are sealed with it;"
            " put it back, or set master_key (TEXTGATE_MASTER_KEY) to what was in it"
        )
    return Vault(kept_secret(settings, "master_key"))


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
