"""Calls of webhooks: signed, on the exact schedule, never lost, and nobody waits for another."""

import asyncio
from datetime import UTC, datetime
from itertools import accumulate

import pytest
from engine_world import DAY_MS, HOOK, World
from standardwebhooks import Webhook as Library

from textgate.domain.event import DeliveryState, EventType, Webhook
from textgate.domain.signing import standard_webhooks_secret, timestamped_hex
from textgate.gateway import credentials, replay, webhooks
from textgate.gateway.announce import announce
from textgate.store.base import LEASE_MS
from textgate.store.sqlite import SqliteStore
from textgate.testing.far_side import OK, Request, Say

NO = Say(500)
SCHEDULE = [10 * 2**n for n in range(14)]


async def happen(world: World, count: int = 1) -> None:
    for _ in range(count):
        await world.write(
            lambda tx: announce(
                tx,
                world.account,
                EventType.SMS_SENT,
                device_id="device",
                message_id=None,
                payload={"n": 1},
            )
        )


def note_times(world: World, path: str = HOOK, *says: Say, then: Say = OK) -> list[int]:
    """Script a path; return a list that will hold the seconds at which each call came."""
    start, times, left = world.clock.now(), list[int](), list(says)

    def script(request: Request) -> Say:
        times.append((world.clock.now() - start) // 1000)
        return left.pop(0) if left else then

    world.far.on(path, script=script)
    return times


async def test_an_event_is_told_once_with_the_five_members(world: World) -> None:
    webhook = await world.webhook()
    await world.start()
    await happen(world)
    await world.settle_down()
    [event] = await world.events()
    [request] = world.far.requests[HOOK]
    assert request.headers["content-type"] == "application/json"
    assert request.json == {
        "deviceId": "device",
        "event": "sms:sent",
        "id": event.id,
        "payload": {"n": 1},
        "webhookId": webhook.id,
    }
    assert (await world.delivery(webhook)).state is DeliveryState.DELIVERED


async def test_all_fifteen_calls_come_at_exactly_their_times(world: World) -> None:
    webhook = await world.webhook()
    times = note_times(world, then=NO)
    await world.start()
    await happen(world)
    await world.settle_down()
    for calls, wait_s in enumerate(SCHEDULE, start=1):
        await world.leap(wait_s * 1000 - 10)
        assert len(times) == calls  # not a moment too early
        await world.leap(10)
        assert len(times) == calls + 1
    assert times == [0, *accumulate(SCHEDULE)]
    assert (await world.delivery(webhook)).state is DeliveryState.DEAD
    await world.leap(10 * DAY_MS)
    assert len(times) == 15
    recorded = await world.calls(webhook)
    assert [call.attempt for call in recorded] == list(range(1, 16))
    assert {call.status for call in recorded} == {500}


async def test_every_call_of_an_event_has_its_id_and_a_fresh_signature(world: World) -> None:
    await world.webhook()
    world.far.on(HOOK, NO, NO)
    await world.start()
    await happen(world)
    await world.leap(10_000)
    await world.leap(20_000)
    calls = world.far.requests[HOOK]
    assert len(calls) == 3
    assert len({call.body for call in calls}) == 1
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert calls[0].headers["webhook-id"] == calls[0].json["id"]
    stamps = [int(call.headers["x-timestamp"]) for call in calls]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 10, 30]
    assert {call.headers["webhook-timestamp"] for call in calls} == {str(s) for s in stamps}
    secret = await secret_of(world)
    for call in calls:
        stamp = int(call.headers["x-timestamp"])
        assert call.headers["x-signature"] == timestamped_hex(secret, call.body, stamp)


async def secret_of(world: World) -> str:
    account = await world.store.read(lambda tx: tx.accounts.get(world.account))
    assert account is not None
    return account.webhook_secret


async def test_after_a_rotation_both_secrets_sign_for_as_long_as_was_asked(world: World) -> None:
    await world.webhook()
    await world.start()
    old = await secret_of(world)
    await world.write(
        lambda tx: credentials.rotate_webhook_secret(tx, world.account, overlap_ms=60_000)
    )
    new = await secret_of(world)
    await happen(world)
    await world.leap(60_000)
    await happen(world)
    await world.settle_down()
    during, later = world.far.requests[HOOK]
    assert [good(during, secret) for secret in (old, new)] == [True, True]
    assert [good(later, secret) for secret in (old, new)] == [False, True]
    stamp = int(during.headers["x-timestamp"])
    assert during.headers["x-signature"] == timestamped_hex(new, during.body, stamp)
    assert during.headers["x-signature-previous"] == timestamped_hex(old, during.body, stamp)
    assert "x-signature-previous" not in later.headers


def good(call: Request, secret: str) -> bool:
    """Whether the Standard Webhooks library signs so too; its check would ask the real clock."""
    at = datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), tz=UTC)
    library = Library(standard_webhooks_secret(secret))
    signed = library.sign(call.headers["webhook-id"], at, call.body.decode())
    return signed in call.headers["webhook-signature"].split()


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_lengthens_a_wait_and_never_shortens_it(
    world: World, status: int
) -> None:
    await world.webhook()
    long = Say(status, headers={"Retry-After": "300"})
    short = Say(status, headers={"Retry-After": "1"})
    times = note_times(world, HOOK, long, short)
    await world.start()
    await happen(world)
    await world.live(299_000)
    assert times == [0]
    await world.live(1_100)
    assert times == [0, 300]
    await world.live(19_000)
    assert times == [0, 300]
    await world.live(1_100)
    assert times == [0, 300, 320]


async def test_410_disables_the_webhook_and_says_so(world: World) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, Say(410), script=lambda request: OK)
    await world.start()
    await happen(world)
    await world.settle_down()
    await happen(world, 2)
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
    await happen(world, 5)
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
    await happen(world, 5)
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
    await happen(world, 3)
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
    await happen(world)
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


@pytest.mark.parametrize("bad", [Say(302, headers={"Location": "/hook"}), Say(drop=True), Say(404)])
async def test_whatever_is_no_2xx_is_a_failure_and_called_again(world: World, bad: Say) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, bad)
    await world.start()
    await happen(world)
    await world.leap(10_000)
    assert world.far.count(HOOK) == 2
    assert (await world.delivery(webhook)).state is DeliveryState.DELIVERED


async def test_what_a_receiver_says_is_kept_for_its_owner_without_numbers(world: World) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, Say(400, b"no such customer: +41790000001"))
    await world.start()
    await happen(world)
    await world.settle_down()
    [call] = await world.calls(webhook)
    assert call.detail is not None
    assert "no such customer" in call.detail
    assert "41790000001" not in call.detail


async def test_a_dead_endpoint_delays_no_neighbour(world: World) -> None:
    await world.webhook("/dead")
    await world.webhook("/well")
    world.far.on("/dead", script=lambda request: Say(hold=asyncio.Event()))
    await world.start(webhook_concurrency=4, webhook_concurrency_total=8)
    await happen(world, 50)
    await world.settle_down()
    assert world.far.count("/dead") == 4
    assert world.far.count("/well") == 50


async def test_many_dead_endpoints_leave_room_for_their_neighbours(world: World) -> None:
    """The limit over all is what they could use up: whoever has a turn gives the next one."""
    gate = asyncio.Event()
    for n in range(8):
        await world.webhook(f"/slow-{n}")
        world.far.on(f"/slow-{n}", script=lambda request: Say(hold=gate))
    await world.start(webhook_concurrency=4, webhook_concurrency_total=16)
    await happen(world, 20)
    await world.settle_down()
    await world.webhook("/well")
    await happen(world, 5)
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
    await happen(world, 10)
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
    await happen(world, 20)
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
    other = SqliteStore(world.path, world.clock)
    await other.write(
        lambda tx: (
            announce(
                tx,
                world.account,
                EventType.SMS_SENT,
                device_id="device",
                message_id=None,
                payload={},
            ),
            tx.deliveries.take(webhook.key, 1),
        )
    )
    await other.close()
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
    await happen(world)
    await world.settle_down()
    await engine.stop(0)
    await world.start()
    await world.settle_down()
    assert len({request.json["id"] for request in world.far.requests[HOOK]}) == 1
    assert world.far.count(HOOK) == 2
    assert (await world.delivery(webhook)).state is DeliveryState.DELIVERED
