"""The engine of one process: two dispatchers, their runners, and the housekeeping."""

import asyncio
from datetime import timedelta

from textgate.domain.device import Nudge
from textgate.domain.event import CallJob
from textgate.domain.message import SendJob
from textgate.domain.retry import RetryPolicy
from textgate.domain.times import Clock, Milliseconds
from textgate.engine.deliver import Deliver
from textgate.engine.dispatcher import Dispatcher
from textgate.engine.housekeeping import Housekeeping
from textgate.engine.notify import Notify
from textgate.engine.push import PushRelay
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.workers import Workers
from textgate.store.base import Job, Store

SENDS_IN_ALL = 1_000


class Engine:
    """The store's ``Intake``: work that was born here is begun here."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        http: HttpClient,
        guard: Guard,
        scripts: Workers,
        *,
        policy: RetryPolicy,
        channel_concurrency: int,
        webhook_concurrency: int,
        webhook_concurrency_total: int,
        webhook_jitter: float,
        heeds_receivers: bool = True,
        retention: timedelta,
        push_relay_url: str | None = None,
    ) -> None:
        self._store = store
        self._deliver = Deliver(
            store, clock, http, guard, scripts, policy=policy, capacity=channel_concurrency
        )
        self._notify = Notify(
            store,
            clock,
            http,
            capacity=webhook_concurrency,
            jitter=webhook_jitter,
            heeds=heeds_receivers,
        )
        self._sends = Dispatcher(store, clock, self._deliver, in_flight=SENDS_IN_ALL)
        self._calls = Dispatcher(store, clock, self._notify, in_flight=webhook_concurrency_total)
        self.housekeeping = Housekeeping(
            store,
            clock,
            retention=retention,
            forget=(self._deliver.forget_removed, self._notify.forget_removed),
        )
        self.relay = PushRelay(store, clock, http, push_relay_url) if push_relay_url else None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take over what a process that is gone had in hand, then begin."""
        await self._store.write(lambda tx: (tx.recipients.end_leases(), tx.deliveries.end_leases()))
        self._store.intake = self
        self._tasks = [
            asyncio.create_task(self._sends.claim_for_ever(), name="claim sends"),
            asyncio.create_task(self._calls.claim_for_ever(), name="claim calls"),
            asyncio.create_task(self.housekeeping.keep_for_ever(), name="housekeeping"),
        ]
        if self.relay is not None:
            self._tasks.append(asyncio.create_task(self.relay.push_for_ever(), name="push"))

    async def stop(self, within_s: float) -> None:
        """Finish what is under way within the bound, release the rest."""
        await asyncio.gather(self._sends.stop(within_s), self._calls.stop(within_s))
        self._store.intake = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deliver.close()

    def room(self, job_type: type[Job], lane: str) -> bool:
        return self._sends.room(lane) if job_type is SendJob else self._calls.room(lane)

    def take(self, job: Job) -> None:
        if isinstance(job, SendJob):
            self._sends.accept(job)
        else:
            self._calls.accept(job)

    def withdraw(self, job: Job) -> bool:
        if isinstance(job, CallJob):
            return self._calls.withdraw(job)
        return self._sends.withdraw(job)

    def nudge(self, nudge: Nudge) -> None:
        """Wake a phone that does not listen here, by push if that is set up; else it polls."""
        if self.relay is not None:
            self.relay.nudge(nudge)

    def poke(self, at: Milliseconds) -> None:
        self._sends.poke(at)
        self._calls.poke(at)
