"""What phones tell of: each fact is stored once, and told on as it came."""

import base64
from typing import Any

import msgspec
import pytest
from gateway_world import DAY_MS, World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textgate.domain.device import Device, PhonePolicy, SimCard
from textgate.domain.errors import Invalid
from textgate.domain.event import EventType
from textgate.domain.inbound import Inbound
from textgate.domain.times import parse_rfc3339, rfc3339
from textgate.gateway.devices import Registration, register
from textgate.gateway.phone_events import PhoneEvent, refused, take
from textgate.store.base import Tx

SENDER, OWN = "+33700000001", "+33799999999"
RECEIVED_AT = "2026-02-03T05:05:06.000+01:00"
TEXT: dict[str, Any] = {
    "messageId": "b92b3a7b",
    "message": "Code 4711",
    "sender": SENDER,
    "recipient": OWN,
    "phoneNumber": SENDER,
    "simNumber": 1,
    "receivedAt": RECEIVED_AT,
}
SEED_TEXT: dict[str, Any] = {
    "message": "Android is always a sweet treat!",
    "phoneNumber": "6505551212",
    "receivedAt": "2024-06-22T15:46:11.000+07:00",
}
MMS: dict[str, Any] = {
    "messageId": "812",
    "sender": SENDER,
    "phoneNumber": SENDER,
    "simNumber": 1,
    "subject": "Plan",
    "body": "See photo",
    "attachments": [
        {
            "partId": 2201,
            "contentType": "image/jpeg",
            "name": "IMG1.jpg",
            "size": 48213,
            "data": base64.b64encode(b"\xff\xd8\xff\xe0").decode(),
        }
    ],
    "receivedAt": "2026-02-03T05:06:00.000+01:00",
}


@pytest.fixture(autouse=True)
def later(world: World) -> None:
    """The examples of the specification are of the year in which the clock begins."""
    world.clock.advance(150 * DAY_MS)


async def phone(world: World, name: str = "phone") -> Device:
    made = await world.write(lambda tx: register(tx, world.account, Registration(name=name)))
    return made.device


async def tell(
    world: World,
    device: Device,
    event: str,
    payload: dict[str, Any] | None,
    *,
    id: str = "",  # noqa: A002
    region: str | None = None,
) -> bool:
    """Have the phone send an event, with an id of its own unless one is given."""

    def work(tx: Tx) -> bool:
        account = tx.accounts.get(world.account)
        now = tx.devices.get(world.account, device.id)
        assert account is not None
        assert now is not None
        told = PhoneEvent(id=id or tx.new_id(), event=EventType(event), payload=payload)
        return take(tx, account, now, told, default_region=region)

    return await world.write(work)


async def inbox(world: World) -> list[Inbound]:
    found, count = await world.write(
        lambda tx: tx.inbox.page(world.account, since=0, until=2**62, limit=500, offset=0)
    )
    assert count == len(found)
    return found


async def known(world: World, device: Device) -> Device:
    found = await world.write(lambda tx: tx.devices.get(world.account, device.id))
    assert found is not None
    return found


async def owed(world: World) -> list[tuple[str, dict[str, Any]]]:
    """Return what webhooks are to be told, by their ids."""

    def work(tx: Tx) -> list[tuple[str, dict[str, Any]]]:
        return [
            (webhook.id, msgspec.json.decode(job.event.payload))
            for webhook in tx.webhooks.all(world.account)
            for job in tx.deliveries.take(webhook.key, 1000)
        ]

    return await world.write(work)


# Received messages


async def test_a_received_text_is_in_the_inbox_and_goes_on_as_it_came(world: World) -> None:
    device = await phone(world)
    await world.webhook("sms:received", id="mine", device_id=device.id)
    await world.webhook("sms:received", id="all")
    other = await phone(world, "other")
    await world.webhook("sms:received", id="others", device_id=other.id)
    said = {**TEXT, "colour": {"of": ["the future", 1.5, None]}}
    assert await tell(world, device, "sms:received", said)
    [kept] = await inbox(world)
    assert (kept.id, kept.type, kept.device_id) == ("text:-1188349317", "SMS", device.id)
    assert (kept.sender, kept.recipient, kept.sim_number) == (SENDER, OWN, 1)
    assert (kept.content, rfc3339(kept.created_at)) == ("Code 4711", "2026-02-03T04:05:06.000Z")
    assert kept.message_id == "b92b3a7b"
    assert await world.events() == [("sms:received", said)]
    assert sorted(await owed(world)) == [("all", said), ("mine", said)]
    [event] = await world.write(lambda tx: tx.events.after(world.account, "", 10))
    assert event.device_id == device.id


async def test_the_text_of_an_older_app_needs_neither_id_nor_sender(world: World) -> None:
    device = await phone(world)
    assert await tell(world, device, "sms:received", SEED_TEXT, region="US")
    assert await tell(world, device, "sms:received", {**SEED_TEXT, "message": "Another"})
    assert not await tell(world, device, "sms:received", {**SEED_TEXT, "simNumber": None})
    one, another = sorted(await inbox(world), key=lambda kept: kept.content)
    assert (one.sender, one.number) == ("6505551212", "+16505551212")
    assert (one.recipient, one.sim_number, one.message_id) == (None, None, None)
    assert rfc3339(one.created_at) == "2024-06-22T08:46:11.000Z"
    assert one.id != another.id
    assert [told for told, _ in await world.events()] == ["sms:received"] * 2


async def test_the_same_message_under_another_event_id_is_known(world: World) -> None:
    """After an export the phone tells of it again; its offset may have changed with the season."""
    device = await phone(world)
    assert await tell(world, device, "sms:received", TEXT, id="first")
    assert not await tell(world, device, "sms:received", TEXT, id="first")
    assert not await tell(world, device, "sms:received", TEXT, id="second")
    summer = {**TEXT, "receivedAt": "2026-02-03T06:05:06+02:00"}
    assert not await tell(world, device, "sms:received", summer, id="third")
    assert len(await inbox(world)) == 1
    assert len(await world.events()) == 1


@pytest.mark.parametrize(
    "different",
    [
        {"message": "Code 4712"},
        {"messageId": "b92b3a7c"},
        {"sender": "+33700000002"},
        {"receivedAt": "2026-02-03T05:05:06.001+01:00"},
    ],
)
async def test_a_hash_of_32_bits_is_no_proof_of_sameness(
    world: World, different: dict[str, Any]
) -> None:
    device = await phone(world)
    assert await tell(world, device, "sms:received", TEXT)
    assert await tell(world, device, "sms:received", {**TEXT, **different})
    assert len({kept.id for kept in await inbox(world)}) == 2


async def test_two_phones_may_have_received_the_same(world: World) -> None:
    for device in (await phone(world, "one"), await phone(world, "two")):
        assert await tell(world, device, "sms:received", TEXT, id="same")
    assert len(await inbox(world)) == 2


async def test_each_kind_of_received_message_has_its_place(world: World) -> None:
    device = await phone(world)
    data = {**TEXT, "data": "aGk=", "messageId": "7f"}
    del data["message"]
    header = {
        "messageId": "T1",
        "transactionId": "T1",
        "sender": SENDER,
        "phoneNumber": SENDER,
        "subject": "Plan",
        "size": 48213,
        "contentClass": "image-basic",
        "receivedAt": RECEIVED_AT,
    }
    assert await tell(world, device, "sms:data-received", data)
    assert await tell(world, device, "mms:received", header)
    assert await tell(world, device, "mms:downloaded", MMS)
    kept = {one.type: one for one in await inbox(world)}
    assert (kept["DATA_SMS"].id, kept["DATA_SMS"].content) == ("data:127", "aGk=")
    assert (kept["MMS"].id, kept["MMS"].subject) == ("mms-header:T1", "Plan")
    mms = kept["MMS_DOWNLOADED"]
    assert (mms.id, mms.subject, mms.content) == ("mms:812", "Plan", "See photo")
    photo = await world.write(lambda tx: tx.inbox.attachment(world.account, "mms:812", 2201))
    assert photo is not None
    assert (photo.content_type, photo.name, photo.size) == ("image/jpeg", "IMG1.jpg", 48213)
    assert photo.data == MMS["attachments"][0]["data"]
    without = {**MMS, "attachments": [{"partId": 2201, "contentType": "image/jpeg"}]}
    assert not await tell(world, device, "mms:downloaded", without)


async def test_a_batch_is_told_of_one_by_one(world: World) -> None:
    device = await phone(world)
    await world.webhook("sms:received", id="singles")
    await tell(world, device, "sms:received", TEXT)
    batch = {"messages": [TEXT, SEED_TEXT, {**TEXT, "message": "More"}, SEED_TEXT]}
    assert await tell(world, device, "sms:batch:received", batch)
    assert not await tell(world, device, "sms:batch:received", batch)
    assert sorted(kept.content for kept in await inbox(world)) == [
        "Android is always a sweet treat!",
        "Code 4711",
        "More",
    ]
    assert [payload for _, payload in await owed(world)] == [
        TEXT,
        SEED_TEXT,
        {**TEXT, "message": "More"},
    ]


async def test_a_batch_is_taken_whole_or_not_at_all(world: World) -> None:
    device = await phone(world)
    with pytest.raises(Invalid):
        await tell(world, device, "sms:batch:received", {"messages": [TEXT, {}]}, id="b")
    assert await inbox(world) == []
    assert await tell(world, device, "sms:batch:received", {"messages": [TEXT]}, id="b")


async def test_a_phone_that_lives_in_the_future_is_not_believed(world: World) -> None:
    device = await phone(world)
    future = {**TEXT, "receivedAt": "9999-12-31T23:59:59-05:00"}
    assert await tell(world, device, "sms:received", future)
    [kept] = await inbox(world)
    assert kept.created_at == world.clock.now()
    assert await world.events() == [("sms:received", future)]


@pytest.mark.parametrize(
    ("event", "payload", "field"),
    [
        ("sms:received", None, "payload"),
        ("sms:received", {k: v for k, v in TEXT.items() if k != "message"}, "payload.message"),
        ("sms:received", {**TEXT, "receivedAt": "yesterday"}, "payload.receivedAt"),
        ("sms:received", {**TEXT, "receivedAt": 5}, "payload"),
        ("sms:received", {**TEXT, "simNumber": "1"}, "payload"),
        ("sms:received", {**TEXT, "simNumber": 2**63}, "payload"),
        (
            "sms:received",
            {**TEXT, "sender": None, "phoneNumber": None},
            "payload.phoneNumber",
        ),
        ("sms:data-received", TEXT, "payload.data"),
        ("mms:downloaded", {**MMS, "attachments": [{"partId": 1}]}, "payload"),
        ("sms:batch:received", {"messages": "none"}, "payload"),
        ("app:started", {"simCards": [{"slotIndex": "first"}]}, "payload"),
        ("sms:sent", {"phoneNumber": SENDER}, "payload"),
        ("sms:failed", {"messageId": "m"}, "payload.phoneNumber"),
        ("sms:sent", {"messageId": "m", "phoneNumber": "1", "sentAt": 5}, "payload.sentAt"),
        ("device:offline", {}, "event"),
    ],
)
async def test_what_lacks_what_it_needs_is_refused_and_leaves_no_trace(
    world: World, event: str, payload: dict[str, Any] | None, field: str
) -> None:
    device = await phone(world)
    with pytest.raises(Invalid) as wrong:
        await tell(world, device, event, payload, id="e")
    assert wrong.value.field == field
    assert "4711" not in wrong.value.message
    assert (await inbox(world), await world.events()) == ([], [])


async def test_the_owner_hears_of_refusals_once_an_hour_for_each_kind(world: World) -> None:
    device, why = await phone(world), Invalid("is required", field="payload.message")

    async def refuse(event: EventType) -> None:
        await world.write(lambda tx: refused(tx, device, event, why))

    for _ in range(3):
        await refuse(EventType.SMS_RECEIVED)
    await refuse(EventType.SMS_SENT)
    world.clock.advance(3_600_000)
    await refuse(EventType.SMS_RECEIVED)
    assert (await known(world, device)).last_seen == world.clock.now(), "it lives all the same"
    entries = await world.write(lambda tx: tx.logs.between(world.account, 0, 2**62, 10))
    entries = [entry for entry in entries if entry.message != "Phone registered"]
    assert [entry.context["event"] for entry in entries] == [
        "sms:received",
        "sms:sent",
        "sms:received",
    ]
    assert {entry.context["deviceId"] for entry in entries} == {device.id}


# Signs of life


async def test_a_ping_keeps_the_phones_health_and_is_told_if_anybody_listens(world: World) -> None:
    device = await phone(world)
    health = {"status": "warn", "checks": {"battery:level": {"observedValue": 12}}}
    world.clock.advance(5_000)
    assert await tell(world, device, "system:ping", {"health": health})
    assert await world.events() == []
    now = await known(world, device)
    assert now.health == {"at": world.clock.now(), "health": health}
    assert now.last_seen == world.clock.now()
    other = await phone(world, "other")
    await world.webhook("system:ping", device_id=other.id)
    assert await tell(world, device, "system:ping", {"health": health})
    assert await world.events() == [], "it is of another phone that they want to know"
    await world.webhook("system:ping", device_id=device.id)
    assert await tell(world, device, "system:ping", {"health": health}, id="p")
    assert not await tell(world, device, "system:ping", {"health": health}, id="p")
    assert await world.events() == [("system:ping", {"health": health})]


@pytest.mark.parametrize("payload", [None, {}, {"health": "fine"}, {"health": {"x": "y" * 20_000}}])
async def test_a_ping_may_say_nothing_of_health(
    world: World, payload: dict[str, Any] | None
) -> None:
    """As that of the first apps; and none may say too much."""
    device = await phone(world)
    await world.webhook("system:ping")
    assert await tell(world, device, "system:ping", payload)
    assert (await known(world, device)).health is None
    assert await world.events() == [("system:ping", payload or {})]


async def test_a_started_app_tells_its_sims_which_are_kept_masked(world: World) -> None:
    device = await phone(world)
    sims = [
        {
            "slotIndex": 0,
            "simNumber": 1,
            "phoneNumber": "+491511234567",
            "carrierName": "o2",
            "iccid": "89490200001234567890",
        },
        {"slotIndex": 1, "simNumber": 2},
    ]
    assert await tell(world, device, "app:started", {"simCards": sims})
    kept = [
        SimCard(
            slot_index=0,
            sim_number=1,
            phone_number="*********4567",
            carrier_name="****",
            iccid="****************7890",
        ),
        SimCard(slot_index=1, sim_number=2),
    ]
    assert (await known(world, device)).sim_cards == kept
    assert await world.events() == [("app:started", {"simCards": sims})]
    assert await tell(world, device, "app:started", {})
    assert (await known(world, device)).sim_cards == kept
    assert await tell(world, device, "app:started", {"simCards": []})
    assert (await known(world, device)).sim_cards == [], "they were taken out"


# Messages that were not sent through us


async def test_what_the_phone_sent_for_others_is_told_on_once(world: World) -> None:
    """The app's own API sends too, and tells of it to all webhooks (A §4.3, notes)."""
    device = await phone(world)
    await world.webhook("sms:sent", id="sent")
    said = {
        "messageId": "local-1",
        "recipient": SENDER,
        "phoneNumber": SENDER,
        "sentAt": RECEIVED_AT,
        "partsCount": 2,
    }
    assert await tell(world, device, "sms:sent", said)
    assert not await tell(world, device, "sms:sent", {**said, "sentAt": "2026-02-03T05:05:07Z"})
    assert await owed(world) == [("sent", said)]


@pytest.mark.parametrize(("per_part", "times"), [(False, 1), (True, 2)])
async def test_of_its_parts_is_told_as_the_account_wants_it(
    world: World, per_part: bool, times: int
) -> None:
    device = await phone(world)
    policy = PhonePolicy(delivered_per_part=per_part)
    await world.write(lambda tx: tx.accounts.set_phones(world.account, policy))
    said = {"messageId": "local-1", "phoneNumber": SENDER, "deliveredAt": RECEIVED_AT}
    for part in ("one", "two", "two"):
        await tell(world, device, "sms:delivered", said, id=part)
    assert await world.events() == [("sms:delivered", said)] * times
    found = await world.write(lambda tx: tx.events.of_message(world.account, "local-1"))
    assert len(found) == times


# All of it, in any order


def message(n: int) -> dict[str, Any]:
    at = rfc3339(parse_rfc3339(RECEIVED_AT) + n // 2)
    return {**TEXT, "message": f"Text {n % 3}", "receivedAt": at, "messageId": f"{n % 2:x}"}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    told=st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, 3), st.booleans()), min_size=1, max_size=40
    )
)
async def test_whatever_the_order_and_however_often_each_message_comes_in_once(
    world: World, told: list[tuple[int, int, bool]]
) -> None:
    """``told``: which message, under which event id of it, and whether as part of a batch."""
    device = await phone(world)
    await world.webhook("sms:received", id="hook", device_id=device.id)
    for n, telling, batch in told:
        payload = {"messages": [message(n)]} if batch else message(n)
        name = "sms:batch:received" if batch else "sms:received"
        await tell(world, device, name, payload, id=f"{n} {telling} {batch}")
    facts = {
        (said["messageId"], said["message"], said["receivedAt"])
        for said in (message(n) for n, _, _ in told)
    }
    rows = [kept for kept in await inbox(world) if kept.device_id == device.id]
    assert len(rows) == len(facts)
    assert {(r.message_id, r.content, rfc3339(r.created_at)) for r in rows} == facts
    deliveries = await owed(world)
    assert len(deliveries) == len(facts)
    await world.write(lambda tx: tx.inbox.remove_before(world.account, 2**62, DAY_MS))
