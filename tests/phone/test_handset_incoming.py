"""Messages that come in on a handset: their names, what is told of them, reading them again."""

import base64
from typing import Any

import msgspec
import pytest
from handset_world import EXACT, OTHER, TWO_SIMS, Phone

from textgate.domain.device import DeviceEvent, Nudge
from textgate.domain.inbound import Inbound
from textgate.domain.times import rfc3339
from textgate.phone.incoming import Incoming, Part, incoming_hash

OWN = TWO_SIMS[0].phone_number


def java(*, address: str = "", at: int = 0, subscription: int | None = None, text: str = "") -> int:
    return incoming_hash(address, at, subscription, text)


def test_hash_is_that_of_java() -> None:
    """The constants are Java's: ``"hello".hashCode()``, and the text whose hash is the least."""
    wrap = 2**32
    assert java(text="hello") == 99162322
    assert java(text="polygenelubricants") == 2**31
    assert java(text="😀") == 1772899  # two UTF-16 units
    assert java(address="hello") == 99162322 * 31**3 % wrap
    assert java(subscription=3) == 3 * 31
    assert java(at=0x1_2345_6789) == (0x2345_6789 ^ 1) * 31**2 % wrap


async def inbox(phone: Phone) -> list[Inbound]:
    found, _ = await phone.store.read(
        lambda tx: tx.inbox.page(phone.account, since=0, until=2**62, limit=100, offset=0)
    )
    return found


async def test_sms_is_told_and_kept(phone: Phone) -> None:
    handset = await phone.start(msgspec.structs.replace(EXACT, offset_minutes=60))
    at = phone.clock.now()
    await handset.receive(Incoming(sender=OTHER, text="Bonjour"))
    hashed = incoming_hash(OTHER, at, 1, "Bonjour")
    [(_, said)] = await phone.told("sms:received")
    assert said == {
        "messageId": f"{hashed:x}",
        "message": "Bonjour",
        "phoneNumber": OTHER,
        "sender": OTHER,
        "recipient": OWN,
        "simNumber": 1,
        "receivedAt": "2026-01-01T01:00:00.000+01:00",
    }
    [kept] = await inbox(phone)
    signed = hashed - 2**32 if hashed >= 2**31 else hashed
    assert (kept.id, kept.type, kept.content) == (f"text:{signed}", "SMS", "Bonjour")
    assert (kept.sender, kept.recipient, kept.created_at) == (OTHER, OWN, at)


async def test_what_is_known_is_not_told_again(phone: Phone) -> None:
    handset = await phone.start()
    at = phone.clock.now()
    for _ in range(2):
        await handset.receive(Incoming(sender=OTHER, text="once", at=at))
        phone.clock.advance(1_000)
    await handset.receive(Incoming(sender=OTHER, text="once"))  # the same words, later
    assert len(await phone.told("sms:received")) == 2
    assert len(await inbox(phone)) == 2
    assert len(phone.when("received")) == 2


async def test_the_same_after_a_restart(phone: Phone) -> None:
    at = phone.clock.now()
    for _ in range(2):
        handset = await phone.start()
        await handset.receive(Incoming(sender=OTHER, text="once", at=at))
        await phone.stop()
    assert len(await phone.told("sms:received")) == 1


async def test_other_kinds(phone: Phone) -> None:
    handset = await phone.start()
    at = rfc3339(phone.clock.now())
    photo = base64.b64encode(b"a photo").decode()
    await handset.receive(Incoming(kind="DATA_SMS", sender=OTHER, text="AAEC", sim_number=2))
    await handset.receive(
        Incoming(kind="MMS", sender=OTHER, subject="Plan", transaction_id="t-1", size=48_213)
    )
    await handset.receive(
        Incoming(
            kind="MMS_DOWNLOADED",
            sender=OTHER,
            text="See photo",
            attachments=(Part(content_type="image/jpeg", name="IMG1.jpg", data=photo),),
        )
    )
    told = dict(await phone.told("sms:data-received", "mms:received", "mms:downloaded"))
    common = {"phoneNumber": OTHER, "sender": OTHER, "receivedAt": at}
    first_sim = common | {"recipient": OWN, "simNumber": 1}
    data, header, whole = (
        told[name] for name in ("sms:data-received", "mms:received", "mms:downloaded")
    )
    assert data.pop("messageId")
    assert data == common | {"data": "AAEC", "recipient": TWO_SIMS[1].phone_number, "simNumber": 2}
    assert header == first_sim | {
        "messageId": "t-1",
        "transactionId": "t-1",
        "subject": "Plan",
        "size": 48_213,
    }
    [part] = whole.pop("attachments")
    assert whole.pop("messageId").isdecimal()
    assert whole == first_sim | {"body": "See photo"}
    assert isinstance(part.pop("partId"), int)
    assert part == {"contentType": "image/jpeg", "name": "IMG1.jpg", "size": 7, "data": photo}
    kept = {one.type: one for one in await inbox(phone)}
    assert kept.keys() == {"DATA_SMS", "MMS", "MMS_DOWNLOADED"}
    [attached] = await phone.store.read(
        lambda tx: tx.inbox.attachments(phone.account, kept["MMS_DOWNLOADED"].id)
    )
    assert (attached.name, attached.size) == ("IMG1.jpg", 7)


@pytest.mark.parametrize("sim_number", [None, 3])
async def test_own_number_is_left_out_where_it_is_not_known(
    phone: Phone, sim_number: int | None
) -> None:
    handset = await phone.start()
    await handset.receive(Incoming(sender=OTHER, text="hi", sim_number=sim_number))
    [(_, said)] = await phone.told("sms:received")
    assert "recipient" not in said
    assert said.get("simNumber") == sim_number


# What Android did not tell the app of.

MISSED = msgspec.structs.replace(EXACT, missed=1.0)


async def export(phone: Phone, **changes: str) -> None:
    now = phone.clock.now()
    data = {"since": rfc3339(now - 60_000), "until": rfc3339(now), "triggerWebhooks": "true"}
    event = DeviceEvent.MESSAGES_EXPORT_REQUESTED
    nudge = Nudge(phone.account, phone.device, event, tuple((data | changes).items()))
    await phone.store.write(lambda tx: tx.nudge(nudge))
    await phone.settle_down()


async def received_all(phone: Phone) -> None:
    handset = await phone.start(MISSED)
    await handset.receive(Incoming(sender=OTHER, text="too old"))
    phone.clock.advance(120_000)
    await handset.receive(Incoming(sender=OTHER, text="missed"))
    await handset.receive(Incoming(kind="MMS", sender=OTHER, transaction_id="t"))
    assert await inbox(phone) == []
    assert phone.when("received") == []


async def test_export_tells_what_was_missed_and_only_once(phone: Phone) -> None:
    await received_all(phone)
    await export(phone)
    assert [said["message"] for _, said in await phone.told("sms:received")] == ["missed"]
    await export(phone)
    assert len(await phone.told("sms:received")) == 1
    assert await phone.told("mms:received") == []
    await export(phone, messageTypes="SMS,MMS", webhookDelivery="Individual")
    assert len(await phone.told("mms:received")) == 1


@pytest.mark.parametrize(
    "how", [{"triggerWebhooks": "false"}, {"webhookDelivery": "Disabled"}], ids=str
)
async def test_silent_export_fills_the_inbox_alone(phone: Phone, how: dict[str, Any]) -> None:
    await received_all(phone)
    await export(phone, **how)
    assert [one.content for one in await inbox(phone)] == ["missed"]
    assert await phone.told("sms:received") == []
    await export(phone)  # seen by now
    assert await phone.told("sms:received") == []


async def test_export_without_a_span_is_told_as_trouble(phone: Phone) -> None:
    await received_all(phone)
    await export(phone, since="yesterday")
    assert len(phone.when("trouble")) == 1
    await export(phone)
    assert len(await phone.told("sms:received")) == 1
