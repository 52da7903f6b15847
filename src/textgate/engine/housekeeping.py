"""Keeps the house: what is late ends, what is old goes, what is owed is counted. Always in small
writes."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

import structlog

from textgate import telemetry
from textgate.domain.device import Device
from textgate.domain.message import SendJob
from textgate.domain.times import Clock, Milliseconds, milliseconds
from textgate.gateway import presence
from textgate.gateway.settle import expire
from textgate.gateway.webhooks import resume_forgotten
from textgate.store.base import Store, Tx

EVERY_MS = 60_000
GAUGES_EVERY_MS = 10_000
CHUNK = 200
"""Rows removed in one write, so that no message waits long behind it."""
EARLY_RECEIPT_MS = milliseconds(timedelta(days=1))
TOKEN_AFTERLIFE_MS = milliseconds(timedelta(hours=1))
NOTICE_MS = milliseconds(timedelta(days=7))
"""So long a phone is expected back; a phone that was away longer fetches all when it starts."""

log = structlog.get_logger("textgate.housekeeping")


class Housekeeping:
    """Deadlines, retention, gauges, and what memory holds of things that are gone."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        retention: timedelta,
        forget: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        self._forget = forget
        self._store = store
        self._clock = clock
        self._retention = milliseconds(retention)
        self._up_since = clock.now()

    async def keep_for_ever(self) -> None:
        swept = 0
        while True:
            try:
                await self.end_overdue()
                await self.note_silent_phones()
                await self.measure()
                for forget in self._forget:
                    await forget()
                if self._clock.now() - swept >= EVERY_MS:
                    swept = self._clock.now()
                    await self.sweep()
            except Exception:
                log.exception("housekeeping failed")
            await self._clock.sleep(GAUGES_EVERY_MS)

    async def end_overdue(self) -> None:
        """End messages past their deadline that wait where nobody looks: their channel rests, or
        more waits before them than memory holds."""
        while True:
            late = await self._store.read(lambda tx: tx.recipients.overdue(CHUNK))
            if not late:
                return
            await self._store.write(partial(_expire_all, late))

    async def note_silent_phones(self) -> None:
        """Count phones as silent that were not heard of for longer than their account allows."""
        up_since = self._up_since
        while silent := await self._store.read(lambda tx: presence.find_silent(tx, up_since)):
            await self._store.write(partial(_fall_silent, silent))

    async def sweep(self) -> int:
        """Remove what is older than the retention and finished; return how many rows went."""
        now = self._clock.now()
        before = now - self._retention
        removed = await self._store.write(
            lambda tx: (
                tx.tokens.remove_expired(now - TOKEN_AFTERLIFE_MS)
                + tx.recipients.remove_early(now - EARLY_RECEIPT_MS)
                + tx.devices.remove_codes(now)
                + tx.devices.remove_notices(now - NOTICE_MS)
            )
        )
        removed += await self._all(lambda tx: tx.devices.remove_facts(before, CHUNK))
        for account in await self._store.read(lambda tx: tx.accounts.all()):
            await self._all(partial(resume_forgotten, account_id=account.id))
            for remove in _removals(account.id, before):
                removed += await self._all(remove)
        if removed:
            log.info("swept", removed=removed)
        await self._store.write(lambda tx: tx.shrink())
        return removed

    async def _all(self, work: Callable[[Tx], int]) -> int:
        """Repeat a small write until it finds nothing to do; return how much it did."""
        done = 0
        while step := await self._store.write(work):
            done += step
        return done

    async def measure(self) -> None:
        """Set the gauges of what is owed."""
        messages, deliveries, oldest, (phones, silent) = await self._store.read(
            lambda tx: (
                tx.recipients.owed(),
                tx.deliveries.owed(),
                tx.messages.oldest_open(),
                tx.devices.count(),
            )
        )
        telemetry.QUEUE.set(messages, "send")
        telemetry.QUEUE.set(deliveries, "notify")
        age = 0 if oldest is None else max(0, self._clock.now() - oldest) / 1000
        telemetry.OLDEST.set(age)
        telemetry.PHONES.set(phones - silent, "online")
        telemetry.PHONES.set(silent, "offline")


def _fall_silent(devices: list[Device], tx: Tx) -> None:
    presence.fall_silent(tx, devices)


def _expire_all(jobs: list[SendJob], tx: Tx) -> None:
    for job in jobs:
        expire(tx, job)


def _removals(account_id: str, before: Milliseconds) -> list[Callable[[Tx], int]]:
    return [
        lambda tx: tx.messages.remove_finished(account_id, before, CHUNK),
        lambda tx: tx.events.remove_settled(account_id, before, CHUNK),
        lambda tx: tx.inbox.remove_before(account_id, before, CHUNK),
        lambda tx: tx.logs.remove_before(account_id, before, CHUNK),
    ]
