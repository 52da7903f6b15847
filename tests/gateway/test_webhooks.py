"""Registering webhooks, disabling them, telling them again."""

import asyncio

import msgspec
import pytest
from gateway_world import Hands, World

from textgate.domain.calling import Dead, Told, Verdict
from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.domain.event import CallJob, DeliveryState, EventType, Webhook
from textgate.gateway import replay as again
from textgate.gateway import webhooks
from textgate.gateway.replay import Wanted, replay_all, replay_one
from textgate.gateway.sample import sample_payload
from textgate.gateway.tell import Call, settle_call


async def states(world: World, webhook: Webhook) -> list[str]:
    """The states of a webhook's deliveries, oldest event first."""
    found = await world.write(
        lambda tx: tx.deliveries.page(world.account, webhook.key, before=None, limit=10_000)
    )
    return [str(delivery.state) for delivery in reversed(found)]


async def finish(world: World, webhook: Webhook, job: CallJob, verdict: Verdict) -> bool:
    call = Call(verdict, world.clock.now(), 1.0, 200 if isinstance(verdict, Told) else 500, None)
    return await world.write(lambda tx: settle_call(tx, job, webhook, call))


async def disable(world: World, webhook: Webhook, reason: str | None = None) -> Webhook:
    return await world.write(
        lambda tx: webhooks.set_enabled(tx, world.account, webhook.id, False, reason)
    )


async def enable(world: World, webhook: Webhook) -> Webhook:
    return await world.write(lambda tx: webhooks.set_enabled(tx, world.account, webhook.id, True))


async def test_a_webhook_without_an_id_gets_one_of_21_characters(world: World) -> None:
    assert len((await world.webhook(id=None)).id) == 21
    assert len((await world.webhook(id="")).id) == 21


async def test_registering_an_id_again_replaces_it_and_keeps_what_is_owed(world: World) -> None:
    first = await world.webhook(id="hook-1", url="https://example.com/old")
    await world.announce()
    second = await world.webhook(id="hook-1", url="https://example.com/new")
    assert (second.url, second.key) == ("https://example.com/new", first.key)
    assert len(await world.write(lambda tx: tx.webhooks.all(world.account))) == 1
    [job] = await world.take_calls(second)
    assert job.event.type == EventType.SMS_SENT


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"event": "sms:lost"}, "event"),
        ({"device_id": "nobody"}, "deviceId"),
        ({"id": "x" * 37}, "id"),
        ({"id": "line\nbreak"}, "id"),
    ],
)
async def test_a_webhook_that_breaks_a_rule_is_refused_with_the_member_at_fault(
    world: World, wanted: dict[str, str], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await world.webhook(**wanted)
    assert refused.value.field == field
    assert await world.write(lambda tx: tx.webhooks.all(world.account)) == ()


async def test_a_webhook_of_a_channel_hears_of_that_channel_only(world: World) -> None:
    channel = await world.channel()
    webhook = await world.webhook(device_id=channel.id)
    await world.announce(device="another")
    heard = await world.announce(device=channel.id)
    assert [job.event.id for job in await world.take_calls(webhook)] == [heard.id]


async def test_an_account_has_a_bounded_number_of_webhooks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_WEBHOOKS", 2)
    await world.webhook(id="one")
    await world.webhook(id="two")
    with pytest.raises(Invalid, match="at most 2 webhooks"):
        await world.webhook()
    await world.webhook(id="two", url="https://example.com/still-changeable")


async def test_removing_a_webhook_drops_what_was_owed_to_it_and_can_be_repeated(
    world: World,
) -> None:
    webhook = await world.webhook(id="hook-1")
    await world.announce()
    assert await world.write(lambda tx: webhooks.remove(tx, world.account, "hook-1"))
    assert not await world.write(lambda tx: webhooks.remove(tx, world.account, "hook-1"))
    assert await states(world, webhook) == []
    assert await world.write(lambda tx: tx.deliveries.lanes()) == []


async def test_a_disabled_webhook_collects_and_gets_it_all_when_it_is_enabled(
    world: World,
) -> None:
    webhook = await world.webhook()
    before = await world.announce()
    disabled = await disable(world, webhook, "it answered 410")
    during = await world.announce()
    assert (disabled.enabled, disabled.disabled_reason) == (False, "it answered 410")
    assert await world.take_calls(webhook) == []
    enabled = await enable(world, webhook)
    assert (enabled.enabled, enabled.disabled_reason) == (True, None)
    jobs = await world.take_calls(webhook)
    assert [job.event.id for job in jobs] == [before.id, during.id]


async def test_registering_a_disabled_webhook_again_enables_it(world: World) -> None:
    webhook = await world.webhook(id="hook-1")
    await disable(world, webhook)
    event = await world.announce()
    assert (await world.webhook(id="hook-1")).enabled
    assert [job.event.id for job in await world.take_calls(webhook)] == [event.id]


async def test_a_long_collection_is_resumed_in_short_writes(world: World) -> None:
    webhook = await world.webhook()
    await disable(world, webhook)
    count = webhooks.CHUNK * 2 + 1
    for _ in range(count):
        await world.announce()
    await enable(world, webhook)
    assert (await states(world, webhook)).count("pending") == webhooks.CHUNK
    assert await webhooks.resume_all(world.store, world.account, webhook.id) == webhooks.CHUNK + 1
    assert await states(world, webhook) == ["pending"] * count


async def test_what_a_crash_left_held_is_found_by_the_housekeeping(world: World) -> None:
    webhook = await world.webhook()
    await disable(world, webhook)
    for _ in range(webhooks.CHUNK + 1):
        await world.announce()
    await enable(world, webhook)  # and here the process dies
    still_disabled = await world.webhook(EventType.SMS_SENT)
    await disable(world, still_disabled)
    await world.announce()

    def resume() -> object:
        return world.write(lambda tx: webhooks.resume_forgotten(tx, world.account))

    assert await resume() == 1
    assert await resume() == 0
    assert await states(world, still_disabled) == ["held"]


async def test_a_dead_delivery_is_replayed_with_the_same_event_id_and_a_fresh_schedule(
    world: World,
) -> None:
    webhook = await world.webhook()
    event = await world.announce()
    [job] = await world.take_calls(webhook)
    assert await finish(world, webhook, job, Dead())
    assert await states(world, webhook) == ["dead"]
    delivery = await world.write(lambda tx: replay_one(tx, world.account, webhook.id, event.id))
    assert delivery.state is DeliveryState.PENDING
    [again] = await world.take_calls(webhook)
    assert again.event.id == event.id
    assert (again.delivery.attempt, again.delivery.attempt - again.delivery.base) == (2, 1)


async def test_a_delivered_event_can_be_told_again(world: World) -> None:
    webhook = await world.webhook()
    event = await world.announce()
    [job] = await world.take_calls(webhook)
    await finish(world, webhook, job, Told())
    await world.write(lambda tx: replay_one(tx, world.account, webhook.id, event.id))
    assert len(await world.take_calls(webhook)) == 1


async def test_a_delivery_under_way_is_not_replayed(world: World) -> None:
    webhook = await world.webhook()
    event = await world.announce()
    await world.take_calls(webhook)
    with pytest.raises(Conflict):
        await world.write(lambda tx: replay_one(tx, world.account, webhook.id, event.id))


async def test_nothing_is_replayed_to_a_disabled_webhook(world: World) -> None:
    webhook = await world.webhook()
    event = await world.announce()
    await disable(world, webhook)
    with pytest.raises(Conflict, match="enable it first"):
        await world.write(lambda tx: replay_one(tx, world.account, webhook.id, event.id))
    with pytest.raises(Conflict, match="enable it first"):
        await replay_all(world.store, world.account, webhook.id, Wanted())


async def test_replaying_an_event_that_a_webhook_never_had_is_not_found(world: World) -> None:
    webhook = await world.webhook(EventType.SMS_FAILED)
    event = await world.announce(EventType.SMS_SENT)
    for webhook_id in (webhook.id, "nobody"):
        with pytest.raises(NotFound):
            await world.write(
                lambda tx, i=webhook_id: replay_one(tx, world.account, i, event.id)  # type: ignore[misc]
            )


async def test_a_filter_replays_only_what_it_names(world: World) -> None:
    webhook = await world.webhook()
    for verdict in (Dead(), Told(), Dead(), Told(), Dead()):
        await world.announce()
        [job] = await world.take_calls(webhook)
        await finish(world, webhook, job, verdict)
        world.clock.advance(1_000)
    start = world.clock.now() - 5_000
    middle = Wanted(since=start + 1_000, until=start + 4_000)
    assert await replay_all(world.store, world.account, webhook.id, middle) == 1
    assert await states(world, webhook) == ["dead", "delivered", "pending", "delivered", "dead"]
    delivered = Wanted(states=(DeliveryState.DELIVERED,))
    assert await replay_all(world.store, world.account, webhook.id, delivered) == 2
    assert await states(world, webhook) == ["dead", "pending", "pending", "pending", "dead"]


async def test_a_replay_of_many_ends_although_they_are_delivered_meanwhile(world: World) -> None:
    webhook = await world.webhook()
    count = again.CHUNK + 20
    for _ in range(count):
        await world.announce()
    for job in await world.take_calls(webhook, limit=count):
        await finish(world, webhook, job, Told())

    async def deliver() -> None:
        for job in await world.take_calls(webhook, limit=count):
            await finish(world, webhook, job, Told())

    tasks: list[asyncio.Task[None]] = []

    class Eager(Hands):
        def poke(self, at: int) -> None:
            tasks.append(asyncio.create_task(deliver()))

    world.store.intake = Eager(room_for=set())
    wanted = Wanted(states=(DeliveryState.DELIVERED,))
    assert await replay_all(world.store, world.account, webhook.id, wanted) == count
    await asyncio.gather(*tasks)
    assert await states(world, webhook) == ["delivered"] * count


async def test_a_test_event_goes_to_one_webhook_alone(world: World) -> None:
    asked = await world.webhook()
    other = await world.webhook()
    event = await world.write(lambda tx: webhooks.test(tx, world.account, asked.id))
    [job] = await world.take_calls(asked)
    assert job.event.id == event.id
    assert msgspec.json.decode(job.event.payload)["test"] is True
    assert await world.take_calls(other) == []


async def test_a_disabled_webhook_cannot_be_tested(world: World) -> None:
    webhook = await world.webhook()
    await disable(world, webhook)
    with pytest.raises(Conflict, match="enable it first"):
        await world.write(lambda tx: webhooks.test(tx, world.account, webhook.id))


@pytest.mark.parametrize("type_", list(EventType))
def test_there_is_a_sample_of_each_event(type_: EventType) -> None:
    payload = sample_payload(type_, 0)
    assert payload["test"] is True
    assert len(payload) > 1


async def test_a_change_keeps_what_it_does_not_name(world: World) -> None:
    webhook = await world.webhook(url="https://example.com/a")
    changes = webhooks.Changes(event=EventType.SMS_FAILED)
    changed = await world.write(lambda tx: webhooks.change(tx, world.account, webhook.id, changes))
    assert (changed.url, changed.event) == ("https://example.com/a", "sms:failed")
    assert (changed.enabled, changed.key) == (True, webhook.key)


async def test_a_webhook_of_a_removed_channel_can_still_be_disabled(world: World) -> None:
    channel = await world.channel()
    webhook = await world.webhook(device_id=channel.id)
    await world.write(lambda tx: tx.channels.remove(world.account, channel.id))
    changes = webhooks.Changes(enabled=False)
    changed = await world.write(lambda tx: webhooks.change(tx, world.account, webhook.id, changes))
    assert not changed.enabled
