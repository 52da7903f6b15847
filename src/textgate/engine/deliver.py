"""One message to one number through one channel."""

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import structlog

from textgate import telemetry
from textgate.domain.account import Channel
from textgate.domain.decision import Decision, Finish
from textgate.domain.errors import Invalid
from textgate.domain.lifecycle import Signal, State
from textgate.domain.message import Receipt, SendJob
from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Unknown
from textgate.domain.phone import mask
from textgate.domain.retry import RetryPolicy
from textgate.domain.signing import fingerprint
from textgate.domain.times import Clock, Milliseconds, milliseconds
from textgate.engine.dispatcher import OVERDUE
from textgate.engine.insist import insist
from textgate.engine.lane import Lane
from textgate.gateway.phone_queue import due
from textgate.gateway.receive import receive
from textgate.gateway.settle import (
    Leave,
    Report,
    begin,
    call_off,
    expire,
    give_up,
    postpone,
    settle,
)
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.workers import Workers
from textgate.providers.base import OpenChannel, Provider, Sms, Tools
from textgate.providers.discovery import find
from textgate.store.base import Store, Tx

ILLNESS = frozenset(
    {
        Reason.UNREACHABLE,
        Reason.TIMEOUT,
        Reason.PROVIDER_ERROR,
        Reason.AUTHENTICATION_FAILED,
        Reason.ADDRESS_REFUSED,
        Reason.RATE_LIMITED,
    }
)
"""Reasons that speak of the channel and not of the message: in a row, they make it rest."""

log = structlog.get_logger("textgate.send")


@dataclass(slots=True, eq=False)
class Opened:
    """A channel ready to send, and what was read of it when it was opened."""

    channel: Channel
    provider: Provider[Any]
    settings: Any
    instance: OpenChannel
    generation: int
    sending: int = 0
    """Attempts under way: it is not forgotten meanwhile."""


class Deliver:
    """The runner of ``SendJob``."""

    work = "send"

    def __init__(
        self,
        store: Store,
        clock: Clock,
        http: HttpClient,
        guard: Guard,
        scripts: Workers,
        *,
        policy: RetryPolicy,
        capacity: int,
    ) -> None:
        self.capacity = capacity
        self._store = store
        self._clock = clock
        self._http = http
        self._guard = guard
        self._scripts = scripts
        self._policy = policy
        self._open: dict[str, Opened] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._replaced: list[Opened] = []  # by other settings; closed when they send no more
        self._tidy_at = -1
        """The generation of channels at which nothing kept was of a removed one."""

    def lanes(self, tx: Tx) -> list[tuple[str, Milliseconds]]:
        return tx.recipients.lanes()

    def take(self, tx: Tx, lane: str, limit: int) -> list[SendJob]:
        return tx.recipients.take(lane, limit)

    def release(self, tx: Tx, job: SendJob) -> None:
        tx.recipients.release(job)

    async def prepare(self, job: SendJob, lane: Lane[SendJob]) -> None:
        opened = await self._known(job)
        if opened is not None and opened.channel.enabled and not opened.provider.pulled:
            _set_limits(lane, opened.channel)

    async def rest(self, job: SendJob, lane: Lane[SendJob]) -> None:
        until = lane.breaker.resting_until
        await self._store.write(lambda tx: postpone(tx, job, until))

    async def run(self, job: SendJob, lane: Lane[SendJob]) -> None:
        opened = await self._known(job)
        # Sent and still owed: the parts of it are waited for, and its phone may be removed by now.
        sent = job.recipient.state is State.SENT
        if sent or (opened is not None and opened.provider.pulled):
            await self._store.write(lambda tx: due(tx, job))
            return
        if job.recipient.state is State.CANCELLING:  # asked for while somebody else had it
            await self._store.write(lambda tx: call_off(tx, job))
            return
        if self._clock.now() >= job.recipient.deadline:
            await self._store.write(lambda tx: expire(tx, job))
            return
        if opened is None or not opened.channel.enabled:
            await self._store.write(lambda tx: give_up(tx, job, Reason.NO_CHANNEL))
            return
        opened.sending += 1
        try:
            await self._send(opened, job, lane)
        finally:
            opened.sending -= 1

    async def _send(self, opened: Opened, job: SendJob, lane: Lane[SendJob]) -> None:
        _set_limits(lane, opened.channel)
        started_at = self._clock.now()
        sms = _sms(job)
        resend = opened.provider.resend(opened.settings, sms)
        leave = Leave.GO
        if not resend:
            leave = await self._store.write(lambda tx: begin(tx, job, started_at))
        if leave is Leave.LOST:
            telemetry.LATE_RESULTS.inc(self.work)
            return
        clock = time.perf_counter()
        outcome = (
            await self._attempt(opened, sms, job.lane)
            if leave is Leave.GO
            else Unknown(Reason.UNKNOWN, "the process ended while it was being sent")
        )
        report = Report(
            outcome=outcome,
            started_at=started_at,
            elapsed_ms=round((time.perf_counter() - clock) * 1000, 3),
            dice=random.random(),
            policy=self._policy_of(opened.channel),
            resend=resend,
            begun=not resend and leave is Leave.GO,
            receipts=opened.provider.receipts,
        )
        decision = await insist(self._store, self._clock, lambda tx: settle(tx, job, report))
        self._note(job, lane, report, decision)

    async def _attempt(self, opened: Opened, sms: Sms, lane: str) -> Outcome:
        """Every way to end becomes an outcome."""
        try:
            return await opened.instance.send(sms)
        except asyncio.CancelledError as stop:
            if stop.args != (OVERDUE,) or (task := asyncio.current_task()) is None:
                raise
            task.uncancel()
            return Unknown(Reason.TIMEOUT, "the provider took longer than its limit")
        except Exception as problem:
            log.exception("provider failed", channel=lane)
            return Unknown(Reason.PROVIDER_ERROR, type(problem).__name__)

    def _policy_of(self, channel: Channel) -> RetryPolicy:
        if channel.retry_waits is None:
            return self._policy
        return RetryPolicy(tuple(timedelta(seconds=s) for s in channel.retry_waits))

    def _note(
        self, job: SendJob, lane: Lane[SendJob], report: Report, decision: Decision | None
    ) -> None:
        outcome = report.outcome
        name = type(outcome).__name__.lower()
        reason = "" if isinstance(outcome, Accepted) else outcome.reason
        now = self._clock.now()
        telemetry.SEND_ATTEMPTS.inc(job.lane, name)
        telemetry.SEND_SECONDS.observe(report.elapsed_ms / 1000, job.lane)
        if reason in ILLNESS:
            if lane.breaker.failed(now):
                log.warning("channel rests", channel=job.lane, until=lane.breaker.resting_until)
            self._wait_as_asked(lane, outcome, now)
        elif reason is not Reason.UNKNOWN and lane.breaker.succeeded():  # unknown: no news
            log.info("channel is well again", channel=job.lane)
        if decision is None:
            telemetry.LATE_RESULTS.inc(self.work)
        elif isinstance(decision, Finish) and decision.signal is Signal.SENT:
            telemetry.TIME_TO_SENT.observe((now - job.message.created_at) / 1000)
        log.info(
            "send",
            account=job.message.account_id,
            message=job.message.id,
            to=mask(job.recipient.number),
            channel=job.lane,
            attempt=job.recipient.attempt,
            outcome=name,
            reason=reason,
            next=type(decision).__name__.lower() if decision else "lost",
            ms=report.elapsed_ms,
        )

    def _wait_as_asked(self, lane: Lane[SendJob], outcome: Outcome, now: Milliseconds) -> None:
        """A far side that names a time is left alone until then."""
        if isinstance(outcome, Deferred) and outcome.reason is Reason.RATE_LIMITED:
            asked = outcome.after or timedelta()
            until = now + milliseconds(min(asked, timedelta(minutes=5)))
            lane.breaker.resting_until = max(lane.breaker.resting_until, until)

    async def _known(self, job: SendJob) -> Opened | None:
        """Return the channel, opened anew when it may have changed; None if it cannot be."""
        opened = self._open.get(job.lane)
        generation = self._store.generation("channel")
        if opened is None or opened.generation != generation:
            lock = self._opening.setdefault(job.lane, asyncio.Lock())
            async with lock:
                opened = await self._reopen(job, generation)
        return opened

    async def _reopen(self, job: SendJob, generation: int) -> Opened | None:
        opened = self._open.get(job.lane)
        if opened is not None and opened.generation == generation:
            return opened
        account_id = job.message.account_id
        channel = await self._store.read(lambda tx: tx.channels.get(account_id, job.lane))
        if opened is not None and channel is not None and _same_way(channel, opened.channel):
            opened.channel, opened.generation = channel, generation
            return opened
        if opened is not None:
            self._replaced.append(self._open.pop(job.lane))
            await self._close_replaced()
        if channel is None:
            return None
        try:
            provider = find(channel.provider)
            settings = provider.parse(channel.settings)
        except Invalid as wrong:  # a provider that is not installed here, or older settings
            log.error("channel cannot be opened", channel=channel.id, problem=wrong.message)
            return None
        tools = Tools(
            http=self._http,
            guard=self._guard,
            clock=self._clock,
            scripts=self._scripts,
            channel_id=channel.id,
            report=self._receive,
        )
        opened = Opened(channel, provider, settings, provider.open(settings, tools), generation)
        self._open[job.lane] = opened
        return opened

    async def _close_replaced(self) -> None:
        idle = [opened for opened in self._replaced if not opened.sending]
        self._replaced = [opened for opened in self._replaced if opened.sending]
        for opened in idle:
            await opened.instance.close()

    async def forget_removed(self) -> None:
        """Close and forget channels that are no more, with their figures, unless one is sending;
        looks only when one may have gone."""
        await self._close_replaced()
        generation = self._store.generation("channel")
        if generation == self._tidy_at:
            return
        # Before the look: what comes meanwhile stays.
        remembered = {*self._open, *self._opening, *telemetry.values("channel")}
        gone = remembered - await self._store.read(lambda tx: tx.channels.ids())
        busy = {lane for lane in gone if lane in self._open and self._open[lane].sending}
        for lane in gone - busy:
            self._opening.pop(lane, None)
            telemetry.forget("channel", lane)
            opened = self._open.pop(lane, None)
            if opened is not None:
                await opened.instance.close()
        if not busy:
            self._tidy_at = generation

    async def _receive(self, receipt: Receipt) -> None:
        await self._store.write(lambda tx: receive(tx, receipt))

    async def close(self) -> None:
        for opened in (*self._open.values(), *self._replaced):
            await opened.instance.close()


def _same_way(one: Channel, other: Channel) -> bool:
    """Whether a channel can stay open over a change: what its provider knows is the same."""
    return (one.provider, one.settings) == (other.provider, other.settings)


def _set_limits(lane: Lane[SendJob], channel: Channel) -> None:
    lane.capacity = channel.max_in_flight
    lane.pace.rate = channel.rate


def _sms(job: SendJob) -> Sms:
    m, r = job.message, job.recipient
    return Sms(
        account_id=m.account_id,
        message_id=m.id,
        id=fingerprint(f"{m.account_id}|{m.id}|{r.n}".encode()),
        to=r.number,
        text=m.text,
        data=m.data,
        port=m.port,
        encrypted=m.encrypted,
        sim_number=m.sim_number,
        priority=m.priority,
        delivery_report=m.delivery_report,
        attempt=r.attempt,
        deadline=r.deadline,
        context=msgspec.json.decode(m.context) if m.context else {},
    )
