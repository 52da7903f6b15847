"""What becomes of messages on a handset: states, times, events, SIMs, failures."""

import asyncio
from typing import Any

import msgspec
import pytest
from handset_world import EXACT, NUMBER, OTHER, TWO_SIMS, Phone

from textgate.domain.device import DeviceEvent, Nudge
from textgate.domain.encryption import encrypt
from textgate.domain.lifecycle import State
from textgate.domain.times import rfc3339
from textgate.gateway import devices
from textgate.gateway.cancel import cancel
from textgate.gateway.submit import CHECKED_BY_PHONE
from textgate.phone.behaviour import Behaviour
from textgate.phone.radio import Receipt
from textgate.store.base import Tx

LONG = "x" * 400
"""Three parts."""


def behave(**changes: Any) -> Behaviour:
    return msgspec.structs.replace(EXACT, **changes)


async def test_message_goes_from_pending_to_delivered(phone: Phone) -> None:
    await phone.start()
    start = phone.clock.now()
    await phone.submit(id="m")
    await phone.live(60_000)
    assert await phone.states("m") == [State.DELIVERED]
    message = await phone.message("m")
    assert message.reached() == {
        State.PENDING: start,
        State.PROCESSED: start,
        State.SENT: start + 1_000,
        State.DELIVERED: start + 3_000,
    }
    common = {"messageId": "m", "phoneNumber": NUMBER, "recipient": NUMBER}
    assert await phone.told("sms:sent", "sms:delivered", "sms:failed") == [
        ("sms:sent", {**common, "sentAt": rfc3339(start + 1_000), "partsCount": 1}),
        ("sms:delivered", {**common, "deliveredAt": rfc3339(start + 3_000)}),
    ]


async def test_hand_over_takes_its_time(phone: Phone) -> None:
    await phone.start(behave(hand_over_ms=(250, 250)))
    start = phone.clock.now()
    await phone.submit(id="a")
    await phone.submit(id="b")
    await phone.live(60_000)
    assert [at for _, at in phone.when("processed")] == [start + 250, start + 500]


async def test_delivery_is_told_once_for_each_part(phone: Phone) -> None:
    await phone.start()
    start = phone.clock.now()
    await phone.submit(id="m", text=LONG)
    await phone.live(60_000)
    told = await phone.told("sms:sent", "sms:delivered")
    assert [type_ for type_, _ in told] == ["sms:sent", *3 * ["sms:delivered"]]
    assert told[0][1]["partsCount"] == 3
    # The first part is out after a second, the last after three; each is reported 2 s later.
    assert [at for _, at in phone.when("sent")] == [start + 3_000]
    assert [at for _, at in phone.when("delivered")] == [start + n for n in (3_000, 4_000, 5_000)]
    assert await phone.states("m") == [State.DELIVERED]


async def test_without_reports_it_ends_with_sent(phone: Phone) -> None:
    await phone.start()
    await phone.submit(id="m", delivery_report=False)
    await phone.live(60_000)
    assert await phone.states("m") == [State.SENT]
    assert [type_ for type_, _ in await phone.told("sms:sent", "sms:delivered")] == ["sms:sent"]


@pytest.mark.parametrize("behaviour", [behave(receipts=False), behave(lost_receipts=1.0)])
async def test_reports_that_never_come(phone: Phone, behaviour: Behaviour) -> None:
    await phone.start(behaviour)
    await phone.submit(id="m")
    await phone.live(60_000)
    assert await phone.states("m") == [State.SENT]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0, State.DELIVERED),
        (31, State.DELIVERED),
        (32, None),
        (63, None),
        (64, State.FAILED),
        (255, State.FAILED),
    ],
)
def test_what_the_status_of_a_report_says(status: int, state: State | None) -> None:
    assert Receipt(0, status).state is state


async def test_still_trying_is_told_to_nobody(phone: Phone) -> None:
    await phone.start(behave(trying=1.0))
    start = phone.clock.now()
    await phone.submit(id="m")
    await phone.live(4_000)
    assert await phone.states("m") == [State.SENT]
    await phone.live(60_000)
    assert phone.when("delivered") == [("m", start + 5_000)]


async def test_refused_by_the_far_phone(phone: Phone) -> None:
    await phone.start(behave(refused=1.0))
    await phone.submit(id="m")
    await phone.live(60_000)
    [recipient] = await phone.recipients("m")
    assert recipient.state is State.FAILED
    [(_, said)] = await phone.told("sms:failed")
    assert said["reason"] == "Delivery result from SC +79990000000: 64" == recipient.error


async def test_failure_in_the_words_of_android(phone: Phone) -> None:
    await phone.start(behave(failures=1.0, result="RESULT_ERROR_NO_SERVICE"))
    start = phone.clock.now()
    await phone.submit(id="m", sim_number=2)
    await phone.live(60_000)
    reason = (
        "Send result: RESULT_ERROR_NO_SERVICE (Failed because service is currently unavailable)"
    )
    assert await phone.told("sms:sent", "sms:delivered", "sms:failed") == [
        (
            "sms:failed",
            {
                "messageId": "m",
                "phoneNumber": NUMBER,
                "recipient": NUMBER,
                "simNumber": 2,
                "sender": TWO_SIMS[1].phone_number,
                "failedAt": rfc3339(start + 1_000),
                "reason": reason,
            },
        )
    ]


async def test_failures_come_in_the_share_asked_for_and_again_with_the_same_seed(
    phone: Phone,
) -> None:
    await phone.start(behave(failures=0.3, seed=11))
    numbers = [f"+4179000{n:04}" for n in range(100)]
    await phone.submit(*numbers, id="m")
    await phone.live(60_000)
    first = await phone.states("m")
    assert 15 <= first.count(State.FAILED) <= 45
    await phone.stop()
    await phone.start(behave(failures=0.3, seed=11))
    await phone.submit(*numbers, id="n")
    await phone.live(60_000)
    assert await phone.states("n") == first


async def test_each_number_has_an_event_of_its_own(phone: Phone) -> None:
    await phone.start()
    await phone.submit(NUMBER, OTHER, id="m")
    await phone.live(60_000)
    told = await phone.told("sms:sent", "sms:delivered")
    assert sorted((type_, said["phoneNumber"]) for type_, said in told) == [
        ("sms:delivered", NUMBER),
        ("sms:delivered", OTHER),
        ("sms:sent", NUMBER),
        ("sms:sent", OTHER),
    ]


# SIMs and numbers.


async def test_chosen_sim_is_told(phone: Phone) -> None:
    await phone.start()
    await phone.submit(id="m", sim_number=2)
    await phone.live(60_000)
    told = await phone.told("sms:sent", "sms:delivered")
    assert [(s["simNumber"], s["sender"]) for _, s in told] == 2 * [(2, "+41791110002")]


async def test_missing_slot_fails_at_once(phone: Phone) -> None:
    await phone.start()
    await phone.submit(id="m", sim_number=3)
    await phone.live(1)
    [(_, said)] = await phone.told("sms:failed")
    assert said["reason"] == "SIM 3 not found"
    assert phone.when("processed") == []


async def test_round_robin_and_random(phone: Phone) -> None:
    await phone.set(messages={"sim_selection_mode": "RoundRobin", "processing_order": "FIFO"})
    await phone.start()
    for n in range(5):
        phone.clock.advance(1)
        await phone.submit(id=f"r{n}")
        await phone.live(1)
    await phone.set(messages={"sim_selection_mode": "Random"})
    for n in range(20):
        await phone.submit(id=f"x{n}")
    await phone.live(60_000)
    sims = {said["messageId"]: said["simNumber"] for _, said in await phone.told("sms:sent")}
    assert [sims[f"r{n}"] for n in range(5)] == [1, 2, 1, 2, 1]
    assert {sims[f"x{n}"] for n in range(20)} == {1, 2}


async def test_number_that_nobody_can_dial_fails_alone(phone: Phone) -> None:
    await phone.start()
    await phone.submit(NUMBER, "nobody", "*101#", id="m")
    await phone.live(60_000)
    states = {r.number: (r.state, r.error) for r in await phone.recipients("m")}
    assert states == {
        NUMBER: (State.DELIVERED, None),
        "nobody": (State.FAILED, "sendSMS: Invalid phone number"),
        "*101#": (State.DELIVERED, None),
    }


async def test_number_is_checked_by_the_country_of_the_sim(phone: Phone) -> None:
    """As for messages of the phone's own API, which do not say otherwise."""
    await phone.start()
    await phone.submit("079 000 00 01", "044 668 18 00", id="m", context={CHECKED_BY_PHONE: True})
    await phone.live(60_000)
    [mobile, landline] = await phone.recipients("m")
    assert mobile.state is State.DELIVERED
    assert landline.error == "sendSMS: not mobile phone number"


# Encryption.


async def encrypted(phone: Phone, message_id: str) -> str:
    number = encrypt(NUMBER, "right", salt=bytes(16), iterations=1_000)
    text = encrypt(LONG, "right", salt=bytes(16), iterations=1_000)
    await phone.submit(number, id=message_id, text=text, encrypted=True)
    return number


async def test_encrypted_message_is_opened_and_the_numbers_stay_closed(phone: Phone) -> None:
    await phone.start(behave(passphrase="right"))
    number = await encrypted(phone, "m")
    await phone.until(lambda: bool(phone.when("processed")))
    await phone.live(60_000)
    told = await phone.told("sms:sent", "sms:delivered")
    # It has three parts, which only who reads the text can know.
    assert [type_ for type_, _ in told] == ["sms:sent", *3 * ["sms:delivered"]]
    assert {said["phoneNumber"] for _, said in told} == {number}
    assert told[0][1]["partsCount"] == 3


async def test_passphrase_of_the_settings_opens_too(phone: Phone) -> None:
    sealed = await phone.store.write(lambda tx: tx.vault.seal("right"))
    await phone.set(encryption={"passphrase": sealed})
    await phone.start()
    await encrypted(phone, "m")
    await phone.until(lambda: bool(phone.when("processed")))
    await phone.live(60_000)
    assert await phone.states("m") == [State.DELIVERED]


@pytest.mark.parametrize("passphrase", [None, "wrong"])
async def test_without_the_right_passphrase_it_fails(phone: Phone, passphrase: str | None) -> None:
    await phone.start(behave(passphrase=passphrase))
    await encrypted(phone, "m")
    await phone.until(lambda: bool(phone.when("failed")))
    [(_, said)] = await phone.told("sms:failed")
    assert said["reason"].startswith("Can't send message: ")
    assert phone.when("sent") == []


async def test_number_encrypted_otherwise_fails_alone(phone: Phone) -> None:
    await phone.start(behave(passphrase="right"))
    salt = bytes(16)
    text = encrypt("hi", "right", salt=salt, iterations=1_000)
    good = encrypt(NUMBER, "right", salt=salt, iterations=1_000)
    await phone.submit(good, NUMBER, id="m", text=text, encrypted=True)
    await phone.until(lambda: bool(phone.when("processed")))
    await phone.live(60_000)
    [one, other] = await phone.recipients("m")
    assert one.state is State.DELIVERED
    assert other.error is not None
    assert other.error.startswith("sendSMS: ")


# Cancelling, ending, beginning again.


async def test_message_cancelled_while_it_waits_is_never_sent(phone: Phone) -> None:
    await phone.set(messages={"send_interval_min": 30, "send_interval_max": 30})
    await phone.start()
    await phone.submit(id="first")
    await phone.live(1)
    await phone.submit(id="second")
    await phone.live(1)
    await phone.store.write(lambda tx: cancel(tx, phone.account, "second", by_phone=True))
    assert await phone.states("second") == [State.CANCELLED]
    await phone.live(60_000)
    assert [m for m, _ in phone.when("processed")] == ["first"]
    assert [said["messageId"] for _, said in await phone.told("sms:cancelled")] == ["second"]


async def test_message_cancelled_in_its_turn_is_not_sent(phone: Phone) -> None:
    await phone.start(behave(hand_over_ms=(5_000, 5_000)))
    await phone.submit(id="m")
    await phone.live(1_000)
    await phone.store.write(lambda tx: cancel(tx, phone.account, "m", by_phone=True))
    await phone.live(60_000)
    assert await phone.states("m") == [State.CANCELLED]
    assert await phone.told("sms:sent") == []
    assert phone.when("processed") == []


async def test_what_was_in_the_air_arrives_after_a_restart(phone: Phone) -> None:
    await phone.start()
    await phone.submit(id="m")
    await phone.live(500)
    assert await phone.states("m") == [State.PROCESSED]
    await phone.stop()
    await phone.start()
    await phone.live(60_000)
    assert await phone.states("m") == [State.DELIVERED]
    assert len(await phone.told("sms:sent")) == 1


async def test_phone_ends_when_its_device_is_removed(phone: Phone) -> None:
    await phone.start()
    await phone.store.write(lambda tx: devices.remove(tx, phone.account, phone.device))
    assert phone.running is not None
    async with asyncio.timeout(5):
        await phone.running


async def test_a_hundred_phones_of_one_process(phone: Phone) -> None:
    """Not a load test: each has its own queue, and all end what they have."""

    def another(tx: Tx) -> str:
        wanted = devices.Registration(name="phone", sim_cards=list(TWO_SIMS))
        return devices.register(tx, phone.account, wanted).device.id

    others = [await phone.store.write(another) for _ in range(99)]
    crowd = [Phone(phone.store, phone.clock, phone.account, each) for each in others]
    for each in crowd:
        await each.start()
        await each.submit(id=f"to {each.device}"[:30], device_id=each.device)
    await phone.live(10_000)
    assert [len(each.when("delivered")) for each in crowd] == 99 * [1]
    for each in crowd:
        await each.stop()


# Signs of life.


async def test_app_started_tells_the_sims_as_they_are(phone: Phone) -> None:
    await phone.start()
    [(_, said)] = await phone.told("app:started")
    assert said == {"simCards": msgspec.to_builtins(list(TWO_SIMS))}


async def test_pings_come_at_the_interval_of_the_settings(phone: Phone) -> None:
    await phone.start(behave(battery=12))
    begun = phone.clock.now()
    await phone.live(3_600_000)
    assert phone.when("ping") == []
    await phone.set(ping={"interval_seconds": 60})
    await nudge(phone, DeviceEvent.SETTINGS_UPDATED)
    await phone.live(150_000)
    assert [at - begun - 3_600_000 for _, at in phone.when("ping")] == [60_000, 120_000]
    device = await phone.store.read(lambda tx: tx.devices.get(phone.account, phone.device))
    assert device is not None
    assert device.health is not None
    health = device.health["health"]
    assert (health["status"], health["releaseId"], health["version"]) == ("warn", 1, "1.68.0")
    assert health["checks"]["battery:level"]["observedValue"] == 12
    assert set(health["checks"]) == {
        "messages:failed",
        "connection:status",
        "connection:transport",
        "connection:cellular",
        "battery:level",
        "battery:charging",
    }
    await phone.set(ping={"interval_seconds": None})
    await nudge(phone, DeviceEvent.SETTINGS_UPDATED)
    await phone.live(3_600_000)
    assert len(phone.when("ping")) == 2


async def nudge(phone: Phone, event: DeviceEvent, **data: str) -> None:
    told = Nudge(phone.account, phone.device, event, tuple(data.items()))
    await phone.store.write(lambda tx: tx.nudge(told))
    await phone.settle_down()
