"""Who goes next, how many at once, what happens beyond memory, at the end, and on a full disk."""

import asyncio
from itertools import pairwise

import pytest
from engine_world import PROVIDER, TAKEN, World, messages

from textgate.domain.lifecycle import State
from textgate.engine import dispatcher, housekeeping, lane
from textgate.engine import engine as engine_module
from textgate.store.base import LEASE_MS, Tx
from textgate.testing.far_side import Request, Say


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "WAITING_MOST", 50)
    monkeypatch.setattr(dispatcher, "WAITING_IN_ALL", 100)
    monkeypatch.setattr(dispatcher, "CLAIM", 20)


async def test_a_channel_sends_no_faster_than_its_rate_from_the_first_message_on(
    world: World,
) -> None:
    await world.channel(rate=4.0)
    times = world.note_times(PROVIDER, then=TAKEN)
    await world.start()
    await world.submit_many(13)
    await world.live(3_000)
    assert len(times) == 13
    assert {after - before for before, after in pairwise(times)} == {250}


async def test_a_slow_rate_does_not_starve_what_has_waited_longer_than_a_lease(
    world: World,
) -> None:
    await world.channel(rate=1.0)
    times = world.note_times(PROVIDER, then=TAKEN)
    await world.start()
    await world.submit_many(300)
    await world.live(301_000)
    assert len(times) == 300
    assert await world.states() == {State.SENT: 300}
    assert all(after - before >= 990 for before, after in pairwise(times))


async def test_a_channel_has_no_more_under_way_than_it_may_from_the_first_message_on(
    world: World,
) -> None:
    await world.channel(max_in_flight=3)
    gate = asyncio.Event()
    world.far.on(PROVIDER, script=lambda request: Say(body=TAKEN.body, hold=gate))
    await world.start()
    await world.submit_many(10)
    await world.settle_down()
    assert world.far.holding == 3
    gate.set()
    await world.settle_down()
    assert world.far.most_at_once[PROVIDER] == 3
    assert await world.states() == {State.SENT: 10}


async def test_a_changed_rate_counts_from_the_message_after_next(world: World) -> None:
    channel = await world.channel(rate=1.0)
    times = world.note_times(PROVIDER, then=TAKEN)
    await world.start()
    await world.submit_many(21)
    await world.live(4_500)
    assert len(times) == 5
    await world.change(channel, rate=10.0)
    await world.live(3_000)
    # The next one, at 5 s, is still counted by the old rate, and then the new one is read.
    assert [after - before for before, after in pairwise(times)] == [1_000] * 6 + [100] * 14


async def test_urgent_messages_overtake_bulk_in_memory(world: World) -> None:
    await world.channel(max_in_flight=3)
    gate = asyncio.Event()
    world.far.on(PROVIDER, *[Say(body=TAKEN.body, hold=gate)] * 3, script=lambda request: TAKEN)
    await world.start()
    await world.submit_many(3)
    await world.settle_down()
    await world.submit(id="bulk", priority=-1)
    await world.submit(id="usual")
    await world.submit(id="urgent", priority=100)
    gate.set()
    await world.settle_down()
    assert messages(world.far.requests[PROVIDER])[3:] == ["urgent", "usual", "bulk"]


async def test_urgent_messages_overtake_bulk_in_the_store_too(world: World) -> None:
    await world.channel(max_in_flight=1)
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(body=TAKEN.body, hold=gate), script=lambda request: TAKEN)
    await world.start()
    await world.submit(id="m0")
    await world.settle_down()  # until the channel has been read, memory takes more
    for n in range(1, 40):  # far more than memory holds
        await world.submit(id=f"m{n}")
    await world.submit(id="urgent", priority=100)
    gate.set()
    await world.live(2_000)
    order = messages(world.far.requests[PROVIDER])
    assert len(order) == 41
    assert order.index("urgent") <= 5  # behind what memory held, before all others


@pytest.mark.usefixtures("little_memory")
async def test_nothing_is_lost_or_doubled_when_far_more_comes_than_memory_holds(
    world: World,
) -> None:
    await world.channel()
    webhook = await world.webhook()
    await world.start()
    count = 2_000
    await world.submit_many(count)
    await world.live(10_000)
    assert await world.states() == {State.SENT: count}
    keys = [request.headers["idempotency-key"] for request in world.far.requests[PROVIDER]]
    assert len(keys) == len(set(keys)) == count
    told = [request.json["payload"]["messageId"] for request in world.far.requests["/hook"]]
    assert len(told) == len(set(told)) == count
    assert all(d.state == "delivered" for d in await world.deliveries(webhook))


async def test_a_stuck_channel_does_not_delay_its_neighbour(world: World) -> None:
    await world.channel("/stuck", max_in_flight=8)
    world.far.on("/stuck", script=lambda request: Say(hold=asyncio.Event()))
    well = await world.channel("/well")
    await world.start()
    await world.submit_many(40)
    await world.settle_down()
    assert world.far.holding == 8
    await world.submit(id="x", device_id=well.id)
    await world.settle_down()
    assert await world.state("x") is State.SENT


async def test_busy_lanes_take_turns_when_the_limit_over_all_is_reached(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SENDS_IN_ALL", 4)
    busy = [await world.channel(f"/busy-{n}") for n in range(2)]
    late = await world.channel("/late")
    gate = asyncio.Event()
    order: list[str] = []

    def script(request: Request) -> Say:
        order.append(request.path)
        return Say(body=TAKEN.body, hold=gate)

    for path in ("/busy-0", "/busy-1", "/late"):
        world.far.on(path, script=script)
    await world.start()
    for channel in busy:
        await asyncio.gather(*(world.submit(device_id=channel.id) for _ in range(50)))
    await asyncio.gather(*(world.submit(device_id=late.id) for _ in range(5)))
    await world.settle_down()
    assert len(order) == 4
    gate.set()
    await world.settle_down()
    assert len(order) == 105
    assert max(place for place, path in enumerate(order) if path == "/late") <= 30


async def test_a_hundred_channels_all_get_on(world: World) -> None:
    made = [await world.channel(f"/c{n}", max_in_flight=1) for n in range(100)]
    await world.start()
    await asyncio.gather(
        *(world.submit(device_id=channel.id) for channel in made for _ in range(5))
    )
    await world.settle_down()
    assert {world.far.count(f"/c{n}") for n in range(100)} == {5}
    assert {world.far.most_at_once[f"/c{n}"] for n in range(100)} == {1}


async def test_a_clean_stop_finishes_what_is_under_way_and_gives_back_what_is_not(
    world: World,
) -> None:
    await world.channel(max_in_flight=2)
    gate = asyncio.Event()
    world.far.on(PROVIDER, script=lambda request: Say(body=TAKEN.body, hold=gate))
    engine = await world.start()
    await world.submit_many(10)
    await world.settle_down()
    stopping = asyncio.create_task(engine.stop(10))
    await world.settle_down()
    assert not stopping.done()
    gate.set()
    await stopping
    assert world.far.count(PROVIDER) == 2
    assert await world.states() == {State.SENT: 2, State.PENDING: 8}
    assert await world.held() == 0  # nobody has to wait for a lease to end
    rest = [await world.recipient(f"m{n}") for n in range(10)]
    assert [r.attempt for r in rest if r.state is State.PENDING] == [0] * 8


async def test_what_is_handed_over_during_a_stop_is_given_back_too(world: World) -> None:
    await world.channel(max_in_flight=1)
    world.far.on(PROVIDER, script=lambda request: Say(hold=asyncio.Event()))
    engine = await world.start()
    await world.submit(id="under-way")
    await world.settle_down()
    submitting = [asyncio.create_task(world.submit(id=f"m{n}")) for n in range(5)]
    await world.until_the_store_is_asked()
    await asyncio.sleep(0)  # the group has run; its commit is under way
    await engine.stop(0)
    await asyncio.gather(*submitting)
    rest = [await world.recipient(f"m{n}") for n in range(5)]
    assert [(r.holder, r.attempt) for r in rest] == [(None, 0)] * 5


async def test_a_new_engine_goes_on_where_the_old_one_stopped(world: World) -> None:
    await world.channel(max_in_flight=1)
    gate = asyncio.Event()
    world.far.on(PROVIDER, Say(body=TAKEN.body, hold=gate), script=lambda request: TAKEN)
    engine = await world.start()
    await world.submit_many(10)
    await world.settle_down()
    stopping = asyncio.create_task(engine.stop(10))
    await world.settle_down()
    gate.set()
    await stopping
    await world.start()
    await world.settle_down()
    assert await world.states() == {State.SENT: 10}
    assert world.far.count(PROVIDER) == 10


def fill_the_disk(tx: Tx) -> None:
    tx.run("CREATE TABLE IF NOT EXISTS ballast (x)")
    pages = tx.one("PRAGMA page_count")
    assert pages is not None
    tx.run(f"PRAGMA max_page_count = {pages[0]}")


async def test_results_that_did_not_fit_on_the_disk_are_kept_and_written_when_there_is_room(
    world: World,
) -> None:
    """The provider has answered: no message has to go out again."""
    await world.channel()
    gate = asyncio.Event()
    world.far.on(PROVIDER, script=lambda request: Say(body=TAKEN.body, hold=gate))
    await world.start()
    await world.submit_many(20)
    await world.settle_down()
    await world.write(fill_the_disk)
    gate.set()
    await world.settle_down()
    sent = (await world.states()).get(State.SENT, 0)
    assert sent < 20  # some results did not fit
    await world.write(lambda tx: tx.one("PRAGMA max_page_count = 1000000"))
    await world.live(LEASE_MS + 100)  # a result that was lost would bring its message back
    assert await world.states() == {State.SENT: 20}
    keys = [request.headers["idempotency-key"] for request in world.far.requests[PROVIDER]]
    assert len(keys) == len(set(keys)) == 20
    assert await world.told() == ["sms:sent"] * 20


async def test_overdue_messages_end_even_if_nobody_can_come_to_them(world: World) -> None:
    """Their channel is stuck, and so much waits before them that they are not even in memory."""
    await world.channel(max_in_flight=1)
    world.far.on(PROVIDER, script=lambda request: Say(hold=asyncio.Event()))
    await world.start()
    await world.submit(id="stuck")
    await world.settle_down()
    for _ in range(20):
        await world.submit(ttl_ms=30_000)
    await world.live(30_000 - 100)
    assert await world.held() == 2  # the stuck one, and the one that memory has room for
    assert await world.told() == []
    await world.live(100 + housekeeping.GAUGES_EVERY_MS)
    assert world.far.count(PROVIDER) == 1
    assert await world.states() == {State.PENDING: 2, State.FAILED: 19}
    await world.live(dispatcher.LONGEST_MS)  # the stuck one is cut off, and the other has its turn
    assert (await world.states())[State.FAILED] == 20
    assert await world.told() == ["sms:failed"] * 20
