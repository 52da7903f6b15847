"""What a removed phone leaves: it moves on at once, or ends with an event; nothing is lost."""

import pytest
from engine_world import PROVIDER, World, messages

from textgate.domain.device import DeviceEvent, PhonePolicy
from textgate.domain.lifecycle import State
from textgate.domain.outcome import Reason
from textgate.engine.dispatcher import BREATH_MS
from textgate.gateway import devices
from textgate.gateway.cancel import cancel
from textgate.gateway.devices import Registered
from textgate.gateway.phone_queue import NumberReport, Report, report, take, waiting

LATER_MS = 2 * PhonePolicy().move_on_after_s * 1000


async def removed(world: World, phone: Registered) -> None:
    assert await devices.remove_whole(world.store, world.account, phone.device.id)
    await world.live(BREATH_MS)


async def fetched(world: World, phone: Registered) -> list[str]:
    queued = await world.write(lambda tx: take(tx, phone.device, waiting(tx, phone.device)))
    return [one.message.id for one in queued]


async def reported(world: World, phone: Registered, message_id: str, state: State) -> None:
    number = (await world.recipient(message_id)).number
    told = Report(
        message_id=message_id,
        numbers=[NumberReport(number=number, state=state)],
        at={state: world.clock.now()},
    )
    await world.write(lambda tx: report(tx, phone.device, [told]))


async def test_what_it_had_not_fetched_goes_to_the_next_channel_at_once(world: World) -> None:
    phone = await world.phone()
    await world.channel()
    await world.start()
    await world.submit(id="m")
    await world.settle_down()
    assert world.far.requests[PROVIDER] == []
    await removed(world, phone)
    assert messages(world.far.requests[PROVIDER]) == ["m"]
    assert await world.state("m") is State.SENT


async def test_it_goes_to_the_next_phone_which_is_told(world: World) -> None:
    phones = [await world.phone("one"), await world.phone("two")]
    await world.start()
    await world.submit(id="m")
    first = (await world.recipient("m")).lane
    [gone, other] = sorted(phones, key=lambda phone: phone.device.id != first)
    with world.store.listen(other.device.id) as mailbox:
        await removed(world, gone)
        assert [nudge.event for nudge in mailbox.take()] == [DeviceEvent.MESSAGE_ENQUEUED]
    assert await fetched(world, other) == ["m"]


async def test_where_there_is_no_other_it_fails_with_an_event(world: World) -> None:
    phone = await world.phone()
    hook = await world.webhook(event="sms:failed")
    await world.start()
    await world.submit(id="m")
    await removed(world, phone)
    recipient = await world.recipient("m")
    assert (recipient.state, recipient.reason) == (State.FAILED, Reason.NO_CHANNEL)
    assert await world.told() == ["sms:failed"]
    assert len(await world.deliveries(hook)) == 1


async def test_what_it_had_in_hand_fails_as_unknown_and_goes_nowhere_else(world: World) -> None:
    phone = await world.phone()
    await world.channel()
    await world.start()
    await world.submit(id="m")
    assert await fetched(world, phone) == ["m"]
    await removed(world, phone)
    recipient = await world.recipient("m")
    assert (recipient.state, recipient.reason) == (State.FAILED, Reason.UNKNOWN)
    assert world.far.requests[PROVIDER] == []
    assert await world.told() == ["sms:failed"]


async def test_what_is_to_go_out_later_goes_out_later(world: World) -> None:
    phone = await world.phone()
    await world.channel()
    await world.start()
    await world.submit(id="m", schedule_at=world.clock.now() + LATER_MS)
    await removed(world, phone)
    assert world.far.requests[PROVIDER] == []
    await world.live(LATER_MS)
    assert messages(world.far.requests[PROVIDER]) == ["m"]


async def test_what_was_to_be_cancelled_is_if_it_had_not_fetched_it(world: World) -> None:
    phone = await world.phone()
    await world.start()
    await world.submit(id="fetched")
    assert await fetched(world, phone) == ["fetched"]
    await world.submit(id="waiting")
    for message_id in ("fetched", "waiting"):
        await world.write(lambda tx, m=message_id: cancel(tx, world.account, m))  # type: ignore[misc]
    await removed(world, phone)
    assert await world.state("waiting") is State.CANCELLED
    recipient = await world.recipient("fetched")
    assert (recipient.state, recipient.reason) == (State.FAILED, Reason.UNKNOWN)


@pytest.mark.parametrize("with_channel", [False, True])
async def test_what_it_had_sent_stays_sent_and_what_it_had_delivered_delivered(
    world: World, with_channel: bool
) -> None:
    phone = await world.phone()
    if with_channel:
        await world.channel()
    phone.device.tells_server = True  # so the parts of a message are waited for
    await world.write(lambda tx: tx.devices.save(phone.device))
    await world.start()
    for message_id in ("sent", "parts"):
        await world.submit(id=message_id, text="x" * 200)
        assert await fetched(world, phone) == [message_id]
        await reported(world, phone, message_id, State.SENT)
    await reported(world, phone, "parts", State.DELIVERED)
    assert await world.state("parts") is State.SENT
    await removed(world, phone)
    assert await world.state("sent") is State.SENT
    assert await world.state("parts") is State.DELIVERED
    assert world.far.requests[PROVIDER] == []


async def test_a_long_queue_moves_on_in_short_writes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "CHUNK", 7)
    phone = await world.phone()
    await world.channel()
    await world.start()
    await world.submit_many(50)
    await removed(world, phone)
    await world.live(1_000)
    assert await world.states() == {"Sent": 50}
    assert len(set(messages(world.far.requests[PROVIDER]))) == 50
