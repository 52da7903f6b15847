"""Whatever phones, callers and the engine do in whatever order: states lead forward, nothing is
forgotten, and nobody gets what another may have sent, unless a second copy is harmless."""

import asyncio
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway_world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from queue_world import CODE, MOVE_ON_MS, Phones

from textgate.domain.device import Device
from textgate.domain.errors import Conflict, Invalid
from textgate.domain.lifecycle import FINAL, OPEN, State
from textgate.domain.message import Recipient, SendJob
from textgate.gateway import phone_queue
from textgate.gateway.credentials import add_account
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock
from textgate.testing.vault import VAULT

MESSAGES = ("m0", "m1")
TTL_MS = 20 * MOVE_ON_MS
SAID = (State.PENDING, State.PROCESSED, State.SENT, State.DELIVERED, State.FAILED, State.CANCELLED)

some = st.integers(0, 7)
"""Chooses among what there is to choose from at that moment."""
say = st.tuples(st.just("say"), some, st.sampled_from(SAID))
fetch = st.tuples(st.just("fetch"), some, st.none())
steps = st.lists(
    st.one_of(
        *(say, say, say, fetch, fetch),
        st.tuples(st.just("submit"), some, st.sampled_from(("plain", "code", "later"))),
        st.tuples(st.just("cancel"), some, st.none()),
        st.tuples(st.just("wait"), st.sampled_from((1, MOVE_ON_MS)), some),
        st.tuples(st.just("pass"), some, st.none()),
        st.tuples(st.sampled_from(("take", "due", "die")), st.none(), st.none()),
        st.tuples(st.just("switch"), some, st.none()),
    ),
    min_size=10,
    max_size=40,
)


class Play:
    """Two phones, two messages, an engine that takes work and may die with it."""

    def __init__(self, world: World) -> None:
        self.phones = Phones(world)
        self.devices: list[Device] = []
        self.taken: list[SendJob] = []
        self.had: dict[str, set[str]] = defaultdict(set)
        """Who was given which message."""
        self.codes: set[str] = set()
        self.before: dict[str, Recipient] = {}

    async def prepare(self) -> None:
        self.devices = [await self.phones.phone(f"p{n}", in_hand=2) for n in range(2)]

    async def step(self, what: str, one: Any, other: Any) -> None:
        phones, world = self.phones, self.phones.world
        device = self.devices[(one or 0) % len(self.devices)]
        match what:
            case "submit":
                await self.submit(MESSAGES[one % len(MESSAGES)], other)
            case "fetch":
                for queued in await phones.queue(device):
                    if queued.state is State.PENDING:
                        self.had[queued.message.id].add(device.id)
                await phones.fetch(device)
            case "say" if given := [(m, d) for m in MESSAGES for d in sorted(self.had[m])]:
                message_id, device_id = given[one % len(given)]
                told = next(d for d in self.devices if d.id == device_id)
                await phones.say(told, message_id, other)
            case "cancel" if self.before:
                message_id = sorted(self.before)[one % len(self.before)]
                try:
                    await phones.cancel(message_id)
                except Conflict:
                    assert self.before[message_id].state not in (State.PENDING, State.PROCESSED)
            case "wait":
                world.clock.advance(one)
                await phones.hear(self.devices[other % len(self.devices)])
            case "pass":  # the engine is alive: the time of silence is over, and it does its work
                for what_now in (
                    ("wait", MOVE_ON_MS, one),
                    ("take", None, None),
                    ("due", None, None),
                ):
                    await self.step(*what_now)
            case "take":
                for lane in self.devices:
                    self.taken += await world.write(
                        lambda tx, d=lane: tx.recipients.take(d.id, 1)  # type: ignore[misc]
                    )
            case "due":
                for job in self.taken:
                    await world.write(lambda tx, j=job: phone_queue.due(tx, j))  # type: ignore[misc]
                self.taken.clear()
            case "die":
                self.taken.clear()
                await world.write(lambda tx: tx.recipients.end_leases())
            case "switch":
                channel = await phones.channel_of(device)
                await phones.change(device, enabled=not channel.enabled)

    async def submit(self, message_id: str, kind: str) -> None:
        if message_id in self.before:
            return
        wanted: dict[str, Any] = {"ttl_ms": TTL_MS}
        if kind == "code":
            self.codes.add(message_id)
            wanted["context"] = CODE
        elif kind == "later":
            wanted["schedule_at"] = self.phones.world.clock.now() + 2 * MOVE_ON_MS
        with suppress(Invalid):  # all phones are disabled
            await self.phones.submit(message_id, **wanted)

    async def look(self) -> None:
        """Hold what must be true at any time."""
        for message_id in MESSAGES:
            found = await self.phones.world.recipients(message_id)
            if not found:
                continue
            [now] = found
            was = self.before.get(message_id)
            if was is not None:
                assert leads_forward(was.state, now.state), (was, now)
            self.before[message_id] = now
            assert (now.due_at is not None) == (now.state in OPEN), now
            if message_id not in self.codes:
                assert len(self.had[message_id]) <= 1, "handed to two phones"
            if now.state is State.CANCELLED and not self.had[message_id]:
                assert now.reason == "cancelled"

    async def finish(self) -> None:
        """In the end everything has an end, and each end was told once."""
        world = self.phones.world
        await self.step("die", None, None)
        world.clock.advance(2 * TTL_MS)
        await self.phones.work()
        await self.look()
        told = [payload["messageId"] for _, payload in await world.events()]
        for message_id, recipient in self.before.items():
            assert recipient.state in FINAL | {State.SENT}
            assert recipient.due_at is None
            assert told.count(message_id) >= 1
            outcomes = [a.outcome for a in await self.phones.attempts(message_id)]
            if recipient.state is State.CANCELLED:
                assert set(outcomes) <= {"rejected"}, "what may be out is not called cancelled"
        events = [(type_, payload["messageId"]) for type_, payload in await world.events()]
        assert len(events) == len(set(events)), "told twice"


def leads_forward(was: State, now: State) -> bool:
    if was is now:
        return True
    if was in FINAL:
        return (was, now) == (State.FAILED, State.DELIVERED)
    if was is State.SENT:
        return now in (State.DELIVERED, State.FAILED)
    return now is not State.PENDING and (was, now) != (State.CANCELLING, State.PROCESSED)


@given(st.sampled_from(("plain", "code", "later")), steps)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_of_events_keeps_the_promises(
    kind: str, play: list[tuple[str, Any, Any]]
) -> None:
    asyncio.run(_hold(kind, play))


async def _hold(kind: str, play: list[tuple[str, Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = FakeClock()
        store = SqliteStore(Path(folder) / "textgate.db", clock, VAULT)
        account = await store.write(lambda tx: add_account(tx, password_hash="hash"))
        try:
            held = Play(World(store, clock, account.id))
            await held.prepare()
            for what, one, other in [("submit", 0, kind), *play]:
                await held.step(what, one, other)
                await held.look()
            await held.finish()
        finally:
            await store.close()
