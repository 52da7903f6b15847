"""A phone in local mode, and the receiver of its webhooks, on real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from textgate.clock import SystemClock
from textgate.domain.event import CallAttempt, Delivery
from textgate.domain.times import Clock, Milliseconds
from textgate.phone.behaviour import Behaviour
from textgate.phone.handset import Handset
from textgate.phone.happening import Happening
from textgate.phone.local import Answering, Local, LocalOptions, open_local
from textgate.store.base import Tx
from textgate.testing.clock import FakeClock
from textgate.testing.far_side import FarSide, Request

PATIENCE_S = 20.0
NUMBER = "+79990001234"
QUICK = Behaviour(hand_over_ms=(0, 0), send_ms=(1, 1), deliver_ms=(1, 1), seed=1)


@dataclass
class LocalWorld:
    """An open phone, and a client that has its password."""

    local: Local
    clock: Clock
    client: httpx.AsyncClient
    happened: list[Happening] = field(default_factory=list)

    @property
    def answering(self) -> Answering:
        return self.local.answering

    @property
    def handset(self) -> Handset:
        return self.local.handset

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Make a request that must be answered by ``status``; return the JSON of the answer."""
        answer = await self.client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def hook(self, url: str, event: str, hook_id: str = "hook") -> None:
        wanted = {"id": hook_id, "url": url, "event": event}
        await self.call("POST", "/webhooks", wanted, status=201)

    async def send(self, **more: Any) -> str:
        body = {"phoneNumbers": [NUMBER], "textMessage": {"text": "hi"}, **more}
        sent: str = (await self.call("POST", "/messages", body, status=202))["id"]
        return sent

    async def until(self, holds: Callable[[Tx], bool]) -> None:
        """Wait until the store says so."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.local.ground.store.read(holds):
                await asyncio.sleep(0.002)

    async def pass_time(self, ms: Milliseconds) -> None:
        assert isinstance(self.clock, FakeClock)
        self.clock.advance(ms)
        await asyncio.sleep(0)

    async def delivery(self) -> Delivery:
        """Return the only delivery there is."""
        return await self.local.ground.store.read(self._delivery)

    def _delivery(self, tx: Tx) -> Delivery:
        [webhook] = tx.webhooks.all(self.local.account_id)
        [only] = tx.deliveries.page(self.local.account_id, webhook.key, before=None, limit=10)
        return only

    def calls(self, tx: Tx) -> list[CallAttempt]:
        only = self._delivery(tx)
        return tx.deliveries.attempts(self.local.account_id, only.lane, only.event_id)


async def called(far: FarSide, path: str, count: int = 1) -> list[Request]:
    """Wait until a webhook has been called so often."""
    async with asyncio.timeout(PATIENCE_S):
        while far.count(path) < count:
            await asyncio.sleep(0.002)
    return far.requests[path]


@asynccontextmanager
async def local_phone(
    folder: Path, *, clock: Clock | None = None, behaviour: Behaviour = QUICK, **options: Any
) -> AsyncIterator[LocalWorld]:
    clock, answers, happened = clock or SystemClock(), asyncio.Event(), list[Happening]()
    options = {"password": "eight-ch", "port": 0} | options
    wanted = LocalOptions(data=folder, behaviour=behaviour, **options)
    async with open_local(wanted, clock, happened.append, started=answers.set) as local:
        living = asyncio.create_task(local.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await answers.wait()
            known = local.answering
            auth = (known.user, options["password"] or known.password or "")
            async with httpx.AsyncClient(
                base_url=known.url, auth=auth, timeout=20, trust_env=False
            ) as client:
                yield LocalWorld(local, clock, client, happened)
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
