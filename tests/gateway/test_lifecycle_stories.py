"""The life of a message, told through the verbs on a real store."""

from datetime import timedelta
from typing import Any

import pytest
from gateway_world import DAY_MS, NUMBER, OTHER, POLICY, World

from textgate.domain.decision import Finish, Reroute, Retry
from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.domain.lifecycle import Signal, State
from textgate.domain.message import SendJob
from textgate.domain.outcome import Accepted, Deferred, Reason, Rejected, Unknown
from textgate.gateway.cancel import cancel
from textgate.gateway.settle import Leave, begin, expire, give_up, postpone
from textgate.store.base import LEASE_MS, Tx

BUSY = Deferred(Reason.UNREACHABLE, "nobody answers")


async def cancelled(world: World, message_id: str) -> State:
    message, _ = await world.write(lambda tx: cancel(tx, world.account, message_id))
    return message.state


# Accepting


async def test_an_accepted_message_is_there_with_its_work(world: World) -> None:
    channel = await world.channel()
    sent = await world.submit(id="m1")
    assert sent.created
    assert (await world.message("m1")).state is State.PENDING
    [job] = await world.take(channel)
    assert (job.message.id, job.recipient.number, job.recipient.attempt) == ("m1", NUMBER, 1)
    assert await world.told() == []


async def test_a_message_is_born_in_the_hands_of_the_process_that_accepted_it(
    world: World,
) -> None:
    channel = await world.channel()
    hands = world.hire()
    await world.submit(id="m1")
    [job] = hands.held
    assert isinstance(job, SendJob)
    assert (job.recipient.attempt, job.lease_until) == (1, world.clock.now() + LEASE_MS)
    assert await world.take(channel) == []
    world.clock.advance(LEASE_MS)
    [again] = await world.take(channel)
    assert again.recipient.attempt == 2


async def test_a_repeat_with_the_same_content_tells_what_became_of_the_first(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, Accepted(ref="r1"))
    again = await world.submit(id="m1")
    assert not again.created
    assert again.message.state is State.SENT
    assert [r.state for r in again.recipients] == [State.SENT]
    assert await world.take(channel) == []


@pytest.mark.parametrize(
    ("number", "other"), [(NUMBER, {"text": "Other"}), (OTHER, {}), (NUMBER, {"priority": 1})]
)
async def test_the_same_id_with_other_content_is_a_conflict(
    world: World, number: str, other: dict[str, Any]
) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    with pytest.raises(Conflict):
        await world.submit(number, id="m1", **other)
    assert len(await world.take(channel)) == 1


async def test_an_id_belongs_to_its_account(world: World) -> None:
    await world.channel()
    await world.submit(id="m1")
    stranger = World(world.store, world.clock, "another-account")
    await stranger.channel()
    assert (await stranger.submit(id="m1", text="Other")).created


async def test_without_a_channel_nothing_is_accepted(world: World) -> None:
    with pytest.raises(Invalid, match="POST /v1/channels"):
        await world.submit(id="m1")
    assert await world.write(lambda tx: tx.messages.get(world.account, "m1")) is None


async def test_a_scheduled_message_is_not_due_before_its_time(world: World) -> None:
    channel = await world.channel()
    hands = world.hire()
    at = world.clock.now() + 60_000
    await world.submit(id="m1", schedule_at=at)
    assert hands.held == []
    assert hands.pokes == [at]
    world.clock.advance(59_999)
    assert await world.take(channel) == []
    world.clock.advance(1)
    assert len(await world.take(channel)) == 1


async def test_an_urgent_message_overtakes_in_a_queue(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="bulk")
    world.clock.advance(1_000)
    await world.submit(id="urgent", priority=100)
    [first] = await world.take(channel, limit=1)
    assert first.message.id == "urgent"


# Settling


async def test_a_sent_message_was_processed_when_its_attempt_began(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    started_at = world.clock.now()
    world.clock.advance(250)
    decision = await world.settle(job, Accepted(ref="r1"), started_at=started_at)
    message = await world.message("m1")
    assert decision == Finish(Signal.SENT)
    assert (message.state, message.processed_at) == (State.SENT, started_at)
    assert message.sent_at == started_at + 250
    [(type_, payload)] = await world.events()
    assert type_ == "sms:sent"
    assert (payload["messageId"], payload["recipient"], payload["partsCount"]) == ("m1", NUMBER, 1)


async def test_a_refused_message_fails_with_its_reason(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, Rejected(Reason.INVALID_NUMBER, "no such number", code="21211"))
    recipient = await world.recipient("m1")
    assert (recipient.state, recipient.reason) == (State.FAILED, "invalid_number")
    assert recipient.error == "invalid_number (21211): no such number"
    [(type_, payload)] = await world.events()
    assert (type_, payload["reason"]) == ("sms:failed", "invalid_number (21211): no such number")


async def test_a_channel_that_defers_hands_over_to_the_next_one_at_once(world: World) -> None:
    first, second = await world.channel("first"), await world.channel("second")
    await world.submit(id="m1")
    [job] = await world.take(first)
    assert await world.settle(job, BUSY) == Reroute(Reason.UNREACHABLE)
    assert await world.take(first) == []
    [job] = await world.take(second)
    assert job.recipient.attempt - job.recipient.base == 1
    await world.settle(job, Accepted(ref="r1"))
    attempts = await world.write(lambda tx: tx.recipients.attempts(world.account, "m1"))
    assert [(a.channel_id, a.outcome) for a in attempts] == [
        (first.id, "deferred"),
        (second.id, "accepted"),
    ]
    assert await world.told() == ["sms:sent"]


async def test_work_is_handed_on_to_the_next_channel_in_the_same_hands(world: World) -> None:
    first, second = await world.channel("first"), await world.channel("second")
    hands = world.hire()
    await world.submit(id="m1")
    [job] = hands.held
    assert isinstance(job, SendJob)
    await world.settle(job, BUSY)
    moved = hands.held[-1]
    assert (job.lane, moved.lane) == (first.id, second.id)
    assert await world.take(second) == []


async def test_a_refusal_that_blames_the_message_is_not_tried_elsewhere(world: World) -> None:
    first, _ = await world.channel("first"), await world.channel("second")
    await world.submit(id="m1")
    [job] = await world.take(first)
    await world.settle(job, Rejected(Reason.INVALID_NUMBER))
    assert (await world.message("m1")).state is State.FAILED


async def test_attempts_follow_the_schedule_and_then_the_message_fails(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    for seconds in (5, 30, 120):
        [job] = await world.take(channel)
        decision = await world.settle(job, BUSY)
        assert decision == Retry(timedelta(seconds=seconds), Reason.UNREACHABLE)
        assert (await world.message("m1")).state is State.PROCESSED
        world.clock.advance(seconds * 1000 - 1)
        assert await world.take(channel) == []
        world.clock.advance(1)
    [job] = await world.take(channel)
    await world.settle(job, BUSY)
    recipient = await world.recipient("m1")
    assert (recipient.state, recipient.reason) == (State.FAILED, "unreachable")
    assert recipient.due_at is None
    assert await world.told() == ["sms:failed"]


async def test_the_wait_that_a_provider_asks_for_lengthens_the_schedule(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    asked = Deferred(Reason.RATE_LIMITED, after=timedelta(seconds=60))
    assert await world.settle(job, asked) == Retry(timedelta(seconds=60), Reason.RATE_LIMITED)
    world.clock.advance(59_999)
    assert await world.take(channel) == []
    world.clock.advance(1)
    assert len(await world.take(channel)) == 1


async def test_the_schedule_begins_anew_with_the_next_channel(world: World) -> None:
    first, second = await world.channel("first"), await world.channel("second")
    await world.submit(id="m1")
    [job] = await world.take(first)
    await world.settle(job, BUSY)
    [job] = await world.take(second)
    assert await world.settle(job, BUSY) == Retry(POLICY.waits[0], Reason.UNREACHABLE)


async def test_an_unknown_outcome_is_repeated_only_where_a_second_copy_does_no_harm(
    world: World,
) -> None:
    channel = await world.channel()
    await world.submit(id="careful")
    await world.submit(id="harmless")
    careful, harmless = await world.take(channel)
    unknown = Unknown(Reason.TIMEOUT, "no answer")
    assert await world.settle(careful, unknown) == Finish(Signal.FAILED, Reason.TIMEOUT)
    assert isinstance(await world.settle(harmless, unknown, resend=True), Retry)


async def test_an_unknown_outcome_is_never_tried_through_another_channel(world: World) -> None:
    first, second = await world.channel("first"), await world.channel("second")
    await world.submit(id="m1")
    [job] = await world.take(first)
    await world.settle(job, Unknown(Reason.TIMEOUT), resend=True)
    assert await world.take(second) == []


# Deadlines


async def test_no_retry_waits_beyond_the_deadline_and_then_the_message_expires(
    world: World,
) -> None:
    channel = await world.channel()
    deadline = world.clock.now() + 20_000
    await world.submit(id="m1", ttl_ms=20_000)
    [job] = await world.take(channel)
    await world.settle(job, Deferred(Reason.RATE_LIMITED, after=timedelta(hours=1)))
    assert (await world.recipient("m1")).due_at == deadline
    world.clock.advance(20_000)
    [job] = await world.take(channel)
    await world.write(lambda tx: expire(tx, job))
    recipient = await world.recipient("m1")
    assert (recipient.state, recipient.reason) == (State.FAILED, "expired")
    [(type_, payload)] = await world.events()
    assert (type_, payload["reason"]) == ("sms:failed", "TTL expired")


async def test_a_message_without_a_limit_of_its_own_has_that_of_the_server(world: World) -> None:
    await world.channel()
    await world.submit(id="m1")
    assert (await world.recipient("m1")).deadline == world.clock.now() + 3 * DAY_MS


async def test_the_validity_of_a_scheduled_message_begins_at_its_time(world: World) -> None:
    await world.channel()
    at = world.clock.now() + 10 * DAY_MS
    await world.submit(id="m1", schedule_at=at)
    assert (await world.recipient("m1")).deadline == at + 3 * DAY_MS


async def test_a_ttl_beyond_ten_years_is_refused(world: World) -> None:
    await world.channel()
    with pytest.raises(Invalid) as refused:
        await world.submit(ttl_ms=10**20)
    assert refused.value.field == "ttl"


# A channel that cannot be used, or rests


async def test_work_of_a_channel_that_is_gone_goes_to_the_next_or_fails(world: World) -> None:
    first, second = await world.channel("first"), await world.channel("second")
    await world.submit(id="m1")
    [job] = await world.take(first)
    await world.write(lambda tx: give_up(tx, job, Reason.NO_CHANNEL))
    [job] = await world.take(second)
    await world.write(lambda tx: give_up(tx, job, Reason.NO_CHANNEL))
    recipient = await world.recipient("m1")
    assert (recipient.state, recipient.reason) == (State.FAILED, "no_channel")


async def test_work_of_a_resting_channel_waits_and_its_attempt_is_not_counted(
    world: World,
) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    until = world.clock.now() + 5_000
    await world.write(lambda tx: postpone(tx, job, until))
    assert await world.take(channel) == []
    world.clock.advance(5_000)
    [job] = await world.take(channel)
    assert job.recipient.attempt == 1


# Cancelling


async def test_a_message_in_nobodys_hands_is_cancelled_at_once_and_never_sent(
    world: World,
) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    assert await cancelled(world, "m1") is State.CANCELLED
    world.clock.advance(10 * DAY_MS)
    assert await world.take(channel) == []
    assert await world.told() == ["sms:cancelled"]


async def test_a_message_that_waits_for_its_next_attempt_is_cancelled_at_once(
    world: World,
) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, BUSY)
    assert await cancelled(world, "m1") is State.CANCELLED
    world.clock.advance(DAY_MS)
    assert await world.take(channel) == []


async def test_a_message_in_hand_that_has_not_begun_is_taken_back(world: World) -> None:
    await world.channel()
    hands = world.hire()
    await world.submit(id="m1")
    assert await cancelled(world, "m1") is State.CANCELLED
    assert hands.held == []


@pytest.mark.parametrize(
    ("outcome", "state", "told"),
    [
        (Accepted(ref="r1"), State.SENT, "sms:sent"),
        (BUSY, State.CANCELLED, "sms:cancelled"),
        (Rejected(Reason.INVALID_NUMBER), State.FAILED, "sms:failed"),
    ],
)
async def test_the_attempt_under_way_decides_over_a_wish_to_cancel(
    world: World, outcome: Any, state: State, told: str
) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    assert await cancelled(world, "m1") is State.CANCELLING
    assert await world.told() == []
    await world.settle(job, outcome)
    assert (await world.message("m1")).state is state
    assert await world.told() == [told]
    world.clock.advance(DAY_MS)
    assert await world.take(channel) == []


async def test_a_cancelled_attempt_is_not_rerouted(world: World) -> None:
    first, second = await world.channel("first"), await world.channel("second")
    await world.submit(id="m1")
    [job] = await world.take(first)
    await cancelled(world, "m1")
    await world.settle(job, BUSY)
    assert (await world.message("m1")).state is State.CANCELLED
    assert await world.take(second) == []


async def test_what_has_gone_out_cannot_be_cancelled(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, Accepted(ref="r1"))
    with pytest.raises(Conflict):
        await cancelled(world, "m1")
    with pytest.raises(NotFound):
        await cancelled(world, "m2")


async def test_cancelling_twice_is_a_conflict(world: World) -> None:
    await world.channel()
    await world.submit(id="m1")
    await cancelled(world, "m1")
    with pytest.raises(Conflict):
        await cancelled(world, "m1")


async def test_only_what_has_not_gone_out_is_cancelled(world: World) -> None:
    channel = await world.channel()
    await world.submit(NUMBER, OTHER, id="m1")
    [job] = await world.take(channel, limit=1)
    await world.settle(job, Accepted(ref="r1"))
    await cancelled(world, "m1")
    assert [r.state for r in await world.recipients("m1")] == [State.SENT, State.CANCELLED]
    assert await world.told() == ["sms:sent", "sms:cancelled"]


# Receipts


async def test_a_receipt_delivers_a_sent_message(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, Accepted(ref="r1"))
    assert await world.receipt(channel, "r1", State.DELIVERED)
    assert (await world.message("m1")).state is State.DELIVERED
    assert await world.told() == ["sms:sent", "sms:delivered"]


async def test_a_repeated_receipt_changes_nothing(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, Accepted(ref="r1"))
    for state in (State.DELIVERED, State.DELIVERED, State.SENT, State.FAILED):
        assert await world.receipt(channel, "r1", state)
    assert (await world.message("m1")).state is State.DELIVERED
    assert await world.told() == ["sms:sent", "sms:delivered"]


async def test_a_receipt_that_comes_before_the_answer_is_kept_for_it(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    assert not await world.receipt(channel, "r1", State.DELIVERED)
    assert (await world.message("m1")).state is State.PENDING
    await world.settle(job, Accepted(ref="r1"))
    assert (await world.message("m1")).state is State.DELIVERED
    assert await world.told() == ["sms:sent", "sms:delivered"]


async def test_a_late_delivered_overturns_failed(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, Accepted(ref="r1"))
    await world.receipt(channel, "r1", State.FAILED, reason="delivery_rejected", detail="absent")
    failed = await world.recipient("m1")
    assert (failed.state, failed.reason, failed.error) == (
        State.FAILED,
        "delivery_rejected",
        "absent",
    )
    await world.receipt(channel, "r1", State.DELIVERED)
    delivered = await world.recipient("m1")
    assert (delivered.state, delivered.reason, delivered.error) == (State.DELIVERED, None, None)
    assert await world.told() == ["sms:sent", "sms:failed", "sms:delivered"]


async def test_a_receipt_of_one_channel_does_not_speak_for_another(world: World) -> None:
    channel, other = await world.channel("one"), await world.channel("two")
    await world.submit(id="m1", device_id=channel.id)
    [job] = await world.take(channel)
    await world.settle(job, Accepted(ref="r1"))
    assert not await world.receipt(other, "r1", State.DELIVERED)
    assert (await world.message("m1")).state is State.SENT


# Several recipients


async def test_the_state_of_a_message_is_that_of_its_recipients_together(world: World) -> None:
    channel = await world.channel()
    await world.submit(NUMBER, OTHER, id="m1")
    one, two = await world.take(channel)
    await world.settle(one, Accepted(ref="r1"))
    assert (await world.message("m1")).state is State.PENDING
    await world.settle(two, BUSY)
    assert (await world.message("m1")).state is State.PROCESSED
    world.clock.advance(5_000)
    [two] = await world.take(channel)
    await world.settle(two, Accepted(ref="r2"))
    assert (await world.message("m1")).state is State.SENT
    await world.receipt(channel, "r1", State.DELIVERED)
    assert (await world.message("m1")).state is State.SENT
    await world.receipt(channel, "r2", State.DELIVERED)
    assert (await world.message("m1")).state is State.DELIVERED
    assert await world.told() == ["sms:sent", "sms:sent", "sms:delivered", "sms:delivered"]


async def test_a_message_that_failed_for_some_shows_sent_and_for_all_shows_failed(
    world: World,
) -> None:
    channel = await world.channel()
    await world.submit(NUMBER, OTHER, id="some")
    await world.submit(NUMBER, OTHER, id="all")
    refused = Rejected(Reason.INVALID_NUMBER)
    for job in await world.take(channel):
        lucky = job.message.id == "some" and job.recipient.n == 0
        await world.settle(job, Accepted(ref="r1") if lucky else refused)
    assert (await world.message("some")).state is State.SENT
    assert (await world.message("all")).state is State.FAILED


# Fences


async def test_the_late_result_of_a_lost_lease_changes_nothing(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [lost] = await world.take(channel)
    world.clock.advance(LEASE_MS)
    [mine] = await world.take(channel)
    before = await world.recipient("m1")
    assert await world.settle(lost, Rejected(Reason.INVALID_NUMBER)) is None
    assert await world.recipient("m1") == before
    assert await world.told() == []
    await world.settle(mine, Accepted(ref="r1"))
    assert await world.settle(lost, Accepted(ref="r0")) is None
    assert (await world.recipient("m1")).provider_ref == "r1"
    assert await world.told() == ["sms:sent"]


async def test_a_result_that_is_reported_twice_counts_once(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.settle(job, Accepted(ref="r1"))
    assert await world.settle(job, Accepted(ref="r1")) is None
    assert await world.told() == ["sms:sent"]


async def test_a_careful_attempt_that_died_is_not_begun_a_second_time(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [first] = await world.take(channel)
    now = world.clock.now()
    assert await world.write(lambda tx: begin(tx, first, now)) is Leave.GO
    world.clock.advance(LEASE_MS)  # and the process died in it
    [second] = await world.take(channel)
    assert await world.write(lambda tx: begin(tx, second, now)) is Leave.DIED
    assert await world.write(lambda tx: begin(tx, first, now)) is Leave.LOST
    await world.settle(second, Unknown(Reason.UNKNOWN, "the process ended"))
    assert (await world.message("m1")).state is State.FAILED


async def test_a_careful_attempt_is_on_record_from_its_beginning(world: World) -> None:
    channel = await world.channel()
    await world.submit(id="m1")
    [job] = await world.take(channel)
    await world.write(lambda tx: begin(tx, job, world.clock.now()))

    async def outcomes() -> list[str | None]:
        found = await world.write(lambda tx: tx.recipients.attempts(world.account, "m1"))
        return [attempt.outcome for attempt in found]

    assert await outcomes() == [None]
    await world.settle(job, Accepted(ref="r1"), begun=True)
    assert await outcomes() == ["accepted"]


async def test_a_write_that_fails_hands_nothing_to_the_engine(world: World) -> None:
    def submit_and_fail(tx: Tx) -> None:
        world.submission(id="m1")(tx)
        raise Conflict("and then something goes wrong")

    await world.channel()
    hands = world.hire()
    with pytest.raises(Conflict):
        await world.write(submit_and_fail)
    assert hands.held == []
    assert await world.write(lambda tx: tx.messages.get(world.account, "m1")) is None
