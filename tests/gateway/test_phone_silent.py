"""What becomes of messages when a phone is silent, gone or disabled; cancelling."""

from typing import Any

import pytest
from gateway_world import DAY_MS, NUMBER, OTHER, World
from queue_world import CODE, MOVE_ON_MS, OFFLINE_MS, Phones

from textgate.domain.device import Device, DeviceEvent
from textgate.domain.errors import Conflict
from textgate.domain.lifecycle import State
from textgate.domain.message import SendJob
from textgate.domain.outcome import Accepted, Deferred, Reason, Unknown
from textgate.gateway import devices, phone_queue
from textgate.gateway.settle import call_off, expire, give_up

HOUR_MS = 3_600_000
UNKNOWN_TEXT = "an attempt may have gone out, and its result never came"


@pytest.fixture
def phones(world: World) -> Phones:
    return Phones(world)


async def pair(phones: Phones, message_id: str, **wanted: Any) -> tuple[Device, Device]:
    """Two phones and a message: who has it first, and the other."""
    one, two = await phones.phone("one"), await phones.phone("two")
    await phones.submit(message_id, **wanted)
    return (one, two) if await phones.carrier(message_id) == one.id else (two, one)


async def remove(phones: Phones, phone: Device) -> None:
    await phones.world.write(lambda tx: devices.remove(tx, phone.account_id, phone.id))


async def end_as_gone(phones: Phones, lane: str) -> None:
    """Do what the engine does with what is left of a channel that is no more."""
    for job in await phones.world.write(lambda tx: tx.recipients.take(lane, 100)):
        await phones.world.write(lambda tx, j=job: give_up(tx, j, Reason.NO_CHANNEL))  # type: ignore[misc]


# Moving on.


async def test_what_a_silent_phone_has_not_fetched_goes_to_the_other(phones: Phones) -> None:
    silent, living = await pair(phones, "m1")
    phones.nudged()
    await phones.pass_time(MOVE_ON_MS - 1, living)
    assert await phones.carrier("m1") == silent.id, "not before its time"
    await phones.pass_time(1, living)
    assert await phones.carrier("m1") == living.id
    assert phones.nudged() == [(living.id, DeviceEvent.MESSAGE_ENQUEUED, {})]
    assert await phones.fetch(silent) == []
    assert await phones.fetch(living) == ["m1"]
    await phones.say(living, "m1", State.SENT)
    [attempt] = await phones.attempts("m1")
    assert attempt.channel_id == living.id
    assert await phones.world.told() == ["sms:sent"]


async def test_how_long_is_the_wish_of_the_account(phones: Phones) -> None:
    await phones.policy(move_on_after_s=5)
    _, living = await pair(phones, "m1")
    await phones.pass_time(5_000, living)
    assert await phones.carrier("m1") == living.id


async def test_what_is_in_the_hand_of_a_phone_stays_there(phones: Phones) -> None:
    silent, living = await pair(phones, "m1")
    await phones.fetch(silent)
    await phones.pass_time(2 * DAY_MS, living)
    assert await phones.carrier("m1") == silent.id
    assert await phones.fetch(living) == []


async def test_in_hand_and_never_told_of_it_ends_in_doubt_at_its_deadline(phones: Phones) -> None:
    silent, living = await pair(phones, "m1")
    await phones.fetch(silent)
    await phones.pass_time(3 * DAY_MS, living)
    after = await phones.recipient("m1")
    assert (after.state, after.reason) == (State.FAILED, Reason.UNKNOWN)
    assert (after.error, after.uncertain, after.due_at) == (UNKNOWN_TEXT, True, None)
    assert await phones.world.told() == ["sms:failed"]
    assert [a.outcome for a in await phones.attempts("m1")] == ["unknown"]
    await phones.say(silent, "m1", State.DELIVERED)
    assert await phones.state("m1") is State.DELIVERED, "the truth may be late"


async def test_reported_as_processed_and_nothing_more_it_ends_in_doubt_too(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", ttl_ms=HOUR_MS)
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.PROCESSED)
    await phones.pass_time(HOUR_MS, phone)
    assert (await phones.recipient("m1")).reason == Reason.UNKNOWN


async def test_a_code_in_the_hand_of_a_silent_phone_goes_to_the_other(phones: Phones) -> None:
    silent, living = await pair(phones, "m1", context=CODE)
    await phones.fetch(silent)
    await phones.pass_time(MOVE_ON_MS - 1, living)
    assert await phones.carrier("m1") == silent.id
    await phones.pass_time(1, living)
    assert await phones.carrier("m1") == living.id
    assert await phones.fetch(living) == ["m1"]
    await phones.say(living, "m1", State.SENT)
    found = {a.channel_id: a.outcome for a in await phones.attempts("m1")}
    assert found == {silent.id: "unknown", living.id: "accepted"}


async def test_a_code_with_nowhere_to_go_stays_in_hand(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", context=CODE, ttl_ms=10 * MOVE_ON_MS)
    await phones.fetch(phone)
    await phones.pass_time(MOVE_ON_MS)
    held = await phones.recipient("m1")
    assert (held.holder, held.lane) == (phone.id, phone.id)
    assert await phones.fetch(phone) == ["m1"]
    assert len(await phones.attempts("m1")) == 1
    await phones.say(phone, "m1", State.SENT)
    assert await phones.state("m1") is State.SENT


async def test_a_code_that_two_phones_had_is_never_called_cancelled(phones: Phones) -> None:
    silent, living = await pair(phones, "m1", context=CODE)
    await phones.fetch(silent)
    await phones.pass_time(MOVE_ON_MS, living)
    await phones.cancel("m1")
    assert (await phones.recipient("m1")).reason == Reason.UNKNOWN


async def test_the_phone_that_lost_it_may_still_say_that_it_is_out(phones: Phones) -> None:
    silent, living = await pair(phones, "m1", context=CODE)
    await phones.fetch(silent)
    await phones.pass_time(MOVE_ON_MS, living)
    await phones.fetch(living)
    for no_news in (State.PROCESSED, State.FAILED, State.CANCELLED):
        await phones.say(silent, "m1", no_news)
        assert await phones.state("m1") is State.PENDING
    await phones.say(silent, "m1", State.SENT)
    assert await phones.state("m1") is State.SENT
    assert await phones.carrier("m1") == silent.id, "it is the one that sent it"
    assert await phones.fetch(living) == []
    await phones.say(living, "m1", State.SENT)
    assert await phones.world.told() == ["sms:sent"], "a second copy of a code is no second event"


async def test_a_phone_that_never_had_it_has_no_say(phones: Phones) -> None:
    silent, living = await pair(phones, "m1")
    await phones.pass_time(MOVE_ON_MS, living)
    await phones.say(silent, "m1", State.SENT)
    assert await phones.state("m1") is State.PENDING


async def test_nobody_takes_over_for_a_phone_if_all_are_silent(phones: Phones) -> None:
    silent, _ = await pair(phones, "m1")
    await phones.pass_time(OFFLINE_MS + 1)
    assert await phones.carrier("m1") == silent.id
    await phones.pass_time(MOVE_ON_MS)
    assert await phones.carrier("m1") == silent.id
    assert await phones.fetch(silent) == ["m1"], "it is back"


async def test_a_phone_that_comes_back_gets_what_the_other_left(phones: Phones) -> None:
    first, second = await pair(phones, "m1")
    await phones.pass_time(MOVE_ON_MS, second)
    assert await phones.carrier("m1") == second.id
    for _ in range(100):  # the second never fetches either; the first is heard of again
        await phones.pass_time(60_000, first)
        if await phones.carrier("m1") == first.id:
            break
    assert await phones.fetch(first) == ["m1"]


async def test_when_it_has_been_at_all_phones_it_goes_round_slowly(phones: Phones) -> None:
    first, second = await pair(phones, "m1")
    for phone in (second, first):
        await phones.pass_time(MOVE_ON_MS, first, second)
        assert await phones.carrier("m1") == phone.id
    due_at = (await phones.recipient("m1")).due_at
    assert due_at == phones.world.clock.now() + OFFLINE_MS, "so long that a living one looks"


async def test_two_phones_that_only_poll_lose_no_message_between_them(phones: Phones) -> None:
    """They look every 15 minutes, and never when the message happens to be theirs at first."""
    one, two = await pair(phones, "m1")
    every, minute = 15, 60_000
    for n in range(1, 6 * every):
        await phones.pass_time(minute)
        for phone, at in ((one, 0), (two, 7)):
            if n % every == at:
                await phones.hear(phone)
                if await phones.fetch(phone):
                    return
    raise AssertionError("nobody ever fetched it")


async def test_a_busy_phone_keeps_what_waits_unless_another_is_idle(phones: Phones) -> None:
    busy = await phones.phone("busy", in_hand=2)
    for n in range(4):
        await phones.submit(f"m{n}")
    other = await phones.phone("other", in_hand=2)
    await phones.reroute(other.id)
    assert len(await phones.fetch(busy)) == 2
    for n in range(2):
        await phones.submit(f"own-{n}", device_id=other.id)
    await phones.fetch(other)
    await phones.pass_time(MOVE_ON_MS, busy, other)
    assert [await phones.carrier(f"m{n}") for n in range(4)] == [busy.id] * 4, "both are busy"
    for n in range(2):
        await phones.say(other, f"own-{n}", State.SENT)
    await phones.pass_time(MOVE_ON_MS, busy, other)
    moved = [n for n in range(4) if await phones.carrier(f"m{n}") == other.id]
    assert len(moved) == 2, "what waited goes to the idle one"


async def test_a_full_phone_that_is_silent_loses_what_waits(phones: Phones) -> None:
    dead = await phones.phone("dead", in_hand=1)
    await phones.submit("m1")
    await phones.submit("m2")
    living = await phones.phone("living")
    await phones.reroute(living.id)
    [held] = await phones.fetch(dead)
    await phones.pass_time(MOVE_ON_MS + 1, living)
    waiting = "m2" if held == "m1" else "m1"
    assert await phones.carrier(waiting) == living.id
    assert await phones.carrier(held) == dead.id


# Phones and other channels.


async def test_it_goes_to_the_next_channel_when_no_phone_is_left(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    channel = await phones.other_way()
    await phones.reroute(channel.id)
    await phones.pass_time(MOVE_ON_MS)
    assert await phones.carrier("m1") == channel.id
    [job] = phones.hands.held
    assert isinstance(job, SendJob)
    await phones.world.settle(job, Accepted(ref="r1"))
    assert await phones.state("m1") is State.SENT
    await phones.say(phone, "m1", State.CANCELLED)
    assert await phones.state("m1") is State.SENT


async def test_a_channel_that_is_no_phone_keeps_the_schedule(phones: Phones) -> None:
    phone = await phones.phone()
    at = phones.world.clock.now() + 10 * HOUR_MS
    await phones.submit("m1", schedule_at=at)
    assert (await phones.recipient("m1")).due_at == at, "till then the phone may come back"
    channel = await phones.other_way()
    await phones.reroute(channel.id)
    await phones.change(phone, enabled=False)
    await phones.world.write(lambda tx: tx.recipients.hurry(phone.id, 10))
    await phones.work()
    waits = await phones.recipient("m1")
    assert (waits.lane, waits.due_at, waits.holder) == (channel.id, at, None)
    assert phones.hands.held == []
    await phones.pass_time(10 * HOUR_MS)
    [job] = await phones.world.take(channel)
    assert job.message.id == "m1"


async def test_from_a_channel_to_a_phone_it_is_offered_there(phones: Phones) -> None:
    channel = await phones.other_way()
    phone = await phones.phone()
    await phones.submit("m1")
    [job] = phones.hands.held
    assert isinstance(job, SendJob)
    assert job.lane == channel.id
    await phones.world.settle(job, Deferred(Reason.UNREACHABLE, "no line"))
    phones.hands.held.clear()
    assert await phones.carrier("m1") == phone.id
    # Handed to the engine of this process, which only offers it.
    phones.nudged()
    await phones.pass_time(150_000, phone)
    offered = await phones.recipient("m1")
    assert offered.holder is None
    assert (offered.due_at or 0) > phones.world.clock.now()
    assert phones.nudged() == [(phone.id, DeviceEvent.MESSAGE_ENQUEUED, {})]
    assert await phones.fetch(phone) == ["m1"]
    await phones.say(phone, "m1", State.SENT)
    assert await phones.state("m1") is State.SENT
    assert [a.channel_id for a in await phones.attempts("m1")] == [channel.id, phone.id]


async def test_what_may_be_out_by_a_channel_goes_to_no_phone(phones: Phones) -> None:
    channel = await phones.other_way()
    await phones.phone()
    await phones.submit("m1")
    [job] = phones.hands.held
    assert isinstance(job, SendJob)
    await phones.world.settle(job, Unknown(Reason.TIMEOUT, "no answer"))
    assert await phones.carrier("m1") == channel.id
    assert await phones.state("m1") is State.FAILED


# Disabled and removed.


async def test_what_waits_for_a_disabled_phone_moves_on_or_fails(phones: Phones) -> None:
    silent, living = await pair(phones, "m1")
    await phones.submit("m2", device_id=silent.id)
    await phones.change(silent, enabled=False)
    await phones.pass_time(MOVE_ON_MS, living)
    assert await phones.carrier("m1") == living.id
    gone = await phones.recipient("m2")
    assert (gone.state, gone.reason) == (State.FAILED, Reason.NO_CHANNEL)


async def test_what_a_disabled_phone_has_in_hand_may_still_be_told_of(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.submit("m2")
    await phones.fetch(phone)
    await phones.change(phone, enabled=False)
    await phones.say(phone, "m1", State.SENT)
    await phones.pass_time(3 * DAY_MS)
    assert await phones.state("m1") is State.SENT
    assert (await phones.recipient("m2")).reason == Reason.UNKNOWN


async def test_what_a_removed_phone_left_moves_on_and_what_it_had_ends_in_doubt(
    phones: Phones,
) -> None:
    gone, living = await pair(phones, "had")
    await phones.fetch(gone)
    await phones.submit("waiting", device_id=gone.id)
    await phones.world.write(
        lambda tx: tx.run(
            "UPDATE recipient SET route = ? WHERE message_id = 'waiting'", (living.id,)
        )
    )
    await remove(phones, gone)
    await end_as_gone(phones, gone.id)
    had = await phones.recipient("had")
    assert (had.state, had.reason) == (State.FAILED, Reason.UNKNOWN)
    assert await phones.carrier("waiting") == living.id


async def test_what_a_removed_phone_was_to_drop_ends_in_doubt(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.cancel("m1")
    await remove(phones, phone)
    [job] = await phones.world.write(lambda tx: tx.recipients.take(phone.id, 10))
    await phones.world.write(lambda tx: call_off(tx, job))
    assert (await phones.recipient("m1")).reason == Reason.UNKNOWN


# Crashes.


async def test_a_restart_leaves_to_a_phone_what_it_has(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.world.write(lambda tx: tx.recipients.end_leases())
    assert (await phones.recipient("m1")).holder == phone.id
    await phones.say(phone, "m1", State.SENT)
    assert await phones.state("m1") is State.SENT


async def test_the_engine_may_die_while_it_looks_after_what_waits(phones: Phones) -> None:
    silent, living = await pair(phones, "m1")
    await phones.pass_time(MOVE_ON_MS - 1)
    phones.world.clock.advance(1)
    await phones.world.write(lambda tx: tx.recipients.take(silent.id, 10))  # and then it dies
    await phones.hear(living)
    await phones.world.write(lambda tx: tx.recipients.end_leases())
    await phones.work()
    after = await phones.recipient("m1")
    assert (after.lane, after.uncertain) == (living.id, False), "it was never in anybody's hand"
    await phones.cancel("m1")
    await phones.pass_time(MOVE_ON_MS)
    assert await phones.state("m1") is State.CANCELLED


async def test_what_was_in_no_hand_when_the_engine_died_is_not_in_doubt(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    phones.world.clock.advance(MOVE_ON_MS)
    await phones.world.write(lambda tx: tx.recipients.take(phone.id, 10))  # and then it dies
    await phones.world.write(lambda tx: tx.recipients.end_leases())
    await phones.work()
    await phones.cancel("m1")
    await phones.pass_time(MOVE_ON_MS)
    assert await phones.state("m1") is State.CANCELLED


async def test_the_engine_may_die_while_it_looks_after_what_is_in_hand(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", context=CODE)
    await phones.fetch(phone)
    phones.world.clock.advance(MOVE_ON_MS)
    await phones.world.write(lambda tx: tx.recipients.take(phone.id, 10))  # and then it dies
    await phones.world.write(lambda tx: tx.recipients.end_leases())
    assert await phones.fetch(phone) == ["m1"]
    assert len(await phones.attempts("m1")) == 1, "it had it all the time"
    await phones.work()
    await phones.say(phone, "m1", State.FAILED)
    after = await phones.recipient("m1")
    assert (after.state, after.uncertain) == (State.FAILED, False)


async def test_a_phone_fetches_what_the_engine_is_just_looking_after(phones: Phones) -> None:
    silent, living = await pair(phones, "m1")
    phones.world.clock.advance(MOVE_ON_MS)
    await phones.hear(living)
    write = phones.world.write
    [job] = await write(lambda tx: tx.recipients.take(silent.id, 10))
    assert await phones.fetch(silent) == ["m1"]
    await write(lambda tx: phone_queue.due(tx, job))
    assert await phones.carrier("m1") == silent.id, "the engine is too late"
    assert await phones.fetch(living) == []


async def test_work_given_back_untouched_is_looked_after_again(phones: Phones) -> None:
    silent, living = await pair(phones, "m1")
    phones.world.clock.advance(MOVE_ON_MS)
    await phones.hear(living)
    write = phones.world.write
    [job] = await write(lambda tx: tx.recipients.take(silent.id, 10))
    await write(lambda tx: tx.recipients.release(job))
    await phones.work()
    assert await phones.carrier("m1") == living.id


async def test_a_sweep_of_what_is_late_calls_unknown_what_was_in_hand(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", ttl_ms=60_000)
    await phones.fetch(phone)
    phones.world.clock.advance(60_000)
    write = phones.world.write
    await write(lambda tx: tx.recipients.take(phone.id, 10))  # the engine dies here
    await write(lambda tx: tx.recipients.end_leases())
    [late] = await write(lambda tx: tx.recipients.overdue(10))
    await write(lambda tx: expire(tx, late))
    assert (await phones.recipient("m1")).reason == Reason.UNKNOWN


# Cancelling.


async def test_what_a_silent_phone_never_fetched_is_cancelled_at_once(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", NUMBER, OTHER)
    phones.nudged()
    phones.world.clock.advance(HOUR_MS)
    await phones.cancel("m1")
    assert (await phones.message("m1")).state is State.CANCELLED
    assert await phones.world.told() == ["sms:cancelled", "sms:cancelled"]
    assert phones.nudged() == []
    assert await phones.fetch(phone) == []


async def test_a_phone_is_asked_to_drop_what_it_has_not_fetched_and_does_not_get_it(
    phones: Phones,
) -> None:
    phone = await phones.phone()
    await phones.submit("m1", NUMBER, OTHER)
    phones.nudged()
    await phones.cancel("m1")
    assert phones.nudged()[0] == (phone.id, DeviceEvent.MESSAGE_CANCELLED, {"messageId": "m1"})
    assert (await phones.message("m1")).state is State.CANCELLING
    assert await phones.fetch(phone) == ["m1"]
    assert await phones.attempts("m1") == [], "it is only to say that it drops it"
    await phones.pass_time(MOVE_ON_MS, phone)
    assert (await phones.message("m1")).state is State.CANCELLED
    assert await phones.world.told() == ["sms:cancelled", "sms:cancelled"]


async def test_what_was_never_fetched_is_cancelled_by_the_word_of_the_phone(
    phones: Phones,
) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.cancel("m1")
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.CANCELLED)
    after = await phones.recipient("m1")
    assert (after.state, after.due_at, after.attempt) == (State.CANCELLED, None, 0)
    assert await phones.world.told() == ["sms:cancelled"]


@pytest.mark.parametrize("told", [None, State.PENDING, State.PROCESSED])
async def test_a_phone_is_asked_to_drop_what_it_has(phones: Phones, told: State | None) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    if told is not None:
        await phones.say(phone, "m1", told)
    phones.nudged()
    await phones.cancel("m1")
    assert phones.nudged() == [(phone.id, DeviceEvent.MESSAGE_CANCELLED, {"messageId": "m1"})]
    assert await phones.state("m1") is State.CANCELLING
    assert await phones.world.told() == []
    [queued] = await phones.queue(phone)
    assert queued.state is State.CANCELLING
    with pytest.raises(Conflict, match="failed to cancel message: message is not pending"):
        await phones.cancel("m1")
    await phones.say(phone, "m1", State.CANCELLED)
    after = await phones.recipient("m1")
    assert (after.state, after.due_at) == (State.CANCELLED, None)
    assert await phones.world.told() == ["sms:cancelled"]
    assert await phones.fetch(phone) == []


async def test_a_phone_that_had_sent_it_wins(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    await phones.fetch(phone)
    await phones.cancel("m1")
    await phones.say(phone, "m1", State.PROCESSED)
    assert await phones.state("m1") is State.CANCELLING
    assert await phones.fetch(phone) == ["m1"], "it is asked again"
    await phones.say(phone, "m1", State.SENT)
    assert await phones.state("m1") is State.SENT
    with pytest.raises(Conflict):
        await phones.cancel("m1")


async def test_a_phone_that_never_answers_ends_it_in_doubt(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", context=CODE)
    await phones.fetch(phone)
    await phones.cancel("m1")
    await phones.pass_time(DAY_MS, phone)
    assert await phones.state("m1") is State.CANCELLING
    await phones.pass_time(2 * DAY_MS, phone)
    assert (await phones.recipient("m1")).reason == Reason.UNKNOWN


async def test_a_scheduled_message_is_cancelled_on_the_phone(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", schedule_at=phones.world.clock.now() + HOUR_MS)
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.PENDING)  # as the app does at its next look
    await phones.cancel("m1")
    await phones.say(phone, "m1", State.CANCELLED)
    assert await phones.state("m1") is State.CANCELLED


async def test_cancelled_while_the_engine_looks_after_what_is_in_hand(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1", context=CODE)
    await phones.fetch(phone)
    phones.world.clock.advance(MOVE_ON_MS)
    [job] = await phones.world.write(lambda tx: tx.recipients.take(phone.id, 10))
    phones.hands.held.append(job)
    await phones.cancel("m1")
    assert await phones.state("m1") is State.CANCELLING
    await phones.world.write(lambda tx: phone_queue.due(tx, job))
    assert (await phones.recipient("m1")).holder == phone.id
    await phones.say(phone, "m1", State.CANCELLED)
    assert await phones.state("m1") is State.CANCELLED


async def test_cancelled_while_the_engine_looks_after_what_waits(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    phones.world.clock.advance(MOVE_ON_MS)
    [job] = await phones.world.write(lambda tx: tx.recipients.take(phone.id, 10))
    await phones.cancel("m1")  # the engine has begun
    assert await phones.state("m1") is State.CANCELLING
    await phones.world.write(lambda tx: phone_queue.due(tx, job))
    assert await phones.state("m1") is State.CANCELLED
