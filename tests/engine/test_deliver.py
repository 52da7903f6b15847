"""One message through its channels: well, slow, throttled, broken, gone."""

import asyncio

import pytest
from engine_world import DAY_MS, NUMBER, OTHER, PROVIDER, TAKEN, World
from structlog.testing import capture_logs

from textgate.domain.lifecycle import State
from textgate.domain.outcome import Reason
from textgate.gateway import channels
from textgate.store.base import Tx
from textgate.testing.far_side import Say
from textgate.testing.watched import PATIENCE_S

BUSY = Say(503, b'{"code":"unknown_error"}')
REFUSED = Say(200, b'{"code":"delivery_rejected"}')


async def test_a_message_goes_out_once_and_is_sent(world: World) -> None:
    channel = await world.channel()
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    [request] = world.far.requests[PROVIDER]
    assert request.json["to"] == NUMBER
    assert request.headers["textgate-message-id"] == "m1"
    assert await world.state("m1") is State.SENT
    assert await world.told() == ["sms:sent"]
    [attempt] = await world.attempts("m1")
    assert (attempt.channel_id, attempt.attempt, attempt.outcome) == (channel.id, 1, "accepted")


async def test_each_number_of_a_message_has_its_own_key_and_its_own_event(world: World) -> None:
    await world.channel()
    await world.start()
    await world.submit(NUMBER, OTHER, id="m1")
    await world.settle_down()
    keys = {r.headers["idempotency-key"]: r.json["to"] for r in world.far.requests[PROVIDER]}
    assert sorted(keys.values()) == [NUMBER, OTHER]
    assert await world.told() == ["sms:sent"] * 2


async def test_a_deferred_message_is_tried_after_each_wait_and_then_fails(world: World) -> None:
    await world.channel()
    world.far.on(PROVIDER, script=lambda request: Say(408))
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    for tries, wait_s in enumerate((5, 30, 120, 600, 3600), start=1):
        assert world.far.count(PROVIDER) == tries
        assert await world.state("m1") is State.PROCESSED
        await world.leap(wait_s * 1000 - 10)
        assert world.far.count(PROVIDER) == tries
        await world.leap(10)
    assert world.far.count(PROVIDER) == 6
    assert await world.state("m1") is State.FAILED
    assert (await world.recipient("m1")).reason == Reason.TIMEOUT
    assert await world.told() == ["sms:failed"]
    assert len({r.headers["idempotency-key"] for r in world.far.requests[PROVIDER]}) == 1


async def test_a_refused_message_fails_at_once(world: World) -> None:
    await world.channel()
    world.far.on(PROVIDER, REFUSED)
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await world.leap(DAY_MS)
    assert world.far.count(PROVIDER) == 1
    assert await world.state("m1") is State.FAILED


async def test_a_channel_that_asks_for_time_is_left_alone_until_then(world: World) -> None:
    await world.channel()
    world.far.on(PROVIDER, Say(429, headers={"Retry-After": "60"}), script=lambda r: TAKEN)
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await world.submit(id="m2")  # while the channel rests
    await world.live(59_000)
    assert world.far.count(PROVIDER) == 1
    await world.live(1_010)
    assert world.far.count(PROVIDER) == 3
    assert await world.states() == {State.SENT: 2}
    assert (await world.recipient("m2")).attempt == 1  # to wait was no attempt


async def test_a_slow_answer_keeps_nobody_waiting(world: World) -> None:
    await world.channel()
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(body=TAKEN.body, hold=gate), script=lambda r: TAKEN)
    await world.start()
    await world.submit(id="slow")
    await world.settle_down()
    await world.submit(id="quick")
    await world.settle_down()
    assert await world.state("quick") is State.SENT
    assert await world.state("slow") is State.PENDING
    gate.set()
    await world.settle_down()
    assert await world.state("slow") is State.SENT


async def test_an_answer_that_never_comes_is_in_doubt_and_repeated_by_the_same_channel(
    world: World,
) -> None:
    await world.channel(settings={"timeout": 1})
    world.far.on(PROVIDER, Say(hold=asyncio.Event()), script=lambda r: TAKEN)
    await world.start()
    await world.submit(id="m1")
    async with asyncio.timeout(PATIENCE_S):  # the client's timeout, too, is of real time
        while not await world.attempts("m1"):
            await asyncio.sleep(0.05)
    [attempt] = await world.attempts("m1")
    assert (attempt.outcome, attempt.reason) == ("unknown", Reason.TIMEOUT)
    await world.leap(5_000)
    one, other = (r.headers["idempotency-key"] for r in world.far.requests[PROVIDER])
    assert one == other
    assert await world.state("m1") is State.SENT


async def test_in_doubt_a_channel_that_must_not_repeat_fails(world: World) -> None:
    await world.channel(settings={"resend_unknown": False})
    world.far.on(PROVIDER, Say(drop=True))
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await world.leap(DAY_MS)
    assert world.far.count(PROVIDER) == 1
    assert await world.state("m1") is State.FAILED


@pytest.mark.parametrize("failure", [BUSY, Say(drop=True), Say(401)], ids=["503", "drop", "401"])
async def test_a_channel_that_fails_again_and_again_rests_and_is_tried_with_one_call(
    world: World, failure: Say
) -> None:
    await world.channel(retry_waits=(1, 1, 1, 1, 1, 1, 1, 1))
    well = asyncio.Event()
    world.far.on(PROVIDER, script=lambda r: TAKEN if well.is_set() else failure)
    await world.start()
    for n in range(8):  # one after another
        await world.submit(id=f"m{n}")
        await world.settle_down()
    assert world.far.count(PROVIDER) == 5
    await world.live(4_990)
    assert world.far.count(PROVIDER) == 5  # it rests
    await world.live(20)
    assert world.far.count(PROVIDER) == 6  # one trial, and the rest goes on, twice as long
    well.set()
    await world.live(20_000)
    final = {State.FAILED: 6, State.SENT: 2} if failure.status == 401 else {State.SENT: 8}
    assert await world.states() == final


async def test_a_broken_channel_hands_over_to_the_next(world: World) -> None:
    await world.channel("/first")
    second = await world.channel("/second")
    world.far.on("/first", script=lambda r: BUSY)
    await world.start()
    await world.submit_many(8)
    await world.settle_down()
    assert await world.states() == {State.SENT: 8}
    assert world.far.count("/second") == 8
    assert (await world.recipient("m0")).lane == second.id
    asked = world.far.count("/first")
    await world.submit(id="later")  # the first one rests now: it is not even asked
    await world.settle_down()
    assert world.far.count("/first") == asked
    assert await world.state("later") is State.SENT


async def test_a_message_tries_the_next_channel_from_the_start_of_its_schedule(
    world: World,
) -> None:
    await world.channel("/first")
    await world.channel("/second")
    world.far.on("/first", Say(401))
    world.far.on("/second", Say(408), script=lambda r: TAKEN)
    await world.start()
    await world.submit(id="m1")
    await world.leap(4_990)
    assert world.far.count("/second") == 1
    await world.leap(10)
    assert world.far.count("/second") == 2
    assert await world.state("m1") is State.SENT


@pytest.mark.parametrize("how", ["disabled", "removed"])
async def test_the_work_of_a_channel_that_is_gone_goes_to_the_next_or_fails(
    world: World, how: str
) -> None:
    first = await world.channel("/first", rate=1.0)
    await world.start()
    await world.submit(id="before")
    await world.settle_down()
    await world.submit(id="alone")  # waits for the rate; its route is this channel only
    await world.settle_down()
    await world.channel("/second")
    await world.submit(id="routed")
    await world.settle_down()
    if how == "disabled":
        await world.change(first, enabled=False)
    else:
        await world.write(lambda tx: channels.remove(tx, world.account, first.id))
    await world.live(3_000)
    assert world.far.count("/first") == 1
    assert await world.state("alone") is State.FAILED
    assert (await world.recipient("alone")).reason == Reason.NO_CHANNEL
    assert await world.state("routed") is State.SENT
    assert await world.told() == ["sms:sent", "sms:failed", "sms:sent"]


async def test_a_changed_channel_is_used_as_it_is_now(world: World) -> None:
    channel = await world.channel()
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    url = world.far.on("/moved", script=lambda r: TAKEN)
    await world.change(channel, settings={"url": url})
    await world.submit(id="m2")
    await world.settle_down()
    assert (world.far.count(PROVIDER), world.far.count("/moved")) == (1, 1)


async def test_a_renamed_channel_stays_open_and_its_receipts_arrive(world: World) -> None:
    draft = channels.Draft(provider="simulator", name="sim", settings={"late_s": 60})
    sim = await world.write(lambda tx: channels.add(tx, world.account, draft, world.guard))
    await world.start()
    await world.submit("+41790000002", id="late")  # its last digit asks for a late receipt
    await world.live(1_000)
    await world.change(sim, name="renamed")
    await world.submit("+41790000001", id="other")
    await world.live(60_000)
    assert await world.state("late") is State.DELIVERED


async def test_a_channel_whose_settings_cannot_be_read_any_more_fails_and_says_so(
    world: World,
) -> None:
    channel = await world.channel(rate=1.0)
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await world.submit(id="m2")

    def spoil(tx: Tx) -> None:
        tx.run("UPDATE channel SET settings = '{}'")
        tx.changed("channel")

    await world.write(spoil)
    with capture_logs() as logs:
        await world.live(2_000)
    assert await world.state("m2") is State.FAILED
    assert (await world.recipient("m2")).reason == Reason.NO_CHANNEL
    [said] = [line for line in logs if line["event"] == "channel cannot be opened"]
    assert (said["log_level"], said["channel"]) == ("error", channel.id)
    assert "is required" in said["problem"]
