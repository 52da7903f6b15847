"""What may have gone out already: no second channel, and never "cancelled"."""

from datetime import timedelta

from gateway_world import World

from textgate.domain.decision import Retry
from textgate.domain.lifecycle import State
from textgate.domain.outcome import Deferred, Reason, Unknown
from textgate.gateway.cancel import cancel
from textgate.gateway.settle import begin, expire, give_up, postpone

LINE_BROKE = Unknown(Reason.TIMEOUT, "no answer")
BUSY = Deferred(Reason.UNREACHABLE, "busy")


async def test_it_goes_through_no_other_channel_later(world: World) -> None:
    first, _ = await world.channel("a"), await world.channel("b")
    await world.submit(id="m1")
    [job] = await world.take(first)
    assert isinstance(await world.settle(job, LINE_BROKE, resend=True), Retry)
    world.clock.advance(5_000)
    [again] = await world.take(first)
    assert isinstance(await world.settle(again, BUSY, resend=True), Retry)
    assert (await world.recipient("m1")).lane == first.id


async def test_a_channel_that_rests_keeps_it(world: World) -> None:
    first, _ = await world.channel("a"), await world.channel("b")
    await world.submit(id="m1")
    [job] = await world.take(first)
    await world.settle(job, LINE_BROKE, resend=True)
    world.clock.advance(5_000)
    [again] = await world.take(first)
    until = world.clock.now() + 60_000
    await world.write(lambda tx: postpone(tx, again, until))
    after = await world.recipient("m1")
    assert (after.lane, after.due_at) == (first.id, until)


async def test_it_fails_with_its_channel(world: World) -> None:
    first, _ = await world.channel("a"), await world.channel("b")
    await world.submit(id="m1")
    [job] = await world.take(first)
    await world.settle(job, LINE_BROKE, resend=True)
    world.clock.advance(5_000)
    [again] = await world.take(first)
    await world.write(lambda tx: give_up(tx, again, Reason.NO_CHANNEL))
    assert (await world.recipient("m1")).state is State.FAILED


async def test_it_is_not_known_what_a_process_did_before_it_died(world: World) -> None:
    first, _ = await world.channel("a"), await world.channel("b")
    await world.submit(id="m1")
    await world.take(first)
    await world.write(lambda tx: tx.recipients.end_leases())
    [again] = await world.take(first)
    assert isinstance(await world.settle(again, BUSY, resend=True), Retry)


async def test_cancelled_in_an_attempt_that_ends_unknown_it_has_failed(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.write(lambda tx: cancel(tx, world.account, "m1"))
    await world.settle(job, LINE_BROKE, resend=True)
    after = await world.recipient("m1")
    assert (after.state, after.reason) == (State.FAILED, Reason.UNKNOWN)
    assert await world.told() == ["sms:failed"]
    assert State.PROCESSED in (await world.message("m1")).reached()


async def test_cancelled_while_it_waits_to_be_repeated_it_has_failed(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, LINE_BROKE, resend=True)
    await world.write(lambda tx: cancel(tx, world.account, "m1"))
    after = await world.recipient("m1")
    assert (after.state, after.due_at) == (State.FAILED, None)
    assert "may have gone out" in (after.error or "")


async def test_cancelled_while_it_waits_after_a_clear_no_it_is_cancelled(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, Deferred(Reason.RATE_LIMITED, after=timedelta(minutes=1)))
    await world.write(lambda tx: cancel(tx, world.account, "m1"))
    after = await world.recipient("m1")
    assert (after.state, after.error) == (State.CANCELLED, "Cancelled")
    assert await world.told() == ["sms:cancelled"]


async def test_what_had_begun_when_its_process_died_is_in_doubt_though_nobody_takes_it_again(
    world: World,
) -> None:
    first = await world.channel("a")
    await world.submit(id="m1", ttl_ms=60_000)
    [job] = await world.take(first)
    await world.write(lambda tx: begin(tx, job, tx.now))  # the process dies here
    world.clock.advance(60_000)
    await world.write(lambda tx: tx.recipients.end_leases())
    [late] = await world.write(lambda tx: tx.recipients.overdue(10))
    await world.write(lambda tx: expire(tx, late))
    assert (await world.recipient("m1")).reason == Reason.UNKNOWN
