"""What a phone fetches, and what it says became of it."""

import pytest
from gateway_world import NUMBER, OTHER, World
from queue_world import CODE, MOVE_ON_MS, Phones

from textgate.domain.device import DeviceEvent
from textgate.domain.lifecycle import State
from textgate.domain.outcome import Reason
from textgate.gateway import devices, phone_queue
from textgate.telemetry import exposition

HOUR_MS = 3_600_000


@pytest.fixture
def phones(world: World) -> Phones:
    return Phones(world)


async def test_a_message_waits_for_its_phone_and_the_phone_is_told(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", NUMBER, OTHER)
    assert phones.nudged() == [(phone.id, DeviceEvent.MESSAGE_ENQUEUED, {})]
    assert phones.hands.held == []  # nothing for an engine to send
    [queued] = await phones.queue(phone)
    assert [r.number for r in queued.recipients] == [NUMBER, OTHER]
    assert queued.state is State.PENDING
    assert await phones.state("m1") is State.PENDING
    assert await phones.carrier("m1") == phone.id


async def test_looking_changes_nothing_and_fetching_begins_an_attempt_once(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.queue(phone)
    assert await phones.attempts("m1") == []
    assert await phones.fetch(phone) == ["m1"]
    assert await phones.fetch(phone) == ["m1"], "until it reports"
    [attempt] = await phones.attempts("m1")
    assert (attempt.channel_id, attempt.attempt, attempt.outcome) == (phone.id, 1, None)
    held = await phones.recipient("m1")
    assert (held.state, held.holder, held.due_at) == (State.PENDING, phone.id, held.deadline)


async def test_the_order_is_that_of_the_original(phones: Phones) -> None:
    phone = await phones.phone()
    now = phones.world.clock.now()
    await phones.submit("later", schedule_at=now + 2 * HOUR_MS, priority=127)
    await phones.submit("sooner", schedule_at=now + HOUR_MS, priority=-128)
    for n in range(3):
        await phones.submit(f"plain-{n}")
        phones.world.clock.advance(1)
    await phones.submit("urgent", priority=100)
    await phones.submit("bulk", priority=-1)
    lifo = ["urgent", "plain-2", "plain-1", "plain-0", "bulk", "sooner", "later"]
    assert [q.message.id for q in await phones.queue(phone)] == lifo
    fifo = ["urgent", "plain-0", "plain-1", "plain-2", "bulk", "sooner", "later"]
    assert await phones.fetch(phone, "fifo") == fifo
    assert await phones.fetch(phone, "lifo") == lifo, "the same for what it has"


async def test_messages_of_the_same_moment_are_in_the_order_of_their_ids(phones: Phones) -> None:
    phone = await phones.phone()
    made = [(await phones.world.submit()).message.id for _ in range(5)]
    assert await phones.fetch(phone, "fifo") == made
    assert await phones.fetch(phone, "lifo") == made[::-1]


async def test_no_more_than_a_hundred_at_a_time(phones: Phones) -> None:
    phone = await phones.phone()
    for n in range(120):
        await phones.submit(f"m{n:03}")
    first = await phones.fetch(phone, "fifo")
    assert first == [f"m{n:03}" for n in range(100)]
    assert await phones.fetch(phone, "lifo") == first[::-1], "its hands are full"
    for message_id in first[:30]:
        await phones.say(phone, message_id, State.SENT)
    assert len(await phones.fetch(phone, "fifo")) == 90
    assert (await phones.recipient("m119")).holder == phone.id


async def test_what_is_scheduled_for_later_leaves_room_for_what_is_not(phones: Phones) -> None:
    phone = await phones.phone(in_hand=2)
    later = phones.world.clock.now() + 24 * HOUR_MS
    for n in range(3):
        await phones.submit(f"later-{n}", schedule_at=later + n)
    assert await phones.fetch(phone) == ["later-0", "later-1", "later-2"]
    for n in range(3):
        await phones.submit(f"now-{n}")
    found = await phones.fetch(phone, "fifo")
    assert found == ["now-0", "now-1", "later-0", "later-1", "later-2"]


async def test_a_cancellation_is_seen_however_long_the_queue_is(phones: Phones) -> None:
    phone = await phones.phone(in_hand=1000)
    await phones.submit("unwanted", priority=-128)
    await phones.fetch(phone)
    await phones.cancel("unwanted")
    for n in range(110):
        await phones.submit(f"m{n}")
    queued = await phones.queue(phone)
    assert len(queued) == 100
    assert queued[-1].message.id == "unwanted"
    assert queued[-1].state is State.CANCELLING


async def test_what_is_too_late_is_not_handed_out(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", ttl_ms=60_000)
    phones.world.clock.advance(60_000)
    assert await phones.fetch(phone) == []
    await phones.work()
    after = await phones.recipient("m1")
    assert (after.state, after.error) == (State.FAILED, "TTL expired")
    assert await phones.world.told() == ["sms:failed"]


async def test_what_became_too_late_in_its_hand_is_not_handed_out_again(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", ttl_ms=60_000)
    assert await phones.fetch(phone) == ["m1"]
    phones.world.clock.advance(60_000)
    assert await phones.fetch(phone) == []


async def test_a_phone_that_is_disabled_gets_only_cancellations(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.submit("m2")
    await phones.fetch(phone)
    await phones.change(phone, enabled=False)
    await phones.cancel("m1")
    assert await phones.fetch(phone) == ["m1"]


async def test_only_numbers_in_its_own_lane_are_handed_out(phones: Phones) -> None:
    one = await phones.phone("one")
    await phones.submit("m1", NUMBER, OTHER)
    other = await phones.phone("other")
    await phones.world.write(
        lambda tx: tx.run("UPDATE recipient SET lane = ? WHERE n = 1", (other.id,))
    )
    [mine] = await phones.queue(one)
    [theirs] = await phones.queue(other)
    assert [r.number for r in mine.recipients] == [NUMBER]
    assert [r.number for r in theirs.recipients] == [OTHER]


async def test_what_is_gone_between_looking_and_taking_is_not_handed_out(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.submit("m2", NUMBER, OTHER)
    seen = await phones.queue(phone)
    await phones.cancel("m1")
    taken = await phones.world.write(lambda tx: phone_queue.take(tx, phone, seen))
    assert [q.message.id for q in taken] == ["m2"]
    assert [r.number for r in taken[0].recipients] == [NUMBER, OTHER]


async def test_a_phone_removed_between_looking_and_taking_takes_nothing(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    seen = await phones.queue(phone)
    await phones.world.write(lambda tx: devices.remove(tx, phone.account_id, phone.id))
    assert await phones.world.write(lambda tx: phone_queue.take(tx, phone, seen)) == []
    after = await phones.recipient("m1")
    assert (after.holder, after.due_at) == (None, phones.world.clock.now()), "due at once"


async def test_how_long_a_message_waited_for_its_phone_is_measured(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", NUMBER, OTHER)
    phones.world.clock.advance(3_000)
    await phones.fetch(phone)
    await phones.fetch(phone)
    name = "textgate_time_to_phone_seconds"
    shown = [line for line in exposition().decode().splitlines() if phone.id in line]
    assert f'{name}_count{{channel="{phone.id}"}} 1.0' in shown
    assert f'{name}_sum{{channel="{phone.id}"}} 3.0' in shown


# Reports.


async def test_the_life_of_a_message_by_the_clock_of_its_phone(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    made = phones.world.clock.now()
    at = {State.PENDING: made + 10, State.PROCESSED: made + 100}
    await phones.say(phone, "m1", State.PROCESSED, at=at)
    assert await phones.fetch(phone) == [], "it said that it has it"
    at |= {State.SENT: made + 200}
    await phones.say(phone, "m1", State.SENT, at=at)
    at |= {State.DELIVERED: made + 300}
    await phones.say(phone, "m1", State.DELIVERED, at=at)
    after = await phones.recipient("m1")
    assert (after.state, after.due_at, after.holder) == (State.DELIVERED, None, None)
    assert (await phones.message("m1")).reached() == at | {State.PENDING: made}
    events = await phones.world.events()
    assert [type_ for type_, _ in events] == ["sms:sent", "sms:delivered"]
    assert events[0][1]["sentAt"].endswith("00.200Z")
    assert [a.outcome for a in await phones.attempts("m1")] == ["accepted"]


async def test_a_reported_pending_is_processed(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.PENDING)
    assert await phones.state("m1") is State.PROCESSED


async def test_the_first_stamp_stays_and_a_report_brings_those_that_were_missed(
    phones: Phones,
) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    made = phones.world.clock.now()
    first = {State.PROCESSED: made + 1, State.SENT: made + 2, State.DELIVERED: made + 3}
    await phones.say(phone, "m1", State.DELIVERED, at=first)
    second = {State.PROCESSED: made + 11, State.SENT: made + 12}
    await phones.say(phone, "m1", State.SENT, at=second)
    assert (await phones.message("m1")).reached() == first | {State.PENDING: made}
    (sent, at_sent), (delivered, at_end) = await phones.world.events()
    assert (sent, delivered) == ("sms:sent", "sms:delivered"), "what has arrived was sent before"
    assert at_sent["sentAt"].endswith("00.002Z")
    assert at_end["deliveredAt"].endswith("00.003Z")


@pytest.mark.parametrize("wrong_ms", [-2 * HOUR_MS, 2 * HOUR_MS, -60_000_000_000])
async def test_an_absurd_clock_gets_our_time(phones: Phones, wrong_ms: int) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    phones.world.clock.advance(5_000)
    now = phones.world.clock.now()
    at = {State.PROCESSED: now + wrong_ms, State.SENT: now + wrong_ms}
    await phones.say(phone, "m1", State.SENT, at=at)
    reached = (await phones.message("m1")).reached()
    assert (reached[State.PROCESSED], reached[State.SENT]) == (now, now)


async def test_a_clock_that_is_a_little_off_is_believed(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    at = {State.SENT: phones.world.clock.now() - 60_000}
    await phones.say(phone, "m1", State.SENT, at=at)
    assert (await phones.message("m1")).sent_at == at[State.SENT]


async def test_numbers_match_exactly_and_then_with_a_plus(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", NUMBER, NUMBER[1:], "1234", skip_validation=True)
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.SENT, NUMBER[1:])
    assert [(await phones.recipient("m1", n)).state for n in range(3)] == [
        State.PENDING,
        State.SENT,
        State.PENDING,
    ]
    await phones.submit("m2")
    await phones.fetch(phone)
    await phones.say(phone, "m2", State.SENT, NUMBER[1:])
    assert await phones.state("m2") is State.SENT
    await phones.say(phone, "m1", State.SENT, "1234")
    assert (await phones.recipient("m1", 2)).state is State.SENT


async def test_encrypted_numbers_match_as_they_are(phones: Phones) -> None:
    phone = await phones.phone()
    cipher = "$aes-256-cbc/pbkdf2-sha1$i=75000$c2FsdA==$Y2lwaGVy"
    await phones.submit("m1", cipher, text=cipher, encrypted=True)
    assert await phones.fetch(phone) == ["m1"]
    await phones.say(phone, "m1", State.SENT, cipher)
    assert await phones.state("m1") is State.SENT


async def test_what_is_unknown_or_of_another_changes_nothing(phones: Phones) -> None:
    mine = await phones.phone("mine")
    await phones.submit("m1", device_id=mine.id)
    other = await phones.phone("other")
    await phones.fetch(mine)
    await phones.say(mine, "nothing", State.SENT)
    await phones.say(mine, "m1", State.SENT, "+19998887777")
    await phones.say(other, "m1", State.SENT)
    await phones.say(mine, "m1", State.CANCELLING)
    assert await phones.state("m1") is State.PENDING
    assert await phones.fetch(mine) == ["m1"], "nothing was said of it"


async def test_reports_in_disorder_never_lead_back(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    for state in (State.DELIVERED, State.SENT, State.PROCESSED, State.FAILED, State.CANCELLED):
        await phones.say(phone, "m1", state)
        assert await phones.state("m1") is State.DELIVERED
    assert await phones.world.told() == ["sms:sent", "sms:delivered"]


async def test_a_late_delivered_overturns_failed(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.FAILED, error="Send result: RESULT_ERROR_NO_SERVICE")
    failed = await phones.recipient("m1")
    assert (failed.state, failed.reason) == (State.FAILED, Reason.PROVIDER_ERROR)
    await phones.say(phone, "m1", State.DELIVERED)
    after = await phones.recipient("m1")
    assert (after.state, after.reason, after.error) == (State.DELIVERED, None, None)


@pytest.mark.parametrize(
    ("before", "error", "reason"),
    [
        (State.PROCESSED, "Send result: RESULT_ERROR_GENERIC_FAILURE", Reason.PROVIDER_ERROR),
        (State.SENT, "Delivery result: 64", Reason.DELIVERY_REJECTED),
        (State.PROCESSED, "TTL expired", Reason.EXPIRED),
        (State.PROCESSED, None, Reason.PROVIDER_ERROR),
    ],
)
async def test_why_it_failed_is_kept_and_announced(
    phones: Phones, before: State, error: str | None, reason: Reason
) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.say(phone, "m1", before)
    await phones.say(phone, "m1", State.FAILED, error=error)
    after = await phones.recipient("m1")
    assert (after.state, after.reason, after.error) == (State.FAILED, reason, error or "Unknown")
    type_, payload = (await phones.world.events())[-1]
    assert (type_, payload["reason"]) == ("sms:failed", error or "Unknown")


async def test_an_error_is_kept_up_to_256_characters(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.FAILED, error="x" * 300)
    assert (await phones.recipient("m1")).error == "x" * 256


async def test_a_message_of_several_numbers_stands_where_all_of_them_stand(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", NUMBER, OTHER)
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.SENT, NUMBER)
    assert (await phones.message("m1")).state is State.PENDING
    [queued] = await phones.queue(phone)
    assert [r.number for r in queued.recipients] == [OTHER], "the other is still to be said of"
    await phones.say(phone, "m1", State.FAILED, OTHER)
    assert (await phones.message("m1")).state is State.SENT, "half failed shows Sent"


async def test_a_phone_that_reports_what_it_was_never_given_is_believed(phones: Phones) -> None:
    # Such as one that was given it before our database was restored.
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.say(phone, "m1", State.SENT)
    assert await phones.state("m1") is State.SENT
    [attempt] = await phones.attempts("m1")
    assert (attempt.channel_id, attempt.outcome) == (phone.id, "accepted")


async def test_a_phone_with_room_again_is_told_that_more_waits(phones: Phones) -> None:
    phone = await phones.phone(in_hand=4)
    for n in range(6):
        await phones.submit(f"m{n}")
    fetched = await phones.fetch(phone)
    phones.nudged()
    await phones.say(phone, fetched[0], State.SENT)
    assert phones.nudged() == [], "not for one place"
    await phones.say(phone, fetched[1], State.FAILED)
    assert phones.nudged() == [(phone.id, DeviceEvent.MESSAGE_ENQUEUED, {})]
    await phones.fetch(phone)
    await phones.say(phone, fetched[2], State.SENT)
    assert phones.nudged() == [], "nothing waits"


async def test_what_a_slow_phone_has_in_progress_is_in_its_hand_for_an_hour(phones: Phones) -> None:
    phone = await phones.phone(in_hand=1)
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.PROCESSED)
    await phones.submit("m2")
    assert await phones.fetch(phone) == []
    await phones.pass_time(HOUR_MS)
    assert await phones.fetch(phone) == ["m2"], "m1 may never be told of"


async def test_a_code_that_is_being_sent_stays(phones: Phones) -> None:
    one, two = await phones.phone("one"), await phones.phone("two")
    await phones.submit("m1", context=CODE)
    first = one if await phones.carrier("m1") == one.id else two
    await phones.fetch(first)
    await phones.say(first, "m1", State.PROCESSED)
    await phones.pass_time(MOVE_ON_MS, one, two)
    assert await phones.carrier("m1") == first.id
