"""Received messages are kept once each, and phones are asked for what they have of them."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from gateway_world import DAY_MS, World

from textgate.domain.device import Device, DeviceEvent
from textgate.domain.inbound import Attachment, Inbound
from textgate.gateway.devices import Registration, register
from textgate.gateway.inbox import MOST_WAITING, Refresh, keep, refresh
from textgate.store.base import Tx

HOUR_MS = 3_600_000
BANK, WIFE = "Bank", "+41790000010"
SINCE = int(datetime(2026, 1, 1, 12, 0, 0, 500_000, UTC).timestamp() * 1000)


def inbound(world: World, **more: Any) -> Inbound:
    fields = {
        "account_id": world.account,
        "id": "text:-1188430021",
        "type": "SMS",
        "device_id": "phone-1",
        "sender": WIFE,
        "recipient": None,
        "sim_number": None,
        "content": "Hello",
        "created_at": SINCE,
    }
    return Inbound(**(fields | more))


async def kept(world: World, message: Inbound, *attached: Attachment, **more: Any) -> None:
    await world.write(lambda tx: keep(tx, message, attached, **more))


async def inbox(world: World) -> list[Inbound]:
    found, _ = await world.write(
        lambda tx: tx.inbox.page(world.account, since=0, until=10**15, limit=99, offset=0)
    )
    return found


async def counts(world: World) -> dict[str, int]:
    found = await world.write(lambda tx: tx.conversations.after(world.account, None, 99))
    return {one.number: one.received for one in found}


# --- kept once ---


async def test_a_message_that_is_told_again_is_kept_and_counted_once(world: World) -> None:
    for _ in range(3):
        await kept(world, inbound(world))
        world.clock.advance(1_000)
    [found] = await inbox(world)
    assert found == inbound(world, number=WIFE, kept_at=world.clock.now() - 3_000)
    assert await counts(world) == {WIFE: 1}


@pytest.mark.parametrize(
    "other",
    [
        {"device_id": "phone-2"},
        {"content": "Goodbye"},
        {"sender": BANK},
        {"created_at": SINCE + 1},
        {"type": "MMS"},
    ],
)
async def test_two_messages_that_have_one_id_are_both_kept(
    world: World, other: dict[str, Any]
) -> None:
    third = inbound(world, content="Once more", device_id="phone-3")
    for _ in range(2):  # and each of them once
        for message in (inbound(world), inbound(world, **other), third):
            await kept(world, message)
    found = {message.id: message.content for message in await inbox(world)}
    assert found == {
        "text:-1188430021": "Hello",
        "text:-1188430021.2": other.get("content", "Hello"),
        "text:-1188430021.3": "Once more",
    }
    assert sum((await counts(world)).values()) == 3


async def test_a_message_of_another_account_is_no_repeat(world: World) -> None:
    await kept(world, inbound(world, account_id="stranger"))
    await kept(world, inbound(world))
    assert [message.id for message in await inbox(world)] == ["text:-1188430021"]


async def test_attachments_follow_their_message(world: World) -> None:
    photo = Attachment(
        account_id=world.account,
        inbound_id="mms:812",
        part_id=2201,
        content_type="image/jpeg",
        name="IMG1.jpg",
        size=None,
        data=base64.encodebytes(bytes(100)).decode(),  # with line ends, as Android's
    )
    broken = Attachment(**{**_fields(photo), "part_id": 2202, "data": "AAAAA"})
    mms = inbound(world, id="mms:812", type="MMS_DOWNLOADED", content="See photo")
    await kept(world, mms, photo)
    await kept(world, inbound(world, **{**_fields(mms), "device_id": "phone-2"}), photo, broken)

    def attached(tx: Tx) -> dict[str, list[tuple[int, int | None]]]:
        return {
            message.id: [(a.part_id, a.size) for a in tx.inbox.attachments(world.account, id_)]
            for message in tx.inbox.page(world.account, since=0, until=10**15, limit=9, offset=0)[0]
            if (id_ := message.id)
        }

    assert await world.write(attached) == {
        "mms:812": [(2201, 100)],
        "mms:812.2": [(2201, 100), (2202, None)],
    }


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


@pytest.mark.parametrize(
    ("sender", "region", "number"),
    [
        (WIFE, None, WIFE),
        ("+41 79 000 00 10", None, WIFE),
        ("079 000 00 10", "CH", WIFE),
        ("0790000010", None, "0790000010"),
        ("+41443640000", None, "+41443640000"),  # a landline
        ("22222", "CH", "22222"),
        ("Bank", "CH", "Bank"),
        ("1-800-FLOWERS", "US", "1-800-FLOWERS"),
        ("+0", "CH", "+0"),
        ("1" * 200, "CH", "1" * 200),
    ],
)
async def test_a_conversation_is_with_a_number_as_we_write_it(
    world: World, sender: str, region: str | None, number: str
) -> None:
    await kept(world, inbound(world, sender=sender), default_region=region)
    [found] = await inbox(world)
    assert (found.sender, found.number) == (sender, number)
    assert await counts(world) == {number: 1}


async def test_old_messages_leave_the_inbox_and_the_count(world: World) -> None:
    for day in range(4):
        await kept(world, inbound(world, id=f"text:{day}", created_at=SINCE - day * DAY_MS))
        world.clock.advance(DAY_MS)
    before = world.clock.now() - 2 * DAY_MS
    assert await world.write(lambda tx: tx.inbox.remove_before(world.account, before, 9)) == 2
    assert [message.id for message in await inbox(world)] == ["text:2", "text:3"]
    assert await counts(world) == {WIFE: 2}


# --- phones are asked ---


async def phone(world: World, name: str, *, tells_server: bool = False) -> Device:
    def add(tx: Tx) -> Device:
        device = register(tx, world.account, Registration(name=name)).device
        device.tells_server = tells_server
        tx.devices.save(device)
        return device

    return await world.write(add)


async def asked(world: World, *phones: Device) -> list[list[dict[str, str] | None]]:
    """Return what each phone is still to be told."""

    def look(tx: Tx) -> list[list[dict[str, str] | None]]:
        return [
            [
                notice.data
                for notice in tx.devices.notices(world.account, one.id)
                if notice.event is DeviceEvent.MESSAGES_EXPORT_REQUESTED
            ]
            for one in phones
        ]

    return await world.write(look)


WANTED = Refresh(since=SINCE, until=SINCE + DAY_MS, delivery="Disabled")
TOLD = {
    "since": "2026-01-01T12:00:00Z",
    "until": "2026-01-02T12:00:01Z",
    "webhookDelivery": "Disabled",
    "triggerWebhooks": "false",
}


@pytest.mark.parametrize("server", [True, False])
@pytest.mark.parametrize("delivery", ["Disabled", "Individual"])
async def test_a_phone_that_tells_the_server_always_tells_it(
    world: World, delivery: Any, server: bool
) -> None:
    one = await phone(world, "one", tells_server=server)
    wanted = Refresh(since=SINCE, until=SINCE + DAY_MS, delivery=delivery, kinds=("SMS", "MMS"))
    with world.store.listen(one.id) as mailbox:
        await world.write(lambda tx: refresh(tx, world.account, wanted))
        heard = mailbox.take()
    silent = delivery == "Disabled" and not server
    told = {
        **TOLD,
        "messageTypes": "SMS,MMS",
        "webhookDelivery": "Disabled" if silent else "Individual",
        "triggerWebhooks": "false" if silent else "true",
    }
    assert [(n.event, dict(n.data)) for n in heard] == [
        (DeviceEvent.MESSAGES_EXPORT_REQUESTED, told)
    ]
    assert await asked(world, one) == [[told]]


async def test_a_batch_is_asked_of_a_phone_that_calls_webhooks_itself(world: World) -> None:
    one = await phone(world, "one")
    wanted = Refresh(since=SINCE, until=SINCE, delivery="Batch")
    await world.write(lambda tx: refresh(tx, world.account, wanted))
    [[told]] = await asked(world, one)
    assert told is not None
    assert (told["webhookDelivery"], told["triggerWebhooks"]) == ("Batch", "true")


async def test_every_phone_is_asked_or_the_one_that_is_named(world: World) -> None:
    one, other = await phone(world, "one"), await phone(world, "other")
    await world.write(lambda tx: refresh(tx, world.account, WANTED, device_id=one.id))
    assert await asked(world, one, other) == [[TOLD], []]
    await world.write(lambda tx: refresh(tx, world.account, WANTED, device_id="nobody"))
    await world.write(lambda tx: refresh(tx, "stranger", WANTED))
    assert await asked(world, one, other) == [[TOLD], []]
    await world.write(lambda tx: refresh(tx, world.account, WANTED))
    assert await asked(world, one, other) == [[TOLD], [TOLD]]


async def test_however_often_a_phone_out_of_reach_is_asked_it_is_little_to_keep(
    world: World,
) -> None:
    one = await phone(world, "one")
    hours = range(MOST_WAITING * 3)
    for n in hours:
        since = SINCE + n * HOUR_MS
        kinds: Any = ("MMS",) if n == 3 else ()
        wanted = Refresh(since=since, until=since + HOUR_MS, kinds=kinds, delivery="Disabled")
        for _ in range(2):
            await world.write(lambda tx, w=wanted: refresh(tx, world.account, w))  # type: ignore[misc]
    [kept_for_it] = await asked(world, one)
    assert len(kept_for_it) <= MOST_WAITING
    found = [request for request in kept_for_it if request is not None]
    assert min(request["since"] for request in found) == "2026-01-01T12:00:00Z"
    assert max(request["until"] for request in found) == "2026-01-04T00:00:01Z"
    assert {request.get("messageTypes") for request in found} == {None, "SMS,MMS"}


async def test_the_end_of_time_can_be_asked_for(world: World) -> None:
    one = await phone(world, "one")
    end = 253_402_300_799_999
    await world.write(
        lambda tx: refresh(tx, world.account, Refresh(since=0, until=end, delivery="Disabled"))
    )
    [[told]] = await asked(world, one)
    assert told is not None
    assert (told["since"], told["until"]) == ("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
