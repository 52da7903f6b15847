"""Webhooks that are dead, disabled, removed or left by a vanished process: nothing is lost, and
nobody waits for another."""

import asyncio

from engine_world import DAY_MS, HOOK, World

from textgate.domain.event import DeliveryState, Webhook
from textgate.gateway import replay, webhooks
from textgate.store.base import LEASE_MS
from textgate.testing.far_side import OK, Say

NO = Say(500)


async def test_410_disables_the_webhook_and_says_so(world: World) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, Say(410), script=lambda request: OK)
    await world.start()
    await world.happen()
    await world.settle_down()
    await world.happen(2)
    await world.leap(DAY_MS)
    assert world.far.count(HOOK) == 1
    now = await world.current(webhook)
    assert not now.enabled
    assert now.disabled_reason == "the receiver answered 410"
    assert {d.state for d in await world.deliveries(webhook)} == {DeliveryState.HELD}
    logs = await world.store.read(lambda tx: tx.all("SELECT priority, message FROM log_entry"))
    assert ("WARN", "disabled: the receiver answered 410") in logs
    await enable(world, webhook, True)
    await world.live(10)
    assert world.far.count(HOOK) == 4
    assert {d.state for d in await world.deliveries(webhook)} == {DeliveryState.DELIVERED}


async def enable(world: World, webhook: Webhook, enabled: bool) -> None:
    await world.write(lambda tx: webhooks.set_enabled(tx, world.account, webhook.id, enabled))


async def test_a_disabled_webhook_collects_and_gets_everything_in_order_when_enabled(
    world: World,
) -> None:
    webhook = await world.webhook()
    await world.start(webhook_concurrency=1)
    await enable(world, webhook, False)
    await world.happen(5)
    await world.leap(DAY_MS)
    assert world.far.count(HOOK) == 0
    await enable(world, webhook, True)
    await world.live(100)
    ids = [request.json["id"] for request in world.far.requests[HOOK]]
    assert ids == [event.id for event in await world.events()]


async def test_a_webhook_disabled_with_work_in_memory_is_called_no_more(world: World) -> None:
    webhook = await world.webhook()
    gate = asyncio.Event()
    world.far.on(HOOK, Say(hold=gate), script=lambda request: OK)
    await world.start(webhook_concurrency=1)
    await world.happen(5)
    await world.settle_down()
    await enable(world, webhook, False)
    gate.set()
    await world.leap(DAY_MS)
    assert world.far.count(HOOK) == 1
    await enable(world, webhook, True)
    await world.live(100)
    ids = {request.json["id"] for request in world.far.requests[HOOK]}
    assert ids == {event.id for event in await world.events()}
    assert {d.state for d in await world.deliveries(webhook)} == {DeliveryState.DELIVERED}


async def test_a_removed_webhook_is_owed_nothing(world: World) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, script=lambda request: NO)
    await world.start()
    await world.happen(3)
    await world.settle_down()
    await world.write(lambda tx: webhooks.remove(tx, world.account, webhook.id))
    await world.leap(DAY_MS)
    assert world.far.count(HOOK) == 3
    assert await world.deliveries(webhook) == []


async def test_a_dead_letter_is_told_again_when_it_is_replayed(world: World) -> None:
    webhook = await world.webhook()
    await world.write(
        lambda tx: tx.accounts.set_settings(world.account, {"webhooks": {"retry_count": 1}})
    )
    world.far.on(HOOK, NO, NO, NO, script=lambda request: OK)
    await world.start()
    await world.happen()
    await world.leap(10_000)
    await world.leap(DAY_MS)
    assert world.far.count(HOOK) == 2
    delivery = await world.delivery(webhook)
    assert delivery.state is DeliveryState.DEAD
    await world.write(
        lambda tx: replay.replay_one(tx, world.account, webhook.id, delivery.event_id)
    )
    await world.live(10)
    assert world.far.count(HOOK) == 3  # it failed once more: its schedule begins anew
    await world.leap(10_000)
    assert world.far.count(HOOK) == 4
    assert len({request.body for request in world.far.requests[HOOK]}) == 1
    assert (await world.delivery(webhook)).state is DeliveryState.DELIVERED


async def test_a_dead_endpoint_delays_no_neighbour(world: World) -> None:
    await world.webhook("/dead")
    await world.webhook("/well")
    world.far.on("/dead", script=lambda request: Say(hold=asyncio.Event()))
    await world.start(webhook_concurrency=4, webhook_concurrency_total=8)
    await world.happen(50)
    await world.live(100)  # what did not fit in memory is claimed
    assert world.far.count("/dead") == 4
    assert world.far.count("/well") == 50


async def test_many_dead_endpoints_leave_room_for_their_neighbours(world: World) -> None:
    """The limit over all is what they could use up: whoever has a turn gives the next one."""
    gate = asyncio.Event()
    for n in range(8):
        await world.webhook(f"/slow-{n}")
        world.far.on(f"/slow-{n}", script=lambda request: Say(hold=gate))
    await world.start(webhook_concurrency=4, webhook_concurrency_total=16)
    await world.happen(20)
    await world.settle_down()
    await world.webhook("/well")
    await world.happen(5)
    await world.settle_down()
    assert world.far.count("/well") == 0
    gate.set()
    await world.live(100)
    assert world.far.count("/well") == 5
    assert [world.far.count(f"/slow-{n}") for n in range(8)] == [25] * 8


async def test_calls_of_one_webhook_are_bounded(world: World) -> None:
    await world.webhook()
    gate = asyncio.Event()
    world.far.on(HOOK, script=lambda request: Say(hold=gate))
    await world.start(webhook_concurrency=3)
    await world.happen(10)
    await world.settle_down()
    assert world.far.holding == 3
    gate.set()
    await world.live(100)
    assert (world.far.most_at_once[HOOK], world.far.count(HOOK)) == (3, 10)


async def test_an_endpoint_that_gives_no_answer_is_tried_by_one_call_at_a_time(
    world: World,
) -> None:
    await world.webhook()
    world.far.on(HOOK, script=lambda request: Say(drop=True))
    await world.start()
    await world.happen(20)
    await world.settle_down()
    gate = asyncio.Event()
    world.far.on(HOOK, script=lambda request: Say(hold=gate))
    await world.leap(10_000)
    assert world.far.holding == 1
    gate.set()
    await world.settle_down()
    assert world.far.count(HOOK) == 40


async def test_the_call_of_a_process_that_vanished_is_made_when_its_lease_ends(
    world: World,
) -> None:
    webhook = await world.webhook()
    await world.start()
    await world.taken_elsewhere(webhook.key, world.happening())
    await world.live(LEASE_MS - 10)
    assert world.far.count(HOOK) == 0
    await world.live(20)
    assert world.far.count(HOOK) == 1


async def test_a_call_cut_off_by_the_end_of_the_process_is_made_again_with_the_same_id(
    world: World,
) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, Say(hold=asyncio.Event()), script=lambda request: OK)
    engine = await world.start()
    await world.happen()
    await world.settle_down()
    await engine.stop(0)
    await world.start()
    await world.settle_down()
    assert len({request.json["id"] for request in world.far.requests[HOOK]}) == 1
    assert world.far.count(HOOK) == 2
    assert (await world.delivery(webhook)).state is DeliveryState.DELIVERED
