"""A phone in local mode, as what runs phones sees it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from textgate.domain.times import Clock, Milliseconds
from textgate.phone.behaviour import Behaviour
from textgate.phone.happening import Happening
from textgate.phone.incoming import Incoming
from textgate.phone.local import Local, LocalOptions, open_local
from textgate.phone.network import Outage
from textgate.phone.phones import Phones, Tell, Told, count_waiting, owes_nothing


class LocalPhones:
    """One phone that hosts its own API."""

    def __init__(self, local: Local, outage: Outage | None) -> None:
        self._local, self._ground, self._outage = local, local.ground, outage

    @property
    def behaviours(self) -> Sequence[Behaviour]:
        return (self._local.handset.behaviour,)

    async def run(self) -> None:
        network, clock = self._ground.network, self._ground.clock
        async with asyncio.TaskGroup() as group:
            if self._outage is not None:
                group.create_task(network.suffer(self._outage, clock))
            group.create_task(self._local.run())

    def where(self) -> str:
        return self._local.answering.url

    def arrived(self) -> bool:
        return True

    def to_show(self, number: int) -> dict[str, str]:
        answering = self._local.answering
        shown = {"server": answering.url, "login": answering.user}
        if answering.password is not None:  # it was just made
            shown["password"] = answering.password
        return shown | {"signing_key": answering.signing_key}

    async def idle(self) -> bool:
        return await self._ground.store.read(owes_nothing)

    async def waiting(self, most: int) -> list[int]:
        owner = self._local.account_id
        return [await self._ground.store.read(lambda tx: count_waiting(tx, owner))]

    async def receive(self, number: int, incoming: Incoming) -> None:
        await self._local.handset.receive(incoming)

    async def ping(self, number: int) -> None:
        await self._local.handset.ping()

    def set_battery(self, percent: int) -> None:
        handset = self._local.handset
        handset.behaviour = msgspec.structs.replace(handset.behaviour, battery=percent)

    async def lose_network(self, for_ms: Milliseconds) -> None:
        await self._ground.network.suffer(Outage(for_ms, 0), self._ground.clock)


@contextlib.asynccontextmanager
async def open_local_phones(
    options: LocalOptions, clock: Clock, tell: Tell
) -> AsyncIterator[Phones]:
    """Open a phone in local mode. Raises as ``open_local``."""
    opened: list[Local] = []

    def tell_one(happening: Happening) -> None:
        device_id = opened[0].answering.device_id if opened else None
        tell(Told(1, device_id, happening))

    def started() -> None:
        url = opened[0].answering.url
        tell_one(Happening(at=clock.now(), kind="answering", text=f"answers on {url}"))

    async with open_local(options, clock, tell_one, started=started) as local:
        opened.append(local)
        yield LocalPhones(local, options.outage)
