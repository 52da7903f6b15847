"""Phones at a server: one or a hundred of them on the same ground (A §3)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import msgspec

from textgate.domain.account import Account
from textgate.domain.device import SimCard
from textgate.domain.errors import Invalid
from textgate.domain.pairing import PATH
from textgate.domain.times import Clock, Milliseconds
from textgate.outbound.http import Failure, Reply
from textgate.outbound.url import parse_url
from textgate.phone.accounts import Membership, membership, own_account
from textgate.phone.behaviour import Behaviour
from textgate.phone.ground import Ground, Reach, open_ground
from textgate.phone.handset import Handset
from textgate.phone.happening import Happening, network_changed, webhook_called
from textgate.phone.incoming import Incoming
from textgate.phone.mobile_api import MobileApi
from textgate.phone.network import Outage
from textgate.phone.phones import Tell, Told, count_waiting, owes_nothing
from textgate.phone.reports import ReportTrouble
from textgate.phone.sign_in import Joining, SignIn
from textgate.phone.uplink import Uplink

HERE = "http://127.0.0.1:8080"
MOST_PHONES = 1_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    data: Path
    server: str | None = None
    """As a person gives it; None: where the phones are registered already, else ``HERE``."""
    sign_in: SignIn = SignIn()
    count: int = 1
    behaviour: Behaviour = Behaviour()
    reports: ReportTrouble = ReportTrouble()
    outage: Outage | None = None


def server_base(text: str, *, insecure: bool) -> str:
    """Return the base of the device API, from the address that a person gives.

    One without a path is that of a Textgate. Raises ``Invalid`` for one that the app would not
    call: it wants https, but to its own machine (A §4.10).
    """
    url = parse_url(text.rstrip("/"))
    if not insecure and url.scheme != "https" and url.host not in ("127.0.0.1", "localhost"):
        raise Invalid(
            f"the app calls {url.host} by https only; --insecure lets it use plain http",
            field="server",
        )
    base = text.rstrip("/")
    return base if urlsplit(base).path else base + PATH


class Phone:
    """One phone of the process."""

    def __init__(self, number: int, account: Account, behaviour: Behaviour) -> None:
        self.number, self.account_id, self.behaviour = number, account.id, behaviour
        self.signing_key = account.webhook_secret
        self.member: Membership | None = None
        self.uplink: Uplink | None = None
        self.handset: Handset | None = None
        self.ready = asyncio.Event()
        """It is registered and knows whom to tell of what comes in: what came earlier would be
        lost."""

    @property
    def idle(self) -> bool:
        return self.uplink is not None and self.uplink.idle


class Cloud:
    """All phones of the process. Made by ``open_cloud``."""

    def __init__(self, plan: Plan, ground: Ground, reach: Reach, tell: Tell) -> None:
        self._plan, self._ground, self._reach, self._tell = plan, ground, reach, tell
        self.phones: list[Phone] = []
        self.network = ground.network

    @property
    def behaviours(self) -> Sequence[Behaviour]:
        """How each phone is, the first one first."""
        return [phone.behaviour for phone in self.phones]

    async def prepare(self) -> None:
        """Make the accounts of the phones in their own store."""
        numbers = range(1, self._plan.count + 1)
        accounts = await self._ground.store.write(lambda tx: [own_account(tx, n) for n in numbers])
        behaviours = [_of_number(self._plan.behaviour, n) for n in numbers]
        self.phones = list(map(Phone, numbers, accounts, behaviours))

    async def run(self) -> None:
        """Go on until cancelled. Raises ``Refused`` if the server does not take a phone, and
        ``Invalid`` for an address that the app would not call."""
        base = await self._base()
        host = urlsplit(base).hostname or ""
        http, streams = self._reach.to_server(self._ground.network, host)
        try:
            api = MobileApi(http, streams, base)
            first, *others = self.phones
            how = await self._first(first, api, base)
            async with asyncio.TaskGroup() as group:
                if self._plan.outage is not None:
                    group.create_task(self.network.suffer(self._plan.outage, self._ground.clock))
                group.create_task(self._live(first, api))
                for phone in others:
                    group.create_task(self._join_and_live(phone, api, base, how))
        finally:
            await http.close()

    async def idle(self) -> bool:
        """Nothing is under way on any phone, and nothing is owed to a server or a webhook."""
        if not all(phone.idle for phone in self.phones):
            return False
        return await self._ground.store.read(owes_nothing)

    async def receive(self, number: int, incoming: Incoming) -> None:
        """An SMS comes in on the phone of this number, once it is registered."""
        phone = self.phones[number - 1]
        await phone.ready.wait()
        assert phone.handset is not None
        await phone.handset.receive(incoming)

    async def ping(self, number: int) -> None:
        """Have a phone ping, once it is registered."""
        phone = self.phones[number - 1]
        await phone.ready.wait()
        assert phone.handset is not None
        await phone.handset.ping()

    def where(self) -> str:
        """The base of the server's device API; empty while no phone is registered."""
        return next((phone.member.server for phone in self.phones if phone.member), "")

    def arrived(self) -> bool:
        """Whether any phone came to its server."""
        return any(phone.member for phone in self.phones)

    def to_show(self, number: int) -> dict[str, str]:
        """What only a person should see, when a phone is newly registered."""
        phone = self.phones[number - 1]
        assert phone.member is not None
        known = phone.member.known
        shown = {"server": phone.member.server, "login": known.login}
        if known.password is not None:  # of a new account
            shown["password"] = known.password
        return shown | {"signing_key": phone.signing_key}

    def set_battery(self, percent: int) -> None:
        """Charge or drain the battery of every phone."""
        for phone in self.phones:
            phone.behaviour = msgspec.structs.replace(phone.behaviour, battery=percent)
            if phone.handset is not None:
                now = phone.handset.behaviour
                phone.handset.behaviour = msgspec.structs.replace(now, battery=percent)

    def connect(self, *, up: bool) -> None:
        """What the phones know of their network."""
        for phone in self.phones:
            if phone.handset is not None:
                phone.handset.connect(up=up)

    async def lose_network(self, for_ms: Milliseconds) -> None:
        """Have no network for a while."""
        await self.network.suffer(Outage(for_ms, 0), self._ground.clock)

    async def waiting(self, most: int) -> list[int]:
        """Return how many messages wait on each of the first phones, ``most`` of them."""
        accounts = [phone.account_id for phone in self.phones[:most]]
        return await self._ground.store.read(
            lambda tx: [count_waiting(tx, each) for each in accounts]
        )

    async def _base(self) -> str:
        if self._plan.server is not None:
            return server_base(self._plan.server, insecure=self._reach.insecure)
        first = self.phones[0].account_id
        member = await self._ground.store.read(lambda tx: membership(tx, first))
        return member.server if member else server_base(HERE, insecure=False)

    async def _first(self, phone: Phone, api: MobileApi, base: str) -> SignIn:
        """Bring the first phone to its server; return how the others sign in: to its account."""
        member = await self._join(phone, api, base, self._plan.sign_in)
        how = self._plan.sign_in
        if how.login is None and member.known.password is not None:
            return SignIn(
                private_token=how.private_token,
                login=member.known.login,
                password=member.known.password,
            )
        return how

    async def _join_and_live(self, phone: Phone, api: MobileApi, base: str, how: SignIn) -> None:
        await self._join(phone, api, base, how)
        await self._live(phone, api)

    async def _join(self, phone: Phone, api: MobileApi, base: str, how: SignIn) -> Membership:
        ground = self._ground
        joining = Joining(
            ground.store,
            ground.clock,
            ground.network,
            phone.account_id,
            phone.behaviour,
            self._teller(phone),
        )
        phone.member, fresh = await joining.arrive(api, base, how)
        if fresh:
            known = phone.member.known
            said = f"registered as {known.id} of account {known.login}"
            at = ground.clock.now()
            self._teller(phone)(Happening(at=at, kind="registered", text=said))
        return phone.member

    async def _live(self, phone: Phone, api: MobileApi) -> None:
        assert phone.member is not None
        ground, tell, known = self._ground, self._teller(phone), phone.member.known
        phone.handset = Handset(
            ground.store, ground.clock, phone.account_id, known.id, phone.behaviour, tell
        )
        phone.uplink = Uplink(
            ground.store,
            ground.clock,
            ground.network,
            api,
            phone.account_id,
            phone.member,
            phone.behaviour,
            tell,
            trouble=self._plan.reports,
            dice=Random(phone.behaviour.seed),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(phone.handset.run())
            group.create_task(phone.uplink.run())
            group.create_task(self._make_ready(phone, phone.uplink))

    async def _make_ready(self, phone: Phone, uplink: Uplink) -> None:
        account_id = phone.account_id
        if not await self._ground.store.read(lambda tx: tx.webhooks.all(account_id)):
            await uplink.told_webhooks.wait()
        phone.ready.set()

    def _teller(self, phone: Phone) -> Callable[[Happening], None]:
        def tell(happening: Happening) -> None:
            if happening.kind == "ping" and phone.uplink is not None:
                phone.uplink.pull()  # a ping makes the app look into its queue (A §4.8)
            device_id = phone.member.known.id if phone.member else None
            self._tell(Told(phone.number, device_id, happening))

        return tell

    def called(self, body: bytes, ended: Reply | Failure) -> None:
        """A webhook was called."""
        device_id = msgspec.json.decode(body, type=_Envelope).device_id
        numbers = (p.number for p in self.phones if p.member and p.member.known.id == device_id)
        happening = webhook_called(self._ground.clock.now(), body, ended)
        self._tell(Told(next(numbers, 0), device_id, happening))


class _Envelope(msgspec.Struct, rename="camel"):
    device_id: str


@contextlib.asynccontextmanager
async def open_cloud(plan: Plan, clock: Clock, reach: Reach, tell: Tell) -> AsyncIterator[Cloud]:
    """Open the ground of the phones; they live in ``Cloud.run``."""
    opened: list[Cloud] = []

    def tell_network(is_up: bool) -> None:
        for cloud in opened:
            cloud.connect(up=is_up)
        tell(Told(0, None, network_changed(clock.now(), is_up)))

    def watch(body: bytes, ended: Reply | Failure) -> None:
        for cloud in opened:
            cloud.called(body, ended)

    async with open_ground(
        plan.data, clock, reach, tell_network=tell_network, watch=watch
    ) as ground:
        cloud = Cloud(plan, ground, reach, tell)
        await cloud.prepare()
        opened.append(cloud)
        yield cloud


def _of_number(behaviour: Behaviour, number: int) -> Behaviour:
    """The behaviour of one of several phones: each has a name, numbers and dice of its own."""
    if number == 1:
        return behaviour
    return msgspec.structs.replace(
        behaviour,
        model=f"{behaviour.model} {number}",
        sims=tuple(_counted(sim, number) for sim in behaviour.sims),
        seed=None if behaviour.seed is None else behaviour.seed + number,
    )


def _counted(sim: SimCard, number: int) -> SimCard:
    own = sim.phone_number
    if own is None or not own.removeprefix("+").isdigit():
        return sim
    return msgspec.structs.replace(sim, phone_number=f"+{int(own[1:]) + 10 * (number - 1)}")
