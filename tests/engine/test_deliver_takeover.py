"""Work of a process that is gone."""

import asyncio

import apsw
import pytest
from engine_world import PROVIDER, TAKEN, World

from textgate.domain.errors import Unavailable
from textgate.domain.lifecycle import State
from textgate.store.base import LEASE_MS
from textgate.testing.far_side import Say


async def test_the_work_of_a_process_that_vanished_is_taken_when_its_lease_ends(
    world: World,
) -> None:
    channel = await world.channel()
    await world.start()
    await world.taken_elsewhere(channel.id, world.submission(id="m1"))
    await world.live(LEASE_MS - 10)
    assert world.far.count(PROVIDER) == 0
    await world.live(20)
    assert world.far.count(PROVIDER) == 1
    assert await world.state("m1") is State.SENT


async def test_the_work_of_the_process_before_is_taken_at_the_start(world: World) -> None:
    channel = await world.channel()
    await world.taken_elsewhere(channel.id, world.submission(id="m1"))
    await world.start()
    await world.settle_down()
    assert await world.state("m1") is State.SENT


async def test_an_attempt_that_never_reported_is_not_repeated_where_it_could_do_harm(
    world: World,
) -> None:
    """The process died in it: it may be out already."""
    await world.channel(settings={"resend_unknown": False})
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(hold=gate))
    engine = await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await engine.stop(0)  # cut off in the middle of the attempt
    await world.start()
    await world.settle_down()
    assert world.far.count(PROVIDER) == 1
    assert await world.state("m1") is State.FAILED
    assert "ended while it was being sent" in ((await world.recipient("m1")).error or "")


async def test_an_attempt_that_never_reported_is_repeated_with_its_key_where_repeats_are_dropped(
    world: World,
) -> None:
    await world.channel()
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(hold=gate), script=lambda r: TAKEN)
    engine = await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    await engine.stop(0)
    await world.start()
    await world.settle_down()
    one, other = (r.headers["idempotency-key"] for r in world.far.requests[PROVIDER])
    assert one == other
    assert await world.state("m1") is State.SENT


async def test_a_result_is_kept_over_a_time_in_which_the_database_takes_none(world: World) -> None:
    """Another process holds the lock for longer than a write waits; then it lets go."""
    await world.channel()
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(body=TAKEN.body, hold=gate))
    await world.start()
    await world.submit(id="m1")
    await world.settle_down()
    other = apsw.Connection(str(world.path))
    other.execute("BEGIN IMMEDIATE")
    world.store.lose_patience()  # a write gives up soon
    gate.set()
    await world.until_the_store_is_asked()  # the result waits
    with pytest.raises(Unavailable):  # and all that waits is refused together
        await world.write(lambda tx: None)
    other.execute("ROLLBACK")
    await world.live(2_000)
    assert world.far.count(PROVIDER) == 1
    assert await world.state("m1") is State.SENT
