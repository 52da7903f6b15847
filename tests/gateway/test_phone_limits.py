"""The limits of a phone's queue (A §7.4), answered before a message is accepted."""

import pytest
from gateway_world import NUMBER, OTHER, World
from queue_world import Phones

from textgate.domain.errors import Invalid, Unavailable
from textgate.domain.lifecycle import State
from textgate.domain.times import rfc3339

HOUR_MS = 3_600_000
FULL = "failed to enqueue message: queue limits exceeded: "


@pytest.fixture
def phones(world: World) -> Phones:
    return Phones(world)


async def fail(phones: Phones, phone: object, message_id: str) -> None:
    await phones.submit(message_id)
    await phones.fetch(phone)  # type: ignore[arg-type]
    await phones.say(phone, message_id, State.FAILED)  # type: ignore[arg-type]


async def test_without_limits_a_queue_takes_all(phones: Phones) -> None:
    phone = await phones.phone()
    for n in range(150):
        await phones.submit(f"m{n}")
    phones.world.clock.advance(48 * HOUR_MS)
    await phones.submit("one more")
    owed = await phones.world.write(lambda tx: tx.phone_queues.unfinished(phone.id, 1000))
    assert owed == 151


async def test_messages_that_wait_are_counted_whatever_their_numbers(phones: Phones) -> None:
    phone = await phones.phone(max_pending=2)
    await phones.submit("m1", NUMBER, OTHER)
    await phones.submit("m2")
    with pytest.raises(Unavailable) as full:
        await phones.submit("m3")
    assert full.value.message == FULL + "too many pending messages: 2 / 2"
    await phones.fetch(phone)
    with pytest.raises(Unavailable):
        await phones.submit("m3")
    await phones.say(phone, "m2", State.PROCESSED)
    assert (await phones.submit("m3")).created


async def test_what_is_scheduled_for_later_does_not_count(phones: Phones) -> None:
    await phones.phone(max_pending=1, max_pending_age_s=60)
    at = phones.world.clock.now() + HOUR_MS
    await phones.submit("later", schedule_at=at)
    phones.world.clock.advance(HOUR_MS // 2)
    await phones.submit("m1")
    phones.world.clock.advance(HOUR_MS // 2)
    with pytest.raises(Unavailable, match="too many pending messages: 2 / 1"):
        await phones.submit("m2")


async def test_a_queue_whose_oldest_waits_too_long_takes_no_more(phones: Phones) -> None:
    phone = await phones.phone(max_pending_age_s=60)
    await phones.submit("m1")
    made = phones.world.clock.now()
    phones.world.clock.advance(60_000)
    await phones.submit("m2")
    phones.world.clock.advance(1)
    with pytest.raises(Unavailable) as full:
        await phones.submit("m3")
    assert full.value.message == FULL + f"too old pending message: {rfc3339(made)}"
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.SENT)
    assert (await phones.submit("m3")).created


async def test_a_phone_that_fails_again_and_again_gets_no_more(phones: Phones) -> None:
    phone = await phones.phone(max_failed=3, max_failed_age_s=60)
    for n in range(3):
        phones.world.clock.advance(1_000)
        await fail(phones, phone, f"m{n}")
    with pytest.raises(Unavailable) as full:
        await phones.submit("m3")
    assert full.value.message == FULL + "too many failed messages"
    phones.world.clock.advance(58_000)  # the first of them is forgotten
    assert (await phones.submit("m3")).created


async def test_one_that_is_sent_between_ends_the_row(phones: Phones) -> None:
    phone = await phones.phone(max_failed=2)
    await fail(phones, phone, "m1")
    await phones.submit("good")
    await phones.fetch(phone)
    phones.world.clock.advance(1)
    await phones.say(phone, "good", State.SENT)
    phones.world.clock.advance(1)
    await fail(phones, phone, "m2")
    assert (await phones.submit("m3")).created


async def test_another_phone_or_channel_takes_what_a_full_one_does_not(phones: Phones) -> None:
    full = await phones.phone("full", max_pending=1)
    await phones.submit("m0")
    other = await phones.phone("other", max_pending=1)
    assert (await phones.submit("m1")).message.device_id == other.id
    with pytest.raises(Unavailable, match="too many pending messages"):
        await phones.submit("m2")
    http = await phones.other_way()
    assert (await phones.submit("m2")).message.device_id == http.id
    with pytest.raises(Unavailable, match="too many pending messages"):
        await phones.submit("m3", device_id=full.id)


async def test_nobody_lately_is_not_the_same_as_all_full(phones: Phones) -> None:
    await phones.phone("full and silent", max_pending=1)
    await phones.submit("m1")
    phones.world.clock.advance(2 * HOUR_MS)
    with pytest.raises(Invalid, match="failed to select device"):
        await phones.submit("m2", active_within_hours=1)


async def test_a_message_that_is_refused_leaves_nothing(phones: Phones) -> None:
    phone = await phones.phone(max_pending=1)
    await phones.submit("m1")
    phones.nudged()
    with pytest.raises(Unavailable):
        await phones.submit("m2")
    assert phones.nudged() == []
    found = await phones.world.write(lambda tx: tx.messages.get(phone.account_id, "m2"))
    assert found is None
    repeat = await phones.submit("m1")
    assert not repeat.created, "it is answered all the same"
