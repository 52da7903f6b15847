"""What the stories of this folder are told with: a store, a clock, an account, and two hands."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from textgate.domain.account import Channel
from textgate.domain.device import Nudge
from textgate.domain.event import CallJob, Event, EventType, Webhook
from textgate.domain.message import Message, Receipt, Recipient, SendJob, Submission
from textgate.domain.outcome import Outcome
from textgate.domain.retry import RetryPolicy
from textgate.domain.times import Milliseconds
from textgate.gateway import channels, devices, webhooks
from textgate.gateway.announce import announce
from textgate.gateway.devices import Registered
from textgate.gateway.receive import receive
from textgate.gateway.settle import Report, settle
from textgate.gateway.submit import Submitted, check, submit
from textgate.outbound.guard import Guard
from textgate.store.base import Job, Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock

T = TypeVar("T")

NUMBER = "+41790000001"
OTHER = "+41790000002"
DAY_MS = 86_400_000
POLICY = RetryPolicy(tuple(timedelta(seconds=s) for s in (5, 30, 120)))


@dataclass
class Hands:
    """Takes work that was born leased, as an engine does, and does nothing with it by itself."""

    room_for: set[str] | None = None
    """Lanes that work may be born for; None: all."""
    held: list[Job] = field(default_factory=list)
    begun: list[Job] = field(default_factory=list)
    pokes: list[Milliseconds] = field(default_factory=list)
    nudges: list[Nudge] = field(default_factory=list)

    def room(self, job_type: type[Job], lane: str) -> bool:
        return self.room_for is None or lane in self.room_for

    def take(self, job: Job) -> None:
        self.held.append(job)

    def withdraw(self, job: Job) -> bool:
        known = [held for held in self.held if held.key == job.key]
        for one in known:
            self.held.remove(one)
        return bool(known)

    def poke(self, at: Milliseconds) -> None:
        self.pokes.append(at)

    def nudge(self, nudge: Nudge) -> None:
        self.nudges.append(nudge)


@dataclass
class World:
    """One account, seen and moved through the public verbs."""

    store: SqliteStore
    clock: FakeClock
    account: str
    guard: Guard = field(default_factory=lambda: Guard(allow_loopback=True))

    def hire(self, *lanes: str) -> Hands:
        """Let work be born leased; ``lanes``: for these only."""
        hands = Hands(set(lanes) if lanes else None)
        self.store.intake = hands
        return hands

    async def write(self, work: Callable[[Tx], T]) -> T:
        return await self.store.write(work)

    async def channel(self, name: str = "sim", **wanted: Any) -> Channel:
        draft = channels.Draft(provider="simulator", name=name, **wanted)
        return await self.write(lambda tx: channels.add(tx, self.account, draft, self.guard))

    async def phone(self, name: str = "phone", **said: Any) -> Registered:
        """Register a phone; ``said``: further fields of a ``Registration``."""
        wanted = devices.Registration(name=name, **said)
        return await self.write(lambda tx: devices.register(tx, self.account, wanted))

    async def webhook(
        self,
        event: str = EventType.SMS_SENT,
        *,
        id: str | None = None,  # noqa: A002
        **wanted: Any,
    ) -> Webhook:
        wanted = {"url": "https://example.com/hook", "device_id": None, **wanted}
        return await self.write(
            lambda tx: webhooks.register(tx, self.account, id=id, event=event, **wanted)
        )

    async def submit(self, *numbers: str, **wanted: Any) -> Submitted:
        return await self.write(self.submission(*numbers, **wanted))

    def submission(self, *numbers: str, **wanted: Any) -> Callable[[Tx], Submitted]:
        asked = Submission(numbers=numbers or (NUMBER,), **{"text": "Hello", **wanted})
        checked = check(asked, default_region=None)
        return lambda tx: submit(tx, self.account, checked, validity_ms=3 * DAY_MS)

    async def take(self, channel: Channel, limit: int = 10) -> list[SendJob]:
        """Claim what is due of a channel, as the engine of any process does."""
        return await self.write(lambda tx: tx.recipients.take(channel.id, limit))

    async def settle(self, job: SendJob, outcome: Outcome, **report: Any) -> Any:
        defaults: dict[str, Any] = {
            "started_at": self.clock.now(),
            "elapsed_ms": 1.0,
            "dice": 0.5,
            "policy": POLICY,
            "resend": False,
            "begun": False,
            "receipts": True,
        }
        told = Report(outcome=outcome, **defaults | report)
        return await self.write(lambda tx: settle(tx, job, told))

    async def receipt(self, channel: Channel, ref: str, state: Any, **more: Any) -> bool:
        told = Receipt(channel_id=channel.id, ref=ref, state=state, at=self.clock.now(), **more)
        return await self.write(lambda tx: receive(tx, told))

    async def announce(self, type_: EventType = EventType.SMS_SENT, device: str = "d") -> Event:
        return await self.write(
            lambda tx: announce(
                tx, self.account, type_, device_id=device, message_id=None, payload={"n": 1}
            )
        )

    async def take_calls(self, webhook: Webhook, limit: int = 10) -> list[CallJob]:
        return await self.write(lambda tx: tx.deliveries.take(webhook.key, limit))

    async def message(self, message_id: str) -> Message:
        found = await self.write(lambda tx: tx.messages.get(self.account, message_id))
        assert found is not None
        return found

    async def recipients(self, message_id: str) -> list[Recipient]:
        return await self.write(lambda tx: tx.recipients.of(self.account, message_id))

    async def recipient(self, message_id: str) -> Recipient:
        [only] = await self.recipients(message_id)
        return only

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return type and payload of everything announced so far."""
        found = await self.write(lambda tx: tx.events.after(self.account, "", 1000))
        return [(event.type, msgspec.json.decode(event.payload)) for event in found]

    async def told(self) -> list[str]:
        return [type_ for type_, _ in await self.events()]
