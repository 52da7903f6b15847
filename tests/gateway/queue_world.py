"""Phones in the stories of this folder: what they fetch and say, and the time that passes."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from gateway_world import NUMBER, Hands, World

from textgate.domain.account import Channel
from textgate.domain.device import Device, DeviceEvent, PhonePolicy, SimCard
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient, SendAttempt
from textgate.gateway import channels, devices, phone_queue
from textgate.gateway.cancel import cancel
from textgate.gateway.phone_queue import NumberReport, Order, Queued, Report
from textgate.gateway.presence import seen
from textgate.gateway.submit import Submitted
from textgate.store.base import Tx

MOVE_ON_MS = PhonePolicy().move_on_after_s * 1000
OFFLINE_MS = PhonePolicy().offline_after_s * 1000
CODE = {"template_variables": {"code": "123456"}}
"""The context of a message that carries a one-time code."""


@dataclass
class Phones:
    """The phones of the world's account; the engine's part is done by ``pass_time``."""

    world: World
    hands: Hands = field(init=False)

    def __post_init__(self) -> None:
        self.hands = self.world.hire()

    async def phone(
        self, name: str = "phone", *, sims: tuple[int, ...] = (), in_hand: int = 100, **limits: int
    ) -> Device:
        """A phone that has just been heard of. ``limits`` are settings of its channel."""
        cards = [SimCard(slot_index=n - 1, sim_number=n) for n in sims]
        wanted = devices.Registration(name=name, sim_cards=cards)

        def work(tx: Tx) -> Device:
            made = devices.register(tx, self.world.account, wanted).device
            channel = tx.channels.get(made.account_id, made.id)
            assert channel is not None
            tx.channels.save(
                msgspec.structs.replace(channel, max_in_flight=in_hand, settings=dict(limits))
            )
            return made

        return await self.world.write(work)

    async def other_way(self, name: str = "other way") -> Channel:
        """Add a channel that is no phone and reaches real people; it is the last in the order."""
        settings = {"url": "https://example.com/send", "signature_key": "key"}
        draft = channels.Draft(provider="webhook", name=name, settings=settings)
        world = self.world
        return await world.write(lambda tx: channels.add(tx, world.account, draft, world.guard))

    async def reroute(self, *lanes: str) -> None:
        """Have every message go on to these, in this order."""
        route = " ".join(lanes)
        await self.world.write(lambda tx: tx.run("UPDATE recipient SET route = ?", (route,)))

    async def policy(self, **wanted: Any) -> None:
        policy = PhonePolicy(**wanted)
        await self.world.write(lambda tx: tx.accounts.set_phones(self.world.account, policy))

    async def hear(self, *phones: Device) -> None:
        """Hear of phones now."""
        for phone in phones:
            await self.world.write(lambda tx, p=phone: seen(tx, p.account_id, p.id))  # type: ignore[misc]

    async def change(self, phone: Device, **changes: Any) -> None:
        """Change the channel of a phone."""

        def work(tx: Tx) -> None:
            channel = tx.channels.get(phone.account_id, phone.id)
            assert channel is not None
            tx.channels.save(msgspec.structs.replace(channel, **changes))

        await self.world.write(work)

    async def submit(self, message_id: str, *numbers: str, **wanted: Any) -> Submitted:
        return await self.world.submit(*numbers, id=message_id, **wanted)

    async def queue(self, phone: Device, order: Order = "lifo") -> list[Queued]:
        """What the phone would fetch now."""
        return await self.world.write(lambda tx: phone_queue.waiting(tx, phone, order=order))

    async def fetch(self, phone: Device, order: Order = "lifo") -> list[str]:
        found = await self.world.write(
            lambda tx: phone_queue.take(tx, phone, phone_queue.waiting(tx, phone, order=order))
        )
        return [queued.message.id for queued in found]

    async def say(
        self,
        phone: Device,
        message_id: str,
        state: State,
        *numbers: str,
        error: str | None = None,
        at: dict[State, int] | None = None,
    ) -> None:
        told = Report(
            message_id=message_id,
            numbers=[
                NumberReport(number=number, state=state, error=error)
                for number in numbers or (NUMBER,)
            ],
            at={} if at is None else at,
        )
        await self.world.write(lambda tx: phone_queue.report(tx, phone, [told]))

    async def cancel(self, message_id: str) -> None:
        await self.world.write(lambda tx: cancel(tx, self.world.account, message_id))

    async def pass_time(self, ms: int, *alive: Device) -> None:
        """Let time go by, and do what the engine does for phones when it is over; those that are
        ``alive`` are heard of at its end."""
        self.world.clock.advance(ms)
        await self.hear(*alive)
        await self.work()

    async def work(self) -> None:
        """Do what is due in the lanes of phones, whoever they are."""

        def step(tx: Tx) -> int:
            lanes = [lane for lane, at in tx.recipients.lanes() if at <= tx.now]
            channels = {c.id: c for c in tx.channels.all(self.world.account)}
            done = 0
            for lane in lanes:
                if lane in channels and channels[lane].provider == "phone":
                    for job in tx.recipients.take(lane, 1000):
                        phone_queue.due(tx, job)
                        done += 1
            return done

        for _ in range(10):
            if await self.world.write(step) == 0:
                return
        raise AssertionError("there is always something due")

    async def channel_of(self, phone: Device) -> Channel:
        found = await self.world.write(lambda tx: tx.channels.get(phone.account_id, phone.id))
        assert found is not None
        return found

    async def recipient(self, message_id: str, n: int = 0) -> Recipient:
        return (await self.world.recipients(message_id))[n]

    async def message(self, message_id: str) -> Message:
        return await self.world.message(message_id)

    async def state(self, message_id: str) -> State:
        return (await self.recipient(message_id)).state

    async def carrier(self, message_id: str) -> str:
        """The lane of its first number, which clients see as its device too."""
        recipient, message = await self.recipient(message_id), await self.message(message_id)
        assert recipient.lane == message.device_id
        return recipient.lane

    async def attempts(self, message_id: str) -> list[SendAttempt]:
        account = self.world.account
        return await self.world.write(lambda tx: tx.recipients.attempts(account, message_id))

    def nudged(self) -> list[tuple[str, DeviceEvent, dict[str, str]]]:
        """What phones were told since the last look."""
        nudges, self.hands.nudges = self.hands.nudges, []
        return [(n.device_id, n.event, dict(n.data)) for n in nudges]
