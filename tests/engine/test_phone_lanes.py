"""The engine and what waits for phones: it sends nothing, and keeps their queues."""

from typing import Any

import pytest
from engine_world import DAY_MS, PROVIDER, World

from textgate import telemetry
from textgate.domain.device import Device, PhonePolicy
from textgate.domain.lifecycle import State
from textgate.domain.outcome import Reason
from textgate.gateway import devices, phone_queue
from textgate.gateway.cancel import cancel
from textgate.gateway.channels import Changes, change, reorder
from textgate.gateway.devices import Registration
from textgate.gateway.phone_queue import NumberReport, Report
from textgate.gateway.presence import seen
from textgate.testing.far_side import Say

MOVE_ON_MS = PhonePolicy().move_on_after_s * 1000
LOOK_MS = 50
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
CODE: dict[str, Any] = {"template_variables": {"code": "123456"}}


async def phone(world: World, name: str = "phone") -> Device:
    wanted = Registration(name=name)
    return (await world.write(lambda tx: devices.register(tx, world.account, wanted))).device


async def fetch(world: World, device: Device) -> list[str]:
    found = await world.write(
        lambda tx: phone_queue.take(tx, device, phone_queue.waiting(tx, device))
    )
    return [queued.message.id for queued in found]


async def say(world: World, device: Device, message_id: str, state: State) -> None:
    number = (await world.recipient(message_id)).number
    told = Report(message_id=message_id, numbers=[NumberReport(number=number, state=state)], at={})
    await world.write(lambda tx: phone_queue.report(tx, device, [told]))


async def wait(world: World, ms: int) -> None:
    """Let time go by, and the engine look after what is due then."""
    await world.leap(ms)
    await world.live(LOOK_MS)


async def hear(world: World, device: Device) -> None:
    await world.write(lambda tx: seen(tx, device.account_id, device.id))


async def lane(world: World, message_id: str) -> str:
    return (await world.recipient(message_id)).lane


async def switch(world: World, device: Device, *, enabled: bool) -> None:
    wanted = Changes(enabled=enabled)
    await world.write(lambda tx: change(tx, world.account, device.id, wanted, world.guard))


async def test_nothing_is_sent_to_a_phone(world: World) -> None:
    device = await phone(world)
    await world.start()
    await world.submit(id="m1")
    await wait(world, 2 * HOUR_MS)
    assert await world.state("m1") is State.PENDING
    assert await world.attempts("m1") == []
    assert await fetch(world, device) == ["m1"]


async def test_a_dead_phone_loses_what_it_had_not_fetched(world: World) -> None:
    """Killed mid-queue: all that it has not in hand leaves by the other, in the time that is set;
    nothing is sent by both."""
    one, two = await phone(world, "one"), await phone(world, "two")
    await world.start()
    await world.submit_many(20)
    had = await fetch(world, one)
    assert 5 <= len(had) <= 15
    await say(world, one, had[0], State.SENT)
    await world.submit_many(30)  # ten more
    stranded = [f"m{n}" for n in range(30) if await lane(world, f"m{n}") == one.id]
    stranded = [message_id for message_id in stranded if message_id not in had]
    assert stranded
    sent = await fetch(world, two)
    await wait(world, MOVE_ON_MS - 1_000)
    await hear(world, two)
    assert set(await fetch(world, two)) == set(sent), "not before its time"
    await wait(world, 2_000)
    late = set(await fetch(world, two)) - set(sent)
    assert late == set(stranded)
    for message_id in (*sent, *late):
        await say(world, two, message_id, State.SENT)
    await wait(world, 3 * DAY_MS)
    states = await world.states()
    assert states == {"Sent": 30 - len(had) + 1, "Failed": len(had) - 1}
    unknown = [(await world.recipient(message_id)).reason for message_id in had[1:]]
    assert set(unknown) == {Reason.UNKNOWN}
    attempts = [len(await world.attempts(f"m{n}")) for n in range(30)]
    assert set(attempts) == {1}, "each was in one hand"


async def test_a_code_is_not_left_in_a_dead_hand(world: World) -> None:
    one, two = await phone(world, "one"), await phone(world, "two")
    await world.start()
    await world.submit(id="m1", context=CODE)
    first, other = (one, two) if await lane(world, "m1") == one.id else (two, one)
    await fetch(world, first)
    await wait(world, MOVE_ON_MS - 1_000)
    await hear(world, other)
    assert await fetch(world, other) == []
    await wait(world, 2_000)
    assert await fetch(world, other) == ["m1"]


async def test_what_a_phone_has_in_hand_ends_at_its_deadline(world: World) -> None:
    device = await phone(world)
    await world.start()
    await world.submit(id="m1", ttl_ms=HOUR_MS)
    await world.submit(id="m2", ttl_ms=HOUR_MS)
    await fetch(world, device)
    await world.submit(id="m3", ttl_ms=HOUR_MS)
    await world.write(lambda tx: cancel(tx, world.account, "m2"))
    await wait(world, HOUR_MS + 1_000)
    ends = {m: (await world.recipient(m)).reason for m in ("m1", "m2", "m3")}
    assert ends == {"m1": Reason.UNKNOWN, "m2": Reason.UNKNOWN, "m3": Reason.EXPIRED}
    assert (await world.told()).count("sms:failed") == 3


async def test_from_a_silent_phone_to_the_next_channel_and_back_to_a_phone(world: World) -> None:
    device = await phone(world)
    channel = await world.channel()
    await world.start()
    await world.submit(id="m1")
    await wait(world, MOVE_ON_MS + 1_000)
    assert world.far.count(PROVIDER) == 1
    assert (await world.message("m1")).device_id == channel.id
    assert await world.state("m1") is State.SENT
    await world.write(lambda tx: reorder(tx, world.account, (channel.id, device.id)))
    world.far.on(PROVIDER, script=lambda request: Say(status=401))
    await hear(world, device)
    await world.submit(id="m2")
    await world.settle_down()
    assert world.far.count(PROVIDER) == 2
    assert (await world.message("m2")).device_id == device.id
    assert await fetch(world, device) == ["m2"]


async def test_a_scheduled_message_leaves_by_a_channel_at_its_time(world: World) -> None:
    device = await phone(world)
    await world.channel()
    await world.start()
    at = world.clock.now() + HOUR_MS
    await world.submit(id="m1", schedule_at=at)
    await wait(world, HOUR_MS - 1_000)
    assert await lane(world, "m1") == device.id, "it may come back till then"
    assert world.far.count(PROVIDER) == 0
    await wait(world, 2_000)
    assert world.far.count(PROVIDER) == 1


async def test_a_phone_that_is_switched_off_gets_nothing_and_keeps_nothing(world: World) -> None:
    device = await phone(world)
    await world.start()
    await world.submit(id="m1")
    await fetch(world, device)
    await world.submit(id="m2")
    await switch(world, device, enabled=False)
    await wait(world, MOVE_ON_MS + 1_000)
    assert (await world.recipient("m2")).reason == Reason.NO_CHANNEL
    assert await world.state("m1") is State.PENDING
    await say(world, device, "m1", State.SENT)
    assert await world.state("m1") is State.SENT


async def test_a_restart_changes_nothing_for_a_phone(world: World) -> None:
    device = await phone(world)
    engine = await world.start()
    await world.submit(id="m1")
    await world.submit(id="m2")
    await wait(world, MOVE_ON_MS + 1_000)
    before = await fetch(world, device)
    await engine.stop(0)
    await world.start()
    await wait(world, MOVE_ON_MS + 1_000)
    assert await fetch(world, device) == before
    for message_id in before:
        await say(world, device, message_id, State.SENT)
    assert await world.states() == {"Sent": 2}
    assert await world.held() == 0


async def test_thousands_that_wait_for_a_dead_phone_stand_before_nobody(world: World) -> None:
    await phone(world, "dead")
    await world.start()
    await world.submit_many(600)
    channel = await world.channel(name="other")
    await wait(world, MOVE_ON_MS + 5_000)
    await world.submit(id="x", device_id=channel.id)
    await world.settle_down()
    assert await world.state("x") is State.SENT
    assert await world.states() == {"Pending": 600, "Sent": 1}


@pytest.mark.parametrize("fetched", [True, False])
async def test_what_is_measured_of_a_phone_is_forgotten_with_it(
    world: World, fetched: bool
) -> None:
    device = await phone(world)
    engine = await world.start()
    await world.submit(id="m1")
    if fetched:
        await fetch(world, device)
        assert device.id in telemetry.exposition().decode()
    await world.write(lambda tx: devices.remove(tx, world.account, device.id))
    await wait(world, MINUTE_MS)
    assert (await world.recipient("m1")).reason == (
        Reason.UNKNOWN if fetched else Reason.NO_CHANNEL
    )
    await engine.stop(0)
    shown = telemetry.exposition().decode()
    assert f'textgate_time_to_phone_seconds_count{{channel="{device.id}"}}' not in shown
