"""What phones are told: over what they listen to, by the engine, and what is kept for them."""

import pytest
from gateway_world import World

from textgate.domain.device import Device, DeviceEvent
from textgate.gateway.nudges import nudge, nudge_all
from textgate.store.base import Tx

EXPORT = {"since": "2026-05-06T00:00:00Z", "until": "2026-05-07T00:00:00Z"}
WEEK_MS = 7 * 86_400_000


async def kept(world: World, device: Device) -> list[tuple[str, dict[str, str] | None]]:
    found = await world.write(lambda tx: tx.devices.notices(device.account_id, device.id))
    return [(notice.event, notice.data) for notice in found]


async def test_who_listens_hears_it_and_else_the_engine_does(world: World) -> None:
    hands = world.hire()
    phone, other = (await world.phone()).device, (await world.phone()).device

    def happen(tx: Tx) -> None:
        nudge_all(tx, world.account, DeviceEvent.MESSAGE_ENQUEUED)

    with world.store.listen(phone.id) as one, world.store.listen(phone.id) as two:
        assert world.store.heard(phone.id)
        await world.write(happen)
        heard = [[said.device_id for said in mailbox.take()] for mailbox in (one, two)]
        assert heard == [[phone.id], [phone.id]]
    assert [said.device_id for said in hands.nudges] == [other.id]
    assert not world.store.heard(phone.id)


async def test_what_a_phone_finds_by_itself_is_not_kept(world: World) -> None:
    phone = (await world.phone()).device

    def happen(tx: Tx) -> None:
        nudge(tx, world.account, phone.id, DeviceEvent.MESSAGE_ENQUEUED)
        nudge(tx, world.account, phone.id, DeviceEvent.MESSAGE_CANCELLED, {"messageId": "m1"})
        nudge(tx, world.account, phone.id, DeviceEvent.WEBHOOKS_UPDATED)
        nudge(tx, world.account, phone.id, DeviceEvent.WEBHOOKS_UPDATED)

    await world.write(happen)
    assert await kept(world, phone) == [("WebhooksUpdated", None)]


async def test_one_of_several_requests_for_an_export_is_done(world: World) -> None:
    phone = (await world.phone()).device
    later = {**EXPORT, "since": "2026-05-06T12:00:00Z"}
    export = DeviceEvent.MESSAGES_EXPORT_REQUESTED

    def happen(tx: Tx) -> None:
        for data in (EXPORT, later, EXPORT):
            nudge(tx, world.account, phone.id, export, data)
        nudge(tx, world.account, phone.id, DeviceEvent.SETTINGS_UPDATED)

    await world.write(happen)
    assert len(await kept(world, phone)) == 3
    done = await world.write(
        lambda tx: tx.devices.end_notices(world.account, phone.id, export, EXPORT)
    )
    assert done == 1
    assert await kept(world, phone) == [(export, later), ("SettingsUpdated", None)]
    await world.write(lambda tx: tx.devices.end_notices(world.account, phone.id, export))
    assert await kept(world, phone) == [("SettingsUpdated", None)]


async def test_what_no_phone_came_for_is_not_kept_for_ever(world: World) -> None:
    phone = (await world.phone()).device
    await world.write(lambda tx: nudge(tx, world.account, phone.id, DeviceEvent.SETTINGS_UPDATED))
    world.clock.advance(WEEK_MS)
    await world.write(lambda tx: nudge(tx, world.account, phone.id, DeviceEvent.WEBHOOKS_UPDATED))
    now = world.clock.now()
    assert await world.write(lambda tx: tx.devices.remove_notices(now)) == 1
    assert await kept(world, phone) == [("WebhooksUpdated", None)]


async def test_a_nudge_of_a_write_that_fails_is_not_heard(world: World) -> None:
    phone = (await world.phone()).device

    def fail(tx: Tx) -> None:
        nudge(tx, world.account, phone.id, DeviceEvent.SETTINGS_UPDATED)
        raise ValueError("no")

    with world.store.listen(phone.id) as mailbox:
        with pytest.raises(ValueError, match="no"):
            await world.write(fail)
        assert not mailbox.filled.is_set()
    assert await kept(world, phone) == []
