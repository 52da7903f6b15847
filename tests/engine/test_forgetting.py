"""A process that runs for years keeps nothing of channels and webhooks that are no more."""

import asyncio
import gc

from engine_world import HOOK, PROVIDER, TAKEN, World

from textgate import telemetry
from textgate.domain.lifecycle import State
from textgate.engine.deliver import Opened
from textgate.engine.housekeeping import GAUGES_EVERY_MS
from textgate.engine.notify import Listener
from textgate.gateway import channels, webhooks
from textgate.testing.far_side import OK, Say


def kept(type_: type) -> int:
    gc.collect()
    return sum(isinstance(thing, type_) for thing in gc.get_objects())


async def test_a_removed_channel_is_closed_and_its_figures_go(world: World) -> None:
    draft = channels.Draft(provider="simulator", name="sim", settings={"late_s": 60})
    sim = await world.write(lambda tx: channels.add(tx, world.account, draft, world.guard))
    stays = await world.channel()
    await world.start()
    # Its last digit asks for a late receipt.
    await world.submit("+41790000002", id="late", device_id=sim.id)
    await world.submit(id="other", device_id=stays.id)
    await world.live(GAUGES_EVERY_MS)
    before = kept(Opened)
    assert f'channel="{sim.id}"' in telemetry.exposition().decode()
    await world.write(lambda tx: channels.remove(tx, world.account, sim.id))
    await world.live(GAUGES_EVERY_MS)
    assert kept(Opened) == before - 1
    shown = telemetry.exposition().decode()
    assert f'channel="{sim.id}"' not in shown
    assert f'channel="{stays.id}"' in shown
    await world.live(60_000)
    assert await world.state("late") is State.SENT  # whose channel would give the receipt is closed


async def test_a_channel_that_is_removed_while_it_sends_finishes_first(world: World) -> None:
    gate = asyncio.Event()
    channel = await world.channel()
    world.far.on(PROVIDER, Say(body=TAKEN.body, hold=gate), script=lambda request: TAKEN)
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    before = kept(Opened)
    await world.write(lambda tx: channels.remove(tx, world.account, channel.id))
    await world.live(2 * GAUGES_EVERY_MS)
    assert kept(Opened) == before
    gate.set()
    await world.live(GAUGES_EVERY_MS)
    assert await world.state("m1") is State.SENT
    assert kept(Opened) == before - 1


async def test_a_removed_webhook_is_forgotten(world: World) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, script=lambda request: OK)
    await world.start()
    await world.happen()
    await world.settle_down()
    before = kept(Listener)
    await world.write(lambda tx: webhooks.remove(tx, world.account, webhook.id))
    await world.live(GAUGES_EVERY_MS)
    assert kept(Listener) == before - 1
