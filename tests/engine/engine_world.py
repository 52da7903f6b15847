"""What the stories of this folder are told with: the engine on a real store, calling a far side
over real HTTP, under a clock that stands still until the story moves it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from textgate.domain.account import Channel
from textgate.domain.event import CallAttempt, Delivery, Event, EventType, Webhook
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient, SendAttempt, Submission
from textgate.domain.retry import MESSAGE_POLICY, RetryPolicy
from textgate.domain.times import Milliseconds
from textgate.engine.engine import Engine
from textgate.gateway import channels, devices, webhooks
from textgate.gateway.announce import announce
from textgate.gateway.submit import Submitted, check, submit
from textgate.outbound.guard import Guard
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.workers import Workers
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock
from textgate.testing.far_side import FarSide, Request, Say
from textgate.testing.vault import VAULT
from textgate.testing.watched import PATIENCE_S, WatchedHttp, WatchedStore, live, settle_down

T = TypeVar("T")

NUMBER = "+41790000001"
OTHER = "+41790000002"
DAY_MS = 86_400_000
PROVIDER, HOOK = "/provider", "/hook"
TAKEN = Say(body=b'{"code":"ok"}')


def messages(requests: list[Request]) -> list[str]:
    """Which message each request of the provider's path was for."""
    return [request.headers["textgate-message-id"] for request in requests]


@dataclass
class World:
    """One account; its engine runs once ``start`` has been called."""

    path: Path
    clock: FakeClock
    store: WatchedStore
    http: WatchedHttp
    far: FarSide
    account: str
    guard: Guard
    policy: RetryPolicy = MESSAGE_POLICY
    engines: list[Engine] = field(default_factory=list)

    async def start(
        self,
        *,
        channel_concurrency: int = 32,
        webhook_concurrency: int = 64,
        webhook_concurrency_total: int = 512,
        push_relay_url: str | None = None,
    ) -> Engine:
        engine = Engine(
            self.store,
            self.clock,
            self.http,
            self.guard,
            Workers(Deno(), total=4, memory_mb=256),
            policy=self.policy,
            channel_concurrency=channel_concurrency,
            webhook_concurrency=webhook_concurrency,
            webhook_concurrency_total=webhook_concurrency_total,
            webhook_jitter=0.0,
            retention=timedelta(days=30),
            push_relay_url=push_relay_url,
        )
        self.engines.append(engine)
        await engine.start()
        return engine

    # Time.

    async def settle_down(self) -> None:
        """Return when the engine has done all that it can do at this time."""
        await settle_down(
            self.store,
            self.http,
            busy=lambda: self.store.waiting > 0 or self.http.waiting != self.far.holding,
        )

    async def leap(self, ms: Milliseconds) -> None:
        """Move the time on at once: who wanted to wake meanwhile wakes late."""
        await self.settle_down()
        self.clock.advance(ms)
        await self.settle_down()

    async def live(self, ms: Milliseconds) -> None:
        """Let the time pass: everybody wakes when they wanted to."""
        await live(self.clock, ms, self.settle_down)

    async def until_the_store_is_asked(self) -> None:
        """Return in the turn of the loop in which somebody's work first waits for the store."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.store.waiting:
                await asyncio.sleep(0)

    # Doing.

    async def write(self, work: Callable[[Tx], T]) -> T:
        return await self.store.write(work)

    async def channel(self, path: str = PROVIDER, **wanted: Any) -> Channel:
        """Add a channel that posts to ``path`` of the far side and is told that all is well."""
        known = {"url": self.far.url + path, "signature_key": "key"} | wanted.pop("settings", {})
        draft = channels.Draft(
            provider="webhook", name=wanted.pop("name", path), settings=known, **wanted
        )
        self.far.on(path, script=lambda request: TAKEN)
        return await self.write(lambda tx: channels.add(tx, self.account, draft, self.guard))

    async def phone(self, name: str = "phone", **said: Any) -> devices.Registered:
        """Register a phone; ``said``: further fields of a ``Registration``."""
        wanted = devices.Registration(name=name, **said)
        return await self.write(lambda tx: devices.register(tx, self.account, wanted))

    async def change(self, channel: Channel, **changes: Any) -> None:
        wanted = channels.Changes(**changes)
        await self.write(
            lambda tx: channels.change(tx, self.account, channel.id, wanted, self.guard)
        )

    async def webhook(self, path: str = HOOK, event: str = EventType.SMS_SENT) -> Webhook:
        url = self.far.url + path
        return await self.write(
            lambda tx: webhooks.register(
                tx, self.account, id=path[1:], url=url, event=event, device_id=None
            )
        )

    async def submit(self, *numbers: str, **wanted: Any) -> Submitted:
        return await self.write(self.submission(*numbers, **wanted))

    def submission(self, *numbers: str, **wanted: Any) -> Callable[[Tx], Submitted]:
        asked = Submission(numbers=numbers or (NUMBER,), **{"text": "Hello", **wanted})
        checked = check(asked, default_region=None)
        return lambda tx: submit(tx, self.account, checked, validity_ms=3 * DAY_MS)

    async def happen(self, count: int = 1) -> None:
        """Announce so many events, one after another."""
        for _ in range(count):
            await self.write(self.happening())

    def happening(self) -> Callable[[Tx], Event]:
        return lambda tx: announce(
            tx,
            self.account,
            EventType.SMS_SENT,
            device_id="device",
            message_id=None,
            payload={"n": 1},
        )

    async def taken_elsewhere(self, lane: str, make: Callable[[Tx], object]) -> None:
        """Let another process make work for a channel or webhook, take it, and vanish."""
        other = SqliteStore(self.path, self.clock, VAULT)
        _, sends, calls = await other.write(
            lambda tx: (make(tx), tx.recipients.take(lane, 1), tx.deliveries.take(lane, 1))
        )
        assert len(sends) + len(calls) == 1
        await other.close()

    async def submit_many(self, count: int, **wanted: Any) -> None:
        """Submit m0, m1 … in writes that share their commits."""
        await asyncio.gather(*(self.submit(id=f"m{n}", **wanted) for n in range(count)))

    # Looking.

    def note_times(self, path: str, *says: Say, then: Say) -> list[Milliseconds]:
        """Script a path; return a list that will hold how long from now each request came."""
        start, times, left = self.clock.now(), list[Milliseconds](), list(says)

        def script(request: Request) -> Say:
            times.append(self.clock.now() - start)
            return left.pop(0) if left else then

        self.far.on(path, script=script)
        return times

    async def state(self, message_id: str) -> State:
        return (await self.recipient(message_id)).state

    async def states(self) -> dict[str, int]:
        """How many recipients are in each state."""
        rows = await self.store.read(
            lambda tx: tx.all("SELECT state, count(*) FROM recipient GROUP BY state")
        )
        return dict(rows)

    async def message(self, message_id: str) -> Message:
        found = await self.store.read(lambda tx: tx.messages.get(self.account, message_id))
        assert found is not None
        return found

    async def recipient(self, message_id: str) -> Recipient:
        [only] = await self.store.read(lambda tx: tx.recipients.of(self.account, message_id))
        return only

    async def attempts(self, message_id: str) -> list[SendAttempt]:
        return await self.store.read(lambda tx: tx.recipients.attempts(self.account, message_id))

    async def events(self) -> list[Event]:
        return await self.store.read(lambda tx: tx.events.after(self.account, "", 100_000))

    async def told(self) -> list[str]:
        return [event.type for event in await self.events()]

    async def deliveries(self, webhook: Webhook) -> list[Delivery]:
        return await self.store.read(
            lambda tx: tx.deliveries.page(self.account, webhook.key, before=None, limit=100_000)
        )

    async def delivery(self, webhook: Webhook) -> Delivery:
        [only] = await self.deliveries(webhook)
        return only

    async def calls(self, webhook: Webhook) -> list[CallAttempt]:
        """The recorded calls of a webhook that had one event."""
        event_id = (await self.delivery(webhook)).event_id
        return await self.store.read(
            lambda tx: tx.deliveries.attempts(self.account, webhook.key, event_id)
        )

    async def current(self, webhook: Webhook) -> Webhook:
        found = await self.store.read(lambda tx: tx.webhooks.get(self.account, webhook.id))
        assert found is not None
        return found

    async def held(self) -> int:
        """How many recipients and deliveries somebody has in hand."""
        found = await self.store.read(
            lambda tx: tx.one(
                "SELECT (SELECT count(*) FROM recipient WHERE holder IS NOT NULL)"
                " + (SELECT count(*) FROM delivery WHERE holder IS NOT NULL)"
            )
        )
        assert found is not None
        count: int = found[0]
        return count
