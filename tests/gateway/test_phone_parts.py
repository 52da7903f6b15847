"""Delivered, of a message of several parts: announced once, when the last part is there."""

import pytest
from gateway_world import NUMBER, World
from queue_world import Phones

from textgate.domain.device import Device
from textgate.domain.event import EventType
from textgate.domain.lifecycle import State
from textgate.domain.times import rfc3339
from textgate.gateway.phone_events import PhoneEvent, take
from textgate.gateway.phone_queue import due
from textgate.gateway.phone_queue.reporting import PARTS_MS
from textgate.store.base import Tx

LONG = "x" * 400
"""Three parts."""


@pytest.fixture
def phones(world: World) -> Phones:
    return Phones(world)


async def teller(phones: Phones) -> Device:
    """A phone whose events come to us."""
    phone = await phones.phone()

    def work(tx: Tx) -> Device:
        phone.tells_server = True
        tx.devices.save(phone)
        return phone

    return await phones.world.write(work)


async def arrives(phones: Phones, phone: Device, event_id: str) -> None:
    """The phone sends the event of one part."""
    account_id, at = phones.world.account, rfc3339(phones.world.clock.now())
    payload = {"messageId": "m1", "phoneNumber": NUMBER, "recipient": NUMBER, "deliveredAt": at}
    event = PhoneEvent(id=event_id, event=EventType.SMS_DELIVERED, payload=payload)

    def work(tx: Tx) -> bool:
        account = tx.accounts.get(account_id)
        assert account is not None
        return take(tx, account, phone, event)

    await phones.world.write(work)


async def sent(phones: Phones, phone: Device, text: str = LONG) -> None:
    await phones.submit("m1", text=text)
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.SENT)


async def test_the_word_of_the_phone_waits_for_the_events_of_its_parts(phones: Phones) -> None:
    phone = await teller(phones)
    await sent(phones, phone)
    await phones.say(phone, "m1", State.DELIVERED)
    assert await phones.state("m1") is State.SENT
    for n in range(3):
        assert await phones.state("m1") is State.SENT
        await arrives(phones, phone, f"event-{n}")
    assert await phones.state("m1") is State.DELIVERED
    assert await phones.world.told() == ["sms:sent", "sms:delivered"]
    await phones.pass_time(PARTS_MS)
    await phones.say(phone, "m1", State.DELIVERED)
    assert await phones.world.told() == ["sms:sent", "sms:delivered"]


async def test_without_these_events_it_stands_after_a_minute(phones: Phones) -> None:
    phone = await teller(phones)
    await sent(phones, phone)
    await phones.say(phone, "m1", State.DELIVERED)
    said = phones.world.clock.now()
    await arrives(phones, phone, "event-0")
    await phones.pass_time(PARTS_MS // 2, phone)
    await phones.say(phone, "m1", State.DELIVERED)  # once more: the minute goes on
    await phones.pass_time(PARTS_MS // 2, phone)
    after = await phones.recipient("m1")
    assert (after.state, after.due_at, after.uncertain) == (State.DELIVERED, None, False)
    assert (await phones.message("m1")).delivered_at == said
    assert await phones.world.told() == ["sms:sent", "sms:delivered"]


async def test_it_stands_after_a_minute_also_past_its_deadline(phones: Phones) -> None:
    phone = await teller(phones)
    await phones.submit("m1", text=LONG, ttl_ms=5_000)
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.DELIVERED)
    phones.world.clock.advance(10_000)
    late = await phones.world.write(lambda tx: tx.recipients.overdue(10))
    assert late == [], "a sweep does not end it"
    await phones.world.write(lambda tx: tx.recipients.end_leases())
    await phones.pass_time(PARTS_MS)
    assert await phones.state("m1") is State.DELIVERED
    assert await phones.world.told() == ["sms:sent", "sms:delivered"]


async def test_one_part_needs_no_second_word(phones: Phones) -> None:
    phone = await teller(phones)
    await sent(phones, phone, "Hello")
    await phones.say(phone, "m1", State.DELIVERED)
    assert await phones.state("m1") is State.DELIVERED


async def test_a_phone_that_tells_us_nothing_is_taken_at_its_word(phones: Phones) -> None:
    phone = await phones.phone()
    await sent(phones, phone)
    await phones.say(phone, "m1", State.DELIVERED)
    assert await phones.state("m1") is State.DELIVERED
    assert await phones.world.told() == ["sms:sent", "sms:delivered"]


async def test_part_by_part_the_state_itself_tells_nothing_more(phones: Phones) -> None:
    await phones.policy(delivered_per_part=True)
    phone = await teller(phones)
    await sent(phones, phone)
    for n in range(3):
        await arrives(phones, phone, f"event-{n}")
        await phones.say(phone, "m1", State.DELIVERED)
        assert await phones.state("m1") is State.DELIVERED
    assert await phones.world.told() == ["sms:sent", *["sms:delivered"] * 3]


async def test_a_failure_after_the_first_parts_wins(phones: Phones) -> None:
    phone = await teller(phones)
    await sent(phones, phone)
    await phones.say(phone, "m1", State.DELIVERED)
    await phones.say(phone, "m1", State.FAILED, error="Delivery result: 64")
    assert await phones.state("m1") is State.FAILED
    await phones.pass_time(PARTS_MS)
    assert await phones.state("m1") is State.FAILED


async def test_a_repeated_report_while_the_engine_looks_after_it_changes_nothing(
    phones: Phones,
) -> None:
    phone = await teller(phones)
    await sent(phones, phone)
    await phones.say(phone, "m1", State.DELIVERED)
    phones.world.clock.advance(PARTS_MS)
    [job] = await phones.world.write(lambda tx: tx.recipients.take(phone.id, 10))
    await phones.say(phone, "m1", State.SENT)
    await phones.world.write(lambda tx: due(tx, job))
    assert await phones.state("m1") is State.DELIVERED
    assert await phones.world.told() == ["sms:sent", "sms:delivered"]


async def test_given_back_past_its_deadline_it_is_still_not_late(phones: Phones) -> None:
    phone = await teller(phones)
    await phones.submit("m1", text=LONG, ttl_ms=5_000)
    await phones.fetch(phone)
    await phones.say(phone, "m1", State.DELIVERED)
    phones.world.clock.advance(PARTS_MS)
    write = phones.world.write
    [job] = await write(lambda tx: tx.recipients.take(phone.id, 10))
    await write(lambda tx: tx.recipients.release(job))  # the engine stops here
    assert await write(lambda tx: tx.recipients.overdue(10)) == [], "a sweep does not end it"
    await phones.work()
    assert await phones.state("m1") is State.DELIVERED
