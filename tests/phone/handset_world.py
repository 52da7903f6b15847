"""A handset on a real store, under a clock that stands still until the story moves it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from textgate.domain.device import SimCard
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient, Submission
from textgate.domain.times import Milliseconds
from textgate.gateway import devices
from textgate.gateway.credentials import add_account
from textgate.gateway.submit import check, submit
from textgate.phone.accounts import POLICY
from textgate.phone.behaviour import Behaviour
from textgate.phone.handset import Handset
from textgate.phone.happening import Happening
from textgate.store.base import Tx
from textgate.testing.clock import FakeClock
from textgate.testing.vault import VAULT
from textgate.testing.watched import PATIENCE_S, WatchedStore, live, settle_down

T = TypeVar("T")

NUMBER, OTHER = "+41790000001", "+41790000002"
DAY_MS = 86_400_000
TWO_SIMS = (
    SimCard(slot_index=0, sim_number=1, phone_number="+41791110001", carrier_name="One"),
    SimCard(slot_index=1, sim_number=2, phone_number="+41791110002", carrier_name="Two"),
)
EXACT = Behaviour(
    sims=TWO_SIMS,
    region="CH",
    hand_over_ms=(0, 0),
    send_ms=(1_000, 1_000),
    deliver_ms=(2_000, 2_000),
    seed=7,
)
"""A phone whose every step takes a known time."""


@dataclass
class Phone:
    """A phone in its own store. It sends once ``start`` has been called."""

    store: WatchedStore
    clock: FakeClock
    account: str
    device: str
    happened: list[Happening] = field(default_factory=list)
    handset: Handset | None = None
    running: "asyncio.Task[None] | None" = None

    async def start(self, behaviour: Behaviour = EXACT) -> Handset:
        self.handset = Handset(
            self.store, self.clock, self.account, self.device, behaviour, self.happened.append
        )
        self.running = asyncio.create_task(self.handset.run())
        await self.settle_down()
        return self.handset

    async def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    # Time.

    async def settle_down(self) -> None:
        """Return when the phone has done all that it can do at this time."""
        await settle_down(self.store, busy=lambda: self.store.waiting > 0)
        if self.running is not None and self.running.done():
            self.running.result()

    async def live(self, ms: Milliseconds) -> None:
        """Let the time pass: everybody wakes when they wanted to."""
        await live(self.clock, ms, self.settle_down)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for what a thread does, in real time."""
        async with asyncio.timeout(PATIENCE_S):
            while not happened():
                await asyncio.sleep(0.005)
                await self.settle_down()

    # Doing.

    async def set(self, **sections: dict[str, Any]) -> None:
        """Settings of the phone, as they are stored."""
        await self.store.write(lambda tx: tx.accounts.set_settings(self.account, sections))

    async def submit(self, *numbers: str, **wanted: Any) -> Message:
        given = {"text": "Hello", "skip_validation": True, **wanted}
        checked = check(Submission(numbers=numbers or (NUMBER,), **given), default_region=None)
        done = await self.store.write(
            lambda tx: submit(tx, self.account, checked, validity_ms=30 * DAY_MS)
        )
        return done.message

    # Looking.

    def when(self, kind: str) -> list[tuple[str | None, Milliseconds]]:
        """Return what happened of a kind: to which message, and when."""
        return [(h.message_id, h.at) for h in self.happened if h.kind == kind]

    async def recipients(self, message_id: str) -> list[Recipient]:
        return await self.store.read(lambda tx: tx.recipients.of(self.account, message_id))

    async def states(self, message_id: str) -> list[State]:
        return [r.state for r in await self.recipients(message_id)]

    async def message(self, message_id: str) -> Message:
        found = await self.store.read(lambda tx: tx.messages.get(self.account, message_id))
        assert found is not None
        return found

    async def told(self, *types: str) -> list[tuple[str, dict[str, Any]]]:
        """Return type and payload of what was announced, in order; of these types, if any."""
        found = await self.store.read(lambda tx: tx.events.after(self.account, "", 1_000))
        return [
            (event.type, msgspec.json.decode(event.payload))
            for event in found
            if not types or event.type in types
        ]


async def open_phone(folder: Path) -> Phone:
    clock = FakeClock()
    store = WatchedStore(folder / "textgate.db", clock, VAULT)

    def make(tx: Tx) -> tuple[str, str]:
        account = add_account(tx, password_hash="hash", login="phone")
        tx.accounts.set_phones(account.id, POLICY)
        wanted = devices.Registration(name="phone", sim_cards=list(TWO_SIMS))
        return account.id, devices.register(tx, account.id, wanted).device.id

    account_id, device_id = await store.write(make)
    return Phone(store, clock, account_id, device_id)
