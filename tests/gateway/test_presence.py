"""When a phone counts as silent, and who hears of it."""

import pytest
from gateway_world import World

from textgate.domain.device import Device, PhonePolicy
from textgate.domain.event import EventType
from textgate.gateway import devices, presence
from textgate.gateway.credentials import add_account
from textgate.gateway.presence import Listening
from textgate.store.base import Tx

MINUTE_MS = 60_000
USUAL_MS = PhonePolicy().offline_after_s * 1000


async def current(world: World, device: Device) -> Device:
    found = await world.write(lambda tx: tx.devices.get(device.account_id, device.id))
    assert found is not None
    return found


async def look(world: World, up_since: int = 0) -> list[str]:
    """Look for silent phones as the housekeeping does; return their names."""

    def work(tx: Tx) -> list[str]:
        silent = presence.find_silent(tx, up_since)
        presence.fall_silent(tx, silent)
        return [device.name for device in silent]

    return await world.write(work)


async def test_a_phone_is_silent_after_the_time_its_account_allows(world: World) -> None:
    phone = (await world.phone("Fairphone")).device
    world.clock.advance(USUAL_MS)
    assert await look(world) == []
    world.clock.advance(1)
    assert await look(world) == ["Fairphone"]
    assert (await current(world, phone)).offline_since == world.clock.now()
    assert await world.events() == [
        (
            "device:offline",
            {
                "deviceId": phone.id,
                "name": "Fairphone",
                "lastSeen": "2026-01-01T00:00:00.000Z",
                "offlineSince": "2026-01-01T00:20:00.001Z",
            },
        )
    ]


async def test_each_silence_and_each_return_is_announced_once(world: World) -> None:
    phone = (await world.phone()).device
    for turn in (1, 2):
        world.clock.advance(USUAL_MS + 1)
        for _ in range(3):
            await look(world)
        assert await world.told() == ["device:offline", "device:online"] * (turn - 1) + [
            "device:offline"
        ]
        world.clock.advance(MINUTE_MS)
        for _ in range(3):
            await world.write(lambda tx: presence.seen(tx, world.account, phone.id))
        assert await world.told() == ["device:offline", "device:online"] * turn
        assert (await current(world, phone)).offline_since is None
    _, told = (await world.events())[-1]
    assert told["lastSeen"] == "2026-01-01T00:42:00.002Z"
    assert told["offlineSince"] == "2026-01-01T00:41:00.002Z"


async def test_a_webhook_hears_of_it(world: World) -> None:
    await world.phone()
    hook = await world.webhook(EventType.DEVICE_OFFLINE)
    world.clock.advance(USUAL_MS + 1)
    await look(world)
    [call] = await world.take_calls(hook)
    assert call.event.type == "device:offline"


async def test_each_account_says_how_long_is_too_long(world: World) -> None:
    await world.phone("patient")
    strict = PhonePolicy(offline_after_s=60)
    await world.write(lambda tx: tx.accounts.set_phones(world.account, strict))
    world.clock.advance(MINUTE_MS)
    assert await look(world) == []
    world.clock.advance(1)
    assert await look(world) == ["patient"]


async def test_a_phone_seen_between_the_look_and_the_write_is_not_silent(world: World) -> None:
    phone = (await world.phone()).device
    world.clock.advance(USUAL_MS + 1)
    silent = await world.write(lambda tx: presence.find_silent(tx, 0))
    await world.write(lambda tx: presence.seen(tx, world.account, phone.id))
    assert await world.write(lambda tx: presence.fall_silent(tx, silent)) == 0
    assert await world.told() == []


async def test_time_in_which_the_server_was_down_is_not_the_phones_silence(world: World) -> None:
    await world.phone()
    world.clock.advance(10 * USUAL_MS)
    up_since = world.clock.now()
    assert await look(world, up_since) == []
    world.clock.advance(USUAL_MS)
    assert await look(world, up_since) == []
    world.clock.advance(1)
    assert await look(world, up_since) == ["phone"]


async def test_many_silent_phones_are_found_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "CHUNK", 2)
    for n in range(5):
        await world.phone(f"p{n}")
        world.clock.advance(1)
    world.clock.advance(USUAL_MS + 1)
    assert [await look(world) for _ in range(4)] == [["p0", "p1"], ["p2", "p3"], ["p4"], []]
    assert await world.write(lambda tx: tx.devices.count()) == (5, 5)


async def test_a_part_is_of_all_accounts_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "CHUNK", 3)
    other = await world.write(lambda tx: add_account(tx, password_hash="hash"))
    wanted = devices.Registration()
    for account_id in (world.account, other.id) * 2:
        await world.write(lambda tx, a=account_id: devices.register(tx, a, wanted))  # type: ignore[misc]
    world.clock.advance(USUAL_MS + 1)
    assert [len(await look(world)) for _ in range(3)] == [3, 1, 0]


async def test_an_open_stream_is_a_sign_of_life_if_it_showed_one(world: World) -> None:
    alive, dumb = (await world.phone()).device, (await world.phone()).device
    world.clock.advance(MINUTE_MS)
    listening = [
        Listening(world.account, one.id, one.token_hash, alive=one is alive)
        for one in (alive, dumb)
    ]
    await world.write(lambda tx: presence.look_after(tx, listening))
    assert (await current(world, alive)).last_seen == world.clock.now()
    assert (await current(world, dumb)).last_seen == dumb.last_seen


async def test_streams_of_who_is_no_longer_known_are_hung_up(world: World) -> None:
    gone, renewed, known = [(await world.phone()).device for _ in range(3)]
    await world.write(lambda tx: devices.remove(tx, world.account, gone.id))
    listening = [
        Listening(world.account, gone.id, gone.token_hash, alive=True),
        Listening(world.account, renewed.id, "a token of before", alive=True),
        Listening(world.account, known.id, known.token_hash, alive=True),
    ]
    with (
        world.store.listen(gone.id) as one,
        world.store.listen(renewed.id) as two,
        world.store.listen(known.id) as three,
    ):
        await world.write(lambda tx: presence.look_after(tx, listening))
        assert [mailbox.closed for mailbox in (one, two, three)] == [True, True, False]


async def test_a_clock_that_goes_back_changes_nothing(world: World) -> None:
    phone = (await world.phone()).device
    world.clock.advance(-MINUTE_MS)
    await world.write(lambda tx: presence.seen(tx, world.account, phone.id))
    assert (await current(world, phone)).last_seen == phone.last_seen
