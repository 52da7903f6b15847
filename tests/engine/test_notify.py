"""Calls of webhooks: signed, on the exact schedule, repeated until they are heard."""

from datetime import UTC, datetime
from itertools import accumulate

import pytest
from engine_world import DAY_MS, HOOK, World
from standardwebhooks import Webhook as Library

from textgate.domain.event import DeliveryState
from textgate.domain.signing import standard_webhooks_secret, timestamped_hex
from textgate.gateway import credentials
from textgate.testing.far_side import OK, Request, Say

NO = Say(500)
SCHEDULE = [10_000 * 2**n for n in range(14)]


async def test_an_event_is_told_once_with_the_five_members(world: World) -> None:
    webhook = await world.webhook()
    await world.start()
    await world.happen()
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
    times = world.note_times(HOOK, then=NO)
    await world.start()
    await world.happen()
    await world.settle_down()
    for calls, wait_ms in enumerate(SCHEDULE, start=1):
        await world.leap(wait_ms - 10)
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
    await world.happen()
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
    await world.happen()
    await world.leap(60_000)
    await world.happen()
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
    times = world.note_times(HOOK, long, short, then=OK)
    await world.start()
    await world.happen()
    await world.live(299_000)
    assert times == [0]
    await world.live(1_100)
    assert times == [0, 300_000]
    await world.live(19_000)
    assert times == [0, 300_000]
    await world.live(1_100)
    assert times == [0, 300_000, 320_000]


@pytest.mark.parametrize("bad", [Say(302, headers={"Location": "/hook"}), Say(drop=True), Say(404)])
async def test_whatever_is_no_2xx_is_a_failure_and_called_again(world: World, bad: Say) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, bad)
    await world.start()
    await world.happen()
    await world.leap(10_000)
    assert world.far.count(HOOK) == 2
    assert (await world.delivery(webhook)).state is DeliveryState.DELIVERED


async def test_what_a_receiver_says_is_kept_for_its_owner_without_numbers(world: World) -> None:
    webhook = await world.webhook()
    world.far.on(HOOK, Say(400, b"no such customer: +41790000001"))
    await world.start()
    await world.happen()
    await world.settle_down()
    [call] = await world.calls(webhook)
    assert call.detail is not None
    assert "no such customer" in call.detail
    assert "41790000001" not in call.detail
