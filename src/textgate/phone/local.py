"""Local mode: the phone hosts its own API (A §2.10), and calls its own webhooks."""

import asyncio
import contextlib
import secrets
import socket
import string
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from textgate import telemetry
from textgate.api.local import LocalPhone, local_groups
from textgate.api.operation import Services
from textgate.api.server import Api
from textgate.app import HttpServer, uvicorn_config
from textgate.config import Settings, kept_secret
from textgate.domain.account import Account
from textgate.domain.device import Device
from textgate.domain.errors import Invalid
from textgate.domain.times import Clock
from textgate.gateway import credentials, devices
from textgate.gateway.devices import Registration
from textgate.gateway.phone_settings import known_account
from textgate.gateway.tokens import LocalTokenKey
from textgate.listening import bound, url_of
from textgate.outbound.http import Failure, Reply
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.desk import Desk
from textgate.outbound.script.workers import Workers
from textgate.phone.accounts import KEY_LENGTH, POLICY, set_signing_key
from textgate.phone.behaviour import Behaviour
from textgate.phone.ground import Ground, Reach, open_ground
from textgate.phone.handset import Handset
from textgate.phone.happening import Happening, network_changed, webhook_called
from textgate.phone.health import health_of
from textgate.phone.network import Outage
from textgate.store.base import Store, Tx

USER = "sms"
PASSWORD_LENGTH = 8
"""Of made passwords, and the least of chosen ones, as in the app."""
SHORTEST_USER = 3
FOLDER = "local"
"""Of the data folder: a local phone has a store of its own, apart from those of a server."""
ANYWHERE = ("0.0.0.0/0", "::/0")
"""Who registers webhooks here owns the phone. By what they are called, ``api.local.webhooks``
says: https, and http on this machine alone (A §4.10)."""
STOP_S = 5.0
_LETTERS = string.ascii_letters + string.digits
Tell = Callable[[Happening], None]


class LocalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    user: str | None = None
    """None: as it is, which is ``sms`` at first."""
    password: str | None = None
    """None: as it is; at first it is made, and told once."""
    behaviour: Behaviour = Behaviour()
    ca_file: Path | None = None
    """Further authorities for the webhooks (PEM)."""
    outage: Outage | None = None


class Answering(msgspec.Struct, frozen=True, kw_only=True):
    """What is told once the phone answers."""

    url: str
    device_id: str
    user: str
    password: str | None
    """Only when it was just made."""
    signing_key: str


class Local:
    """A phone that hosts its own API. Made by ``open_local``."""

    def __init__(
        self,
        ground: Ground,
        api: HttpServer,
        sock: socket.socket,
        handset: Handset,
        answering: Answering,
    ) -> None:
        self.ground, self._api, self._sock = ground, api, sock
        self.handset, self.answering = handset, answering
        self.account_id = handset.account_id

    async def run(self) -> None:
        """Answer, send and receive until cancelled."""
        sending = asyncio.create_task(self.handset.run())
        serving = asyncio.create_task(self._api.serve(sockets=[self._sock]))
        try:
            done, _ = await asyncio.wait({sending, serving}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._api.should_exit = True
            sending.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(serving, STOP_S)
            await asyncio.gather(sending, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_local(
    options: LocalOptions, clock: Clock, tell: Tell, *, started: Callable[[], None] = lambda: None
) -> AsyncIterator[Local]:
    """Open the phone's data and its port; it lives in ``Local.run``, and ``started`` is called as
    soon as it answers.

    Raises ``Invalid`` for a user or a password that cannot be, ``Unavailable`` for a port that is
    taken, ``Conflict`` if another process has the folder.
    """
    behaviour = options.behaviour
    reach = Reach(ANYWHERE, ca_file=options.ca_file, version=behaviour.version)
    settings = Settings(data=options.data / FOLDER, host=options.host, port=options.port)

    opened: list[Local] = []

    def watch(body: bytes, ended: Reply | Failure) -> None:
        tell(webhook_called(clock.now(), body, ended))

    def tell_network(is_up: bool) -> None:
        for local in opened:
            local.handset.connect(up=is_up)
        tell(network_changed(clock.now(), is_up))

    with bound(settings) as sock:
        async with (
            open_ground(
                settings.data, clock, reach, tell_network=tell_network, watch=watch
            ) as ground,
            contextlib.AsyncExitStack() as closing,
        ):
            owner, answering = await _own_account(ground.store, options, url_of(settings, sock))
            handset = Handset(ground.store, clock, owner.id, answering.device_id, behaviour, tell)
            phone = LocalPhone(
                account_id=owner.id,
                device_id=answering.device_id,
                model=behaviour.model,
                version=behaviour.version,
                sims=behaviour.sims,
                key=LocalTokenKey.on_phone(kept_secret(settings, "jwt_secret"), owner.id),
                health=lambda tx: health_of(tx, owner.id, handset.behaviour, clock.now()),
            )
            services = await _services(settings, ground, reach, phone, answering.url, closing)
            api = HttpServer(uvicorn_config(settings, Api(services, local_groups(phone))))
            api.on_started = started
            opened.append(Local(ground, api, sock, handset, answering))
            yield opened[0]


async def _own_account(store: Store, options: LocalOptions, url: str) -> tuple[Account, Answering]:
    """Return the account of the phone, made on first use, as it is asked for now."""
    known = await store.read(lambda tx: next(iter(tx.accounts.all()), None))
    made = _made(PASSWORD_LENGTH) if known is None and options.password is None else None
    password, user = options.password or made, options.user
    if user is not None and len(user) < SHORTEST_USER:
        raise Invalid(f"a user has at least {SHORTEST_USER} characters", field="user")
    hashed = None
    if password is not None:
        hashed = await asyncio.to_thread(credentials.hash_password, password, least=PASSWORD_LENGTH)
    key = _made(KEY_LENGTH)

    def settle(tx: Tx) -> tuple[Account, Device]:
        if known is None:
            assert hashed is not None
            account = credentials.add_account(tx, password_hash=hashed, login=user or USER)
            tx.accounts.set_phones(account.id, POLICY)
            set_signing_key(tx, account.id, key)
        else:
            account = known
            if user is not None and user != account.login:
                credentials.rename(tx, account.id, user)
            if hashed is not None:
                credentials.set_password(tx, account.id, hashed)
        return known_account(tx, account.id), _device(tx, account.id, options.behaviour)

    account, device = await store.write(settle)
    return account, Answering(
        url=url,
        device_id=device.id,
        user=account.login,
        password=made,
        signing_key=account.webhook_secret,
    )


def _device(tx: Tx, account_id: str, behaviour: Behaviour) -> Device:
    """Return the phone as a device of its own store, made on first use."""
    for device in tx.devices.all(account_id):
        renamed = msgspec.structs.replace(device, name=behaviour.model)
        tx.devices.save(renamed)
        return renamed
    wanted = Registration(
        name=behaviour.model, sim_cards=list(behaviour.sims), app_version=behaviour.version
    )
    return devices.register(tx, account_id, wanted, device_id=secrets.token_hex(16)).device


def _made(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


async def _services(
    settings: Settings,
    ground: Ground,
    reach: Reach,
    phone: LocalPhone,
    url: str,
    closing: contextlib.AsyncExitStack,
) -> Services:
    deno = Deno(None)
    http = reach.http(ground.network)
    closing.push_async_callback(http.close)
    scripts = Workers(deno, total=1, memory_mb=settings.script_memory)
    closing.push_async_callback(scripts.close)
    desk = Desk(deno, http, hosts=())
    closing.push_async_callback(desk.close)
    return Services(
        store=ground.store,
        settings=settings,
        guard=reach.guard,
        http=http,
        scripts=scripts,
        desk=desk,
        clock=ground.clock,
        exposition=telemetry.exposition,
        url=url,
        jwt_secret=phone.key.secret,
        token_key=phone.key,
    )
