"""The engine's looks at what waits for phones and what they have: what it may not forget, and takes
that are over before it comes to them."""

import msgspec
import pytest
from gateway_world import NUMBER, World
from queue_world import CODE, MOVE_ON_MS, OFFLINE_MS, Phones

from textgate.domain.device import Device
from textgate.domain.lifecycle import State
from textgate.domain.message import Recipient, SendJob
from textgate.domain.outcome import Reason
from textgate.gateway import phone_queue
from textgate.gateway.settle import expire

HOUR_MS = 3_600_000


@pytest.fixture
def phones(world: World) -> Phones:
    return Phones(world)


async def pair(phones: Phones, message_id: str, **wanted: object) -> tuple[Device, Device]:
    """Two phones and a message: who has it first, and the other."""
    one, two = await phones.phone("one"), await phones.phone("two")
    await phones.submit(message_id, **wanted)
    return (one, two) if await phones.carrier(message_id) == one.id else (two, one)


async def look(phones: Phones, lane: str) -> None:
    """Have the engine look at a lane before its time, as when its channel was changed."""
    await phones.world.write(lambda tx: tx.recipients.hurry(lane, 100))
    await phones.work()


async def take(phones: Phones, lane: str) -> SendJob:
    [job] = await phones.world.write(lambda tx: tx.recipients.take(lane, 10))
    return job


async def changed_by(phones: Phones, job: SendJob) -> tuple[Recipient, Recipient]:
    """Return how it stands before and after the engine comes to a take."""
    before = await phones.recipient(job.message.id)
    await phones.world.write(lambda tx: phone_queue.due(tx, job))
    return before, await phones.recipient(job.message.id)


# Takes that are over.


async def test_a_take_that_its_phone_was_quicker_than_is_over(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    phones.world.clock.advance(MOVE_ON_MS)
    job = await take(phones, phone.id)
    await phones.fetch(phone)
    before, after = await changed_by(phones, job)
    assert after == before


async def test_a_take_of_what_has_ended_is_over(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", ttl_ms=MOVE_ON_MS)
    phones.world.clock.advance(MOVE_ON_MS)
    job = await take(phones, phone.id)
    await phones.world.write(lambda tx: expire(tx, job))
    assert await phones.state("m1") is State.FAILED
    before, after = await changed_by(phones, job)
    assert after == before
    assert await phones.world.told() == ["sms:failed"]


async def test_what_is_put_back_is_looked_at_at_its_time(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    phones.hands.pokes.clear()
    await phones.pass_time(MOVE_ON_MS, phone)
    due_at = (await phones.recipient("m1")).due_at
    assert due_at == phones.world.clock.now() + MOVE_ON_MS
    assert due_at in phones.hands.pokes, "the engine is told to wake for it"


# What is being sent, and codes.


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_code_that_a_phone_is_sending_or_is_to_drop_stays_though_looked_at(
    phones: Phones, cancelled: bool
) -> None:
    first, other = await pair(phones, "m1", context=CODE)
    await phones.fetch(first)
    if cancelled:
        await phones.cancel("m1")
    else:
        await phones.say(first, "m1", State.PROCESSED)
    phones.world.clock.advance(2 * MOVE_ON_MS)
    await phones.hear(other)
    await look(phones, first.id)
    assert await phones.carrier("m1") == first.id
    assert await phones.fetch(other) == []


async def test_a_code_for_later_is_left_to_its_phone_until_it_was_to_go_out(
    phones: Phones,
) -> None:
    at = phones.world.clock.now() + HOUR_MS
    first, other = await pair(phones, "m1", context=CODE, schedule_at=at)
    await phones.fetch(first)
    await phones.pass_time(HOUR_MS + MOVE_ON_MS - 1, other)
    assert await phones.carrier("m1") == first.id
    await phones.pass_time(1, other)
    assert await phones.carrier("m1") == other.id


async def test_a_code_leaves_the_full_hand_of_a_phone_that_lives_and_does_nothing(
    phones: Phones,
) -> None:
    """Full hands keep what waits for them, not what they hold."""
    phone = await phones.phone(in_hand=1)
    await phones.submit("m1", context=CODE)
    channel = await phones.other_way()
    await phones.reroute(channel.id)
    await phones.fetch(phone)
    await phones.pass_time(MOVE_ON_MS, phone)
    assert await phones.carrier("m1") == channel.id


async def test_a_code_does_not_come_back_to_a_phone_that_had_it(phones: Phones) -> None:
    first, other = await pair(phones, "m1", context=CODE)
    await phones.fetch(first)
    await phones.pass_time(MOVE_ON_MS, other)
    assert (await phones.recipient("m1")).route == ""
    await phones.pass_time(OFFLINE_MS, first, other)
    assert await phones.carrier("m1") == other.id


async def test_what_one_phone_may_have_sent_stays_in_doubt_wherever_it_goes(
    phones: Phones,
) -> None:
    made = {phone.id: phone for phone in [await phones.phone(f"p{n}") for n in range(3)]}
    await phones.submit("m1", context=CODE, ttl_ms=OFFLINE_MS)
    first = await phones.carrier("m1")
    await phones.fetch(made[first])
    others = [phone for phone in made.values() if phone.id != first]
    seen = set()
    for _ in range(2):
        await phones.pass_time(MOVE_ON_MS, *others)
        now = await phones.recipient("m1")
        assert now.uncertain
        seen.add(now.lane)
    assert seen == {phone.id for phone in others}, "nobody else ever fetched it"
    await phones.pass_time(OFFLINE_MS, *others)
    end = await phones.recipient("m1")
    assert (end.state, end.reason, end.uncertain) == (State.FAILED, Reason.UNKNOWN, True)


async def test_that_one_phone_dropped_it_does_not_say_that_the_other_had(phones: Phones) -> None:
    first, other = await pair(phones, "m1", context=CODE)
    await phones.fetch(first)
    await phones.pass_time(MOVE_ON_MS, other)
    await phones.fetch(other)
    await phones.cancel("m1")
    await phones.say(other, "m1", State.CANCELLED)
    end = await phones.recipient("m1")
    assert (end.state, end.reason) == (State.FAILED, Reason.UNKNOWN)


@pytest.mark.parametrize("news", [State.SENT, State.DELIVERED])
async def test_whoever_lost_it_and_had_sent_it_says_so(phones: Phones, news: State) -> None:
    first, other = await pair(phones, "m1", context=CODE)
    await phones.fetch(first)
    await phones.pass_time(MOVE_ON_MS, other)
    await phones.say(first, "m1", news)
    assert await phones.state("m1") is news
    assert await phones.carrier("m1") == first.id


# Where it goes, and when.


async def test_deaths_of_the_engine_are_no_rounds_among_phones(phones: Phones) -> None:
    first, other = await pair(phones, "m1")
    for _ in range(4):
        await phones.world.write(lambda tx: tx.recipients.hurry(first.id, 10))
        await take(phones, first.id)  # and then it dies
        await phones.world.write(lambda tx: tx.recipients.end_leases())
    await phones.pass_time(MOVE_ON_MS, other)
    assert await phones.carrier("m1") == other.id, "and not only after the time of a round"


async def test_what_is_for_later_does_not_move_before(phones: Phones) -> None:
    at = phones.world.clock.now() + HOUR_MS
    first, other = await pair(phones, "m1", schedule_at=at)
    phones.world.clock.advance(HOUR_MS // 2)
    await phones.hear(other)
    await look(phones, first.id)
    after = await phones.recipient("m1")
    assert (after.lane, after.due_at) == (first.id, at)


async def test_nothing_moves_to_what_is_disabled(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    channel = await phones.other_way()
    await phones.reroute(channel.id)
    disabled = msgspec.structs.replace(channel, enabled=False)
    await phones.world.write(lambda tx: tx.channels.save(disabled))
    await phones.pass_time(MOVE_ON_MS)
    assert await phones.carrier("m1") == phone.id
    assert await phones.state("m1") is State.PENDING


async def test_full_hands_keep_nothing_that_waits_once_the_phone_is_disabled(
    phones: Phones,
) -> None:
    phone = await phones.phone(in_hand=1)
    await phones.submit("m1")
    await phones.submit("m2")
    channel = await phones.other_way()
    await phones.reroute(channel.id)
    [held] = await phones.fetch(phone)
    waiting = "m2" if held == "m1" else "m1"
    await phones.change(phone, enabled=False)
    await phones.hear(phone)
    await look(phones, phone.id)
    assert await phones.carrier(held) == phone.id
    assert await phones.carrier(waiting) == channel.id


# What a phone says.


async def test_of_a_number_that_is_not_there_no_time_is_kept(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    at = {State.PENDING: phones.world.clock.now(), State.PROCESSED: phones.world.clock.now()}
    await phones.say(phone, "m1", State.PROCESSED, "+19998887777", at=at)
    await phones.say(phone, "m1", State.CANCELLING, NUMBER, at=at)
    assert (await phones.message("m1")).reached().keys() == {State.PENDING}


async def test_of_what_is_no_news_from_a_phone_that_lost_it_no_time_is_kept(
    phones: Phones,
) -> None:
    first, other = await pair(phones, "m1", context=CODE)
    await phones.fetch(first)
    await phones.pass_time(MOVE_ON_MS, other)
    at = {State.PROCESSED: phones.world.clock.now()}
    await phones.say(first, "m1", State.PROCESSED, at=at)
    assert (await phones.message("m1")).reached().keys() == {State.PENDING}


async def test_a_late_delivered_brings_when_it_was_sent(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.FAILED)
    now = phones.world.clock.now()
    await phones.say(phone, "m1", State.DELIVERED, at={State.SENT: now + 1})
    reached = (await phones.message("m1")).reached()
    assert reached[State.SENT] == now + 1


@pytest.mark.parametrize("off_ms", [-310_000, 310_000])
async def test_a_clock_that_is_off_by_more_than_five_minutes_is_not_believed(
    phones: Phones, off_ms: int
) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    now = phones.world.clock.now()
    await phones.say(phone, "m1", State.SENT, at={State.SENT: now + off_ms})
    assert (await phones.message("m1")).sent_at == now


async def test_only_a_phone_that_may_fetch_more_is_told_to(phones: Phones) -> None:
    phone = await phones.phone(in_hand=2)
    for n in range(4):
        await phones.submit(f"m{n}")
    first, second = await phones.fetch(phone)
    await phones.change(phone, enabled=False)
    phones.nudged()
    for message_id in (first, second):
        await phones.say(phone, message_id, State.SENT)
    assert phones.nudged() == [], "it is disabled"
    await phones.change(phone, enabled=True)
    third, fourth = await phones.fetch(phone)
    phones.nudged()
    for message_id in (third, fourth):
        await phones.say(phone, message_id, State.SENT)
    assert phones.nudged() == [], "nothing waits"


# What it may fetch.


async def test_a_phone_that_may_have_less_in_hand_than_it_has_fetches_nothing_new(
    phones: Phones,
) -> None:
    phone = await phones.phone(in_hand=3)
    for n in range(5):
        await phones.submit(f"m{n}")
    had = await phones.fetch(phone)
    assert len(had) == 3
    await phones.change(phone, max_in_flight=2)
    assert await phones.fetch(phone) == had


async def test_what_was_for_later_takes_room_when_its_time_has_come(phones: Phones) -> None:
    phone = await phones.phone(in_hand=1)
    at = phones.world.clock.now() + 1_000
    for n in range(3):
        await phones.submit(f"m{n}", schedule_at=at)
    phones.world.clock.advance(1_000)
    assert len(await phones.fetch(phone)) == 1


async def test_cancellations_too_come_no_more_than_so_many_at_a_time(phones: Phones) -> None:
    phone = await phones.phone()
    for n in range(3):
        await phones.submit(f"unwanted-{n}")
    await phones.fetch(phone)
    await phones.submit("wanted")
    for n in range(3):
        await phones.cancel(f"unwanted-{n}")
    found = await phones.world.write(lambda tx: phone_queue.waiting(tx, phone, limit=2))
    assert [queued.state for queued in found] == [State.CANCELLING] * 2
