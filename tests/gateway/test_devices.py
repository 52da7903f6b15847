"""Registering phones, by code too, what they say of themselves, and removing them."""

import re

import pytest
from gateway_world import OTHER, World

from textgate.domain.account import Channel
from textgate.domain.device import DeviceEvent, SimCard
from textgate.domain.errors import Conflict, Invalid, NotFound, Unauthenticated, Unavailable
from textgate.domain.lifecycle import State
from textgate.gateway import devices, pairing
from textgate.gateway.credentials import token_hash
from textgate.gateway.devices import Registration
from textgate.gateway.nudges import nudge
from textgate.store.base import Tx

MINUTE = 60_000
SIM = SimCard(slot_index=0, sim_number=1, phone_number="********1234")
WANTED = Registration(name="Fairphone/FP5", push_token="eXaMpLe", sim_cards=[SIM])


async def made(world: World, wanted: Registration = WANTED) -> devices.Registered:
    return await world.write(lambda tx: devices.register(tx, world.account, wanted))


async def code(world: World, ttl: int = MINUTE) -> str:
    return (await world.write(lambda tx: pairing.new_code(tx, world.account, ttl))).code


async def channel(world: World, channel_id: str) -> Channel | None:
    return await world.write(lambda tx: tx.channels.get(world.account, channel_id))


async def test_a_phone_is_a_channel_too_and_only_a_digest_of_its_token_is_kept(
    world: World,
) -> None:
    registered = await made(world)
    device = registered.device
    assert re.fullmatch("[A-Za-z0-9_-]{21}", registered.token)
    assert re.fullmatch("[A-Za-z0-9_-]{21}", device.id)
    assert re.fullmatch("[A-Za-z0-9_-]{32}", device.event_key)
    assert device.token_hash == token_hash(registered.token)
    kept = await world.write(lambda tx: tx.devices.by_token(token_hash(registered.token)))
    assert kept == device
    assert (kept.name, kept.push_token, kept.sim_cards) == ("Fairphone/FP5", "eXaMpLe", [SIM])
    found = await channel(world, device.id)
    assert found is not None
    assert (found.name, found.provider, found.max_in_flight) == ("Fairphone/FP5", "phone", 100)
    assert registered.token not in repr(kept)
    [entry] = await world.write(lambda tx: tx.logs.between(world.account, 0, 2**62, 10))
    assert (entry.message, entry.context["deviceId"]) == ("Phone registered", device.id)


async def test_an_id_may_be_given(world: World) -> None:
    given = await world.write(
        lambda tx: devices.register(tx, world.account, WANTED, device_id="given-elsewhere")
    )
    assert given.device.id == "given-elsewhere"
    assert await channel(world, "given-elsewhere") is not None


async def test_a_code_adds_one_phone_whatever_its_case(world: World) -> None:
    fresh = await code(world)
    assert re.fullmatch("[23456789abcdefghjkmnpqrstuvwxyz]{6}", fresh)
    joined = await world.write(lambda tx: pairing.join_by_code(tx, fresh.upper(), WANTED))
    assert joined.account.id == world.account
    for wrong in (fresh, "", "no such code", "'; DROP"):
        with pytest.raises(Unauthenticated):
            await world.write(lambda tx, w=wrong: pairing.join_by_code(tx, w, WANTED))  # type: ignore[misc]
    assert len(await world.write(lambda tx: tx.devices.all(world.account))) == 1


async def test_a_code_has_its_time_and_goes_with_it(world: World) -> None:
    late, good = await code(world, MINUTE), await code(world, 2 * MINUTE)
    world.clock.advance(MINUTE)
    with pytest.raises(Unauthenticated):
        await world.write(lambda tx: pairing.join_by_code(tx, late, WANTED))
    assert await world.write(lambda tx: tx.devices.remove_codes(tx.now + 1)) == 1
    await world.write(lambda tx: pairing.join_by_code(tx, good, WANTED))


async def test_a_code_that_is_taken_is_not_given_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = iter("aaaaaaaaaaaabbbbbb" + "aaaaaa" * pairing.TRIES)
    monkeypatch.setattr(pairing.secrets, "choice", lambda _: next(letters))  # type: ignore[attr-defined]
    assert [await code(world), await code(world)] == ["aaaaaa", "bbbbbb"]
    with pytest.raises(Unavailable):
        await code(world)


async def test_a_new_account_has_the_phone_as_its_first(world: World) -> None:
    joined = await world.write(lambda tx: pairing.join_as_new(tx, "hash", WANTED))
    assert joined.account.id != world.account
    assert re.fullmatch("[A-Z0-9]{6}", joined.account.login)
    assert joined.registered.device.account_id == joined.account.id
    channels = await world.write(lambda tx: tx.channels.all(joined.account.id))
    assert [one.id for one in channels] == [joined.registered.device.id]


async def test_nobody_joins_an_account_that_is_gone(world: World) -> None:
    await world.write(lambda tx: tx.accounts.remove(world.account))
    with pytest.raises(Unauthenticated):
        await world.write(lambda tx: pairing.join(tx, world.account, WANTED))


async def test_an_account_that_is_full_takes_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "MAX_PHONES", 1)
    await made(world)
    fresh = await code(world)
    with pytest.raises(Conflict):
        await world.write(lambda tx: pairing.join_by_code(tx, fresh, WANTED))
    monkeypatch.setattr(devices, "MAX_PHONES", 2)
    await world.write(lambda tx: pairing.join_by_code(tx, fresh, WANTED))  # it was not spent


async def test_what_a_phone_leaves_out_stays(world: World) -> None:
    device = (await made(world)).device

    async def said(push_token: str | None, sim_cards: list[SimCard] | None) -> object:
        def work(tx: Tx) -> object:
            devices.update(tx, world.account, device.id, push_token=push_token, sim_cards=sim_cards)
            kept = devices.known_device(tx, world.account, device.id)
            return kept.push_token, len(kept.sim_cards), kept.updated_at - device.updated_at

        return await world.write(work)

    world.clock.advance(1)
    assert await said(None, None) == ("eXaMpLe", 1, 0)
    assert await said("", None) == ("eXaMpLe", 1, 0)
    assert await said("other", [SIM, SIM]) == ("other", 2, 1)
    assert await said(None, []) == ("other", 0, 1)


async def test_its_version_is_noted_and_a_removed_phone_has_none(world: World) -> None:
    device = (await made(world)).device

    def runs(tx: Tx) -> str | None:
        devices.runs(tx, world.account, device.id, "1.68.0")
        devices.runs(tx, world.account, "removed", "1.68.0")
        return devices.known_device(tx, world.account, device.id).app_version

    assert await world.write(runs) == "1.68.0"
    before = world.store.generation("device")
    assert await world.write(runs) == "1.68.0"
    assert world.store.generation("device") == before  # nothing new: nobody forgets what they know


async def test_a_phone_is_renamed_or_is_not(world: World) -> None:
    device = (await made(world)).device
    renamed = await world.write(lambda tx: devices.rename(tx, world.account, device.id, "x" * 128))
    assert renamed.name == "x" * 128
    found = await channel(world, device.id)
    assert found is not None
    assert found.name == "x" * 64
    for wrong in ("", "x" * 129, "a\nb"):
        with pytest.raises(Invalid):
            await world.write(lambda tx, w=wrong: devices.rename(tx, world.account, device.id, w))  # type: ignore[misc]
    with pytest.raises(NotFound):
        await world.write(lambda tx: devices.rename(tx, world.account, "nobody", "name"))


async def test_removing_a_phone_removes_all_of_it_and_makes_its_work_due(world: World) -> None:
    device = (await made(world)).device
    other = (await made(world)).device
    await world.write(lambda tx: nudge(tx, world.account, device.id, DeviceEvent.WEBHOOKS_UPDATED))
    await world.submit(OTHER, id="m", device_id=device.id)
    await world.submit(OTHER, id="others", device_id=other.id)

    def look(tx: Tx) -> tuple[int | None, int | None]:
        [mine], [others] = (tx.recipients.of(world.account, m) for m in ("m", "others"))
        assert (mine.state, others.state) == (State.PENDING, State.PENDING)
        return mine.due_at, others.due_at

    before = await world.write(look)
    assert await world.write(lambda tx: devices.remove(tx, world.account, device.id))
    mine, others = await world.write(look)
    assert mine == world.clock.now()
    assert others == before[1]
    assert not await world.write(lambda tx: devices.remove(tx, world.account, device.id))
    assert await channel(world, device.id) is None
    assert await world.write(lambda tx: tx.devices.get(world.account, device.id)) is None
    assert await world.write(lambda tx: tx.devices.by_token(device.token_hash)) is None
    assert await world.write(lambda tx: tx.devices.notices(world.account, device.id)) == []
    assert await channel(world, other.id) is not None


async def test_a_stranger_removes_nothing(world: World) -> None:
    device = (await made(world)).device
    assert not await world.write(lambda tx: devices.remove(tx, "stranger", device.id))
    with pytest.raises(NotFound):
        await world.write(lambda tx: devices.known_device(tx, "stranger", device.id))
    assert await channel(world, device.id) is not None
