"""What the housekeeping does about phones: their silence is announced, and what is old goes."""

from datetime import timedelta

import pytest
from engine_world import World

from textgate import telemetry
from textgate.domain.device import DeviceEvent, PhonePolicy
from textgate.domain.event import EventType
from textgate.domain.times import milliseconds
from textgate.engine.housekeeping import GAUGES_EVERY_MS, NOTICE_MS
from textgate.gateway.nudges import nudge
from textgate.gateway.presence import seen

OFFLINE_S = 240
"""Not the usual 20 minutes, of which every second costs."""
OFFLINE_MS = OFFLINE_S * 1000
DAY_MS = milliseconds(timedelta(days=1))


def phones(state: str) -> str:
    [line] = [
        line
        for line in telemetry.exposition().decode().splitlines()
        if line.startswith(f'textgate_phones{{state="{state}"}}')
    ]
    return line.partition(" ")[2]


@pytest.fixture(autouse=True)
async def soon_silent(world: World) -> None:
    policy = PhonePolicy(offline_after_s=OFFLINE_S)
    await world.write(lambda tx: tx.accounts.set_phones(world.account, policy))


async def test_a_silent_phone_is_announced_to_webhooks_and_counted(world: World) -> None:
    hook = await world.webhook(event=EventType.DEVICE_OFFLINE)
    phone = (await world.phone()).device
    other = (await world.phone("other")).device
    await world.start()
    await world.live(GAUGES_EVERY_MS)
    assert (phones("online"), phones("offline")) == ("2.0", "0.0")

    async def keep_the_other_alive(ms: int) -> None:
        for _ in range(ms // GAUGES_EVERY_MS):
            await world.live(GAUGES_EVERY_MS)
            await world.write(lambda tx: seen(tx, world.account, other.id))

    await keep_the_other_alive(OFFLINE_MS)
    assert (phones("online"), phones("offline")) == ("1.0", "1.0")
    assert await world.told() == ["device:offline"]
    [request] = world.far.requests["/hook"]
    assert request.json["event"] == "device:offline"
    assert request.json["deviceId"] == phone.id
    assert request.json["payload"]["deviceId"] == phone.id
    assert len(await world.deliveries(hook)) == 1
    await world.write(lambda tx: seen(tx, world.account, phone.id))
    await keep_the_other_alive(OFFLINE_MS - 60_000)
    assert await world.told() == ["device:offline", "device:online"]
    assert (phones("online"), phones("offline")) == ("2.0", "0.0")


async def test_who_was_down_itself_gives_phones_their_time(world: World) -> None:
    await world.phone()
    world.clock.advance(DAY_MS)
    await world.start()
    await world.live(OFFLINE_MS)
    assert await world.told() == []
    await world.live(2 * GAUGES_EVERY_MS)
    assert await world.told() == ["device:offline"]


async def test_what_is_of_no_use_any_more_goes(world: World) -> None:
    phone = (await world.phone()).device
    now = world.clock.now()

    await world.write(
        lambda tx: (
            tx.devices.add_code("SHORT1", world.account, now + 60_000),
            tx.devices.add_code("LONG22", world.account, now + 40 * DAY_MS),
            tx.devices.add_fact(world.account, phone.id, "part:1"),
            nudge(tx, world.account, phone.id, DeviceEvent.SETTINGS_UPDATED),
        )
    )
    engine = await world.start()

    async def left() -> tuple[int, int, int]:
        rows = await world.store.read(
            lambda tx: tx.one(
                "SELECT (SELECT count(*) FROM pairing_code), (SELECT count(*) FROM device_notice),"
                " (SELECT count(*) FROM phone_fact)"
            )
        )
        assert rows is not None
        return rows[0], rows[1], rows[2]

    found = []
    for until in (60_000, 60_001, NOTICE_MS, NOTICE_MS + 1, 30 * DAY_MS, 30 * DAY_MS + 1):
        world.clock.advance(now + until - world.clock.now())
        await engine.housekeeping.sweep()
        found.append(await left())
    assert found == [(2, 1, 1), (1, 1, 1), (1, 1, 1), (1, 0, 1), (1, 0, 1), (1, 0, 0)]
