"""Messages that must not go out any more, or not yet: expired, cancelled, scheduled."""

import asyncio

import pytest
from engine_world import DAY_MS, PROVIDER, TAKEN, World

from textgate.domain.errors import Conflict
from textgate.domain.lifecycle import State
from textgate.domain.outcome import Reason
from textgate.engine.housekeeping import GAUGES_EVERY_MS
from textgate.gateway.cancel import cancel
from textgate.store.base import Tx
from textgate.testing.far_side import Say


async def test_a_message_that_cannot_go_out_expires_at_its_deadline(world: World) -> None:
    await world.channel()
    world.far.on(PROVIDER, script=lambda r: Say(408))
    await world.start()
    await world.submit(id="m1", ttl_ms=20_000)  # tried at 0 and 5 s; the next would be at 35 s
    await world.live(19_900)
    assert await world.state("m1") is State.PROCESSED
    await world.live(200)
    assert world.far.count(PROVIDER) == 2
    assert await world.state("m1") is State.FAILED
    recipient = await world.recipient("m1")
    assert (recipient.reason, recipient.error) == (Reason.EXPIRED, "TTL expired")
    assert await world.told() == ["sms:failed"]


async def test_a_message_expires_at_its_deadline_also_while_its_channel_rests(
    world: World,
) -> None:
    await world.channel()
    world.far.on(PROVIDER, script=lambda r: Say(429, headers={"Retry-After": "200"}))
    await world.start()
    await world.submit(id="m1", ttl_ms=20_000)
    await world.live(20_000 + GAUGES_EVERY_MS)
    assert await world.state("m1") is State.FAILED


async def test_a_scheduled_message_waits_for_its_time(world: World) -> None:
    await world.channel()
    await world.start()
    await world.submit(id="m1", schedule_at=world.clock.now() + 60_000)
    await world.live(59_990)
    assert world.far.count(PROVIDER) == 0
    await world.live(10)
    assert world.far.count(PROVIDER) == 1


async def test_a_message_that_waits_in_memory_is_cancelled_at_once_and_never_sent(
    world: World,
) -> None:
    await world.channel(max_in_flight=1)
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(body=TAKEN.body, hold=gate), script=lambda r: TAKEN)
    await world.start(channel_concurrency=1)
    await world.submit(id="first")
    await world.submit(id="second")
    await world.settle_down()
    await world.write(lambda tx: cancel(tx, world.account, "second"))
    assert await world.state("second") is State.CANCELLED
    gate.set()
    await world.settle_down()
    await world.leap(DAY_MS)
    assert world.far.count(PROVIDER) == 1
    assert await world.told() == ["sms:cancelled", "sms:sent"]


async def test_a_neighbour_that_fails_to_write_does_not_change_what_cancelling_means(
    world: World,
) -> None:
    """Writes share a transaction, which runs again when one of them fails."""
    await world.channel(max_in_flight=1)
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(body=TAKEN.body, hold=gate), script=lambda request: TAKEN)
    await world.start()
    await world.submit(id="first")
    await world.settle_down()
    await world.submit(id="second")

    def fail(tx: Tx) -> None:
        tx.logs.add(world.account, "INFO", "test", "never kept", {})
        raise Conflict("no")

    await asyncio.gather(
        world.write(lambda tx: cancel(tx, world.account, "second")),
        world.write(fail),
        return_exceptions=True,
    )
    assert await world.state("second") is State.CANCELLED


async def test_a_message_that_waits_in_the_store_is_cancelled_at_once_and_never_sent(
    world: World,
) -> None:
    await world.channel()
    world.far.on(PROVIDER, script=lambda r: Say(408))
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await world.write(lambda tx: cancel(tx, world.account, "m1"))
    await world.leap(DAY_MS)
    assert world.far.count(PROVIDER) == 1
    assert await world.state("m1") is State.CANCELLED


@pytest.mark.parametrize(("answer", "state"), [(TAKEN, State.SENT), (Say(408), State.CANCELLED)])
async def test_the_outcome_decides_when_an_attempt_is_cancelled_under_way(
    world: World, answer: Say, state: State
) -> None:
    await world.channel()
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(answer.status, answer.body, hold=gate))
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await world.write(lambda tx: cancel(tx, world.account, "m1"))
    assert await world.state("m1") is State.CANCELLING
    gate.set()
    await world.settle_down()
    await world.leap(DAY_MS)
    assert world.far.count(PROVIDER) == 1
    assert await world.state("m1") is state


async def test_a_cancelled_message_is_not_sent_by_who_takes_it_over(world: World) -> None:
    """Its first taker vanished, perhaps in the attempt, and the wish to cancel came meanwhile."""
    channel = await world.channel()
    await world.taken_elsewhere(channel.id, world.submission(id="m1"))
    await world.write(lambda tx: cancel(tx, world.account, "m1"))
    assert await world.state("m1") is State.CANCELLING
    await world.start()
    await world.settle_down()  # the start ends all leases
    assert world.far.count(PROVIDER) == 0
    assert await world.state("m1") is State.FAILED  # nobody can say that it has not gone out
    assert await world.told() == ["sms:failed"]


async def test_what_may_be_out_already_is_not_called_cancelled(world: World) -> None:
    """The process died in the attempt, which must not be repeated, after cancelling was asked."""
    await world.channel(settings={"resend_unknown": False})
    world.far.on(PROVIDER, Say(hold=asyncio.Event()))
    engine = await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await world.write(lambda tx: cancel(tx, world.account, "m1"))
    await engine.stop(0)
    await world.start()
    await world.settle_down()
    assert world.far.count(PROVIDER) == 1
    assert await world.state("m1") is State.FAILED
    assert (await world.recipient("m1")).reason == Reason.UNKNOWN
