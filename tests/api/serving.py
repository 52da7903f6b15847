"""A real API over real HTTP on the loopback, in this loop: store, clock, one account, no engine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from uvicorn.server import ServerState

from textgate import telemetry
from textgate.api.operation import Group, Services
from textgate.api.protocol import QuickProtocol
from textgate.api.server import build_api
from textgate.config import Settings
from textgate.domain.account import Account, Channel
from textgate.domain.inbound import Attachment, Inbound
from textgate.domain.push import Push
from textgate.engine.push import PushRelay
from textgate.gateway import channels, credentials, devices
from textgate.gateway.inbox import keep
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.desk import Desk
from textgate.outbound.script.workers import Workers
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock
from textgate.testing.vault import VAULT

PASSWORD = "fourteen-chars"
PASSWORD_HASH = credentials.hash_password(PASSWORD)
JWT_SECRET = "a secret of tests, longer than 32 bytes"
STOP_TIMEOUT_S = 20.0
"""What is under way at the end of a test may take so long, and no longer."""
RESOLVED = {"example.com": ["93.184.215.14"], "inside.example.com": ["10.0.0.1"]}


async def _resolve(host: str, port: int) -> list[str]:
    """Names of the tests; no resolver is asked."""
    return RESOLVED.get(host, [])


@dataclass
class Served:
    """A running API and what stands behind it."""

    url: str
    store: SqliteStore
    clock: FakeClock
    services: Services
    account: Account

    @property
    def login(self) -> str:
        return self.account.login

    async def add_channel(self, provider: str = "simulator", **settings: Any) -> Channel:
        draft = channels.Draft(provider=provider, name=provider, settings=settings)
        account_id, guard = self.account.id, self.services.guard
        return await self.store.write(lambda tx: channels.add(tx, account_id, draft, guard))

    async def add_phone(
        self, name: str = "phone", *, account_id: str | None = None, **said: Any
    ) -> devices.Registered:
        """Register a phone of the account (or of another); ``said``: fields of a Registration."""
        owner, wanted = account_id or self.account.id, devices.Registration(name=name, **said)
        return await self.store.write(lambda tx: devices.register(tx, owner, wanted))

    async def receive(self, *, attachments: Sequence[Any] = (), **said: Any) -> None:
        """Keep a received message; ``said``: fields of an Inbound, ``attachments``: of each one."""
        owner = {"account_id": self.account.id}
        defaults = {"type": "SMS", "device_id": "phone", "recipient": None, "sim_number": None}
        inbound = Inbound(**owner | defaults | {"created_at": self.clock.now()} | said)
        nothing = {"inbound_id": inbound.id, "name": None, "size": None, "data": None}
        attached = [Attachment(**owner | nothing | one) for one in attachments]
        region = self.services.settings.default_region
        await self.store.write(lambda tx: keep(tx, inbound, attached, default_region=region))

    async def add_account(self) -> Account:
        """Add another account with the same password."""
        return await self.store.write(
            lambda tx: credentials.add_account(tx, password_hash=PASSWORD_HASH)
        )

    def client(self, **wanted: Any) -> httpx.AsyncClient:
        """A client with the account's password, unless ``auth`` says otherwise."""
        wanted.setdefault("auth", (self.login, PASSWORD))
        return httpx.AsyncClient(
            base_url=self.url, timeout=20, trust_env=False, verify=False, **wanted
        )


def _relay(
    store: SqliteStore, clock: FakeClock, http: HttpClient, configured: Settings
) -> Callable[[Sequence[Push]], bool] | None:
    """The queue of the push relay, which no engine empties here."""
    if not (configured.push_relay_open and configured.push_relay_url):
        return None
    return PushRelay(store, clock, http, configured.push_relay_url).forward


@asynccontextmanager
async def serving(
    folder: Path,
    *groups: Group,
    channel: bool = True,
    limit_concurrency: int | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve ``groups`` (all by default) to an account, with a simulator channel if asked for.

    ``limit_concurrency``: so many connections and no more (uvicorn's).
    """
    clock = FakeClock()
    store = SqliteStore(folder / "textgate.db", clock, VAULT)
    configured = Settings(data=folder, **settings)
    guard, deno = Guard(allow_loopback=True, resolve=_resolve), Deno(configured.deno)
    http = HttpClient(guard, user_agent="Textgate/test")
    scripts = Workers(deno, total=4, memory_mb=256)
    desk = Desk(deno, http, hosts=["127.0.0.1"])
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    services = Services(
        store=store,
        settings=configured,
        guard=guard,
        http=http,
        scripts=scripts,
        desk=desk,
        clock=clock,
        exposition=telemetry.exposition,
        url=configured.public_url or f"http://127.0.0.1:{port}",
        jwt_secret=JWT_SECRET,
        forward_pushes=_relay(store, clock, http, configured),
    )
    account = await store.write(lambda tx: credentials.add_account(tx, password_hash=PASSWORD_HASH))
    try:
        async with _listening(services, groups, sock, limit_concurrency):
            served = Served(f"http://127.0.0.1:{port}", store, clock, services, account)
            if channel:
                await served.add_channel()
            yield served
    finally:
        await desk.close()
        await scripts.close()
        await http.close()
        await store.close()


@asynccontextmanager
async def _listening(
    services: Services,
    groups: tuple[Group, ...],
    sock: socket.socket,
    limit_concurrency: int | None,
) -> AsyncIterator[None]:
    config = uvicorn.Config(
        build_api(services, *groups),
        http=QuickProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=limit_concurrency,
    )
    config.load()
    # uvicorn's protocol without its server, whose stop waits for a tick of a tenth of a second.
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}),
        sock=sock,
    )
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        async with asyncio.timeout(STOP_TIMEOUT_S):
            while state.tasks:
                await asyncio.wait(state.tasks)
        await server.wait_closed()
