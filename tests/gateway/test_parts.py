"""What became of a message on a phone: told by its queue and by its events, announced once; and
delivered when all of its parts have arrived."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_world import NUMBER, OTHER, World
from hypothesis import given, settings
from hypothesis import strategies as st
from queue_world import Phones

from textgate.domain.device import Device
from textgate.domain.event import EventType
from textgate.domain.lifecycle import State
from textgate.domain.times import rfc3339
from textgate.gateway import devices, phone_queue
from textgate.gateway.credentials import add_account
from textgate.gateway.phone_events import PhoneEvent, take
from textgate.gateway.phone_queue.reporting import PARTS_MS
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock
from textgate.testing.vault import VAULT

LONG = "x" * 200
"""A text of two parts."""
APP = "1.68.0"
MEMBER = {
    "sms:sent": "sentAt",
    "sms:delivered": "deliveredAt",
    "sms:failed": "failedAt",
    "sms:cancelled": "cancelledAt",
}


class Teller(Phones):
    """Phones that send events, and webhooks that want to hear of them."""

    async def teller(
        self,
        name: str = "phone",
        *,
        tells_server: bool = True,
        calls_webhooks: bool = False,
        app_version: str | None = APP,
    ) -> Device:
        device = await self.phone(name)
        device.app_version = app_version
        device.tells_server, device.calls_webhooks = tells_server, calls_webhooks
        await self.world.write(lambda tx: tx.devices.save(device))
        for event in MEMBER:
            await self.world.webhook(event, id=event)
        return device

    async def change_listener(self, phone: Device, **listener: bool) -> None:
        await self.world.write(
            lambda tx: tx.devices.set_listener(phone.account_id, phone.id, **listener)
        )

    async def send(self, phone: Device, message_id: str, *numbers: str, **wanted: Any) -> None:
        await self.submit(message_id, *numbers, **{"text": LONG, **wanted})
        await self.fetch(phone)

    async def tell(
        self, phone: Device, event: str, message_id: str, number: str = NUMBER, **said: Any
    ) -> bool:
        """Have the phone send an event; ``id``: not a new one."""
        event_id = said.pop("id", None)
        payload = {
            "messageId": message_id,
            "recipient": number,
            "phoneNumber": number,
            MEMBER[event]: rfc3339(self.world.clock.now()),
            **said,
        }

        def work(tx: Tx) -> bool:
            account = tx.accounts.get(phone.account_id)
            now = tx.devices.get(phone.account_id, phone.id)
            assert account is not None
            assert now is not None
            told = PhoneEvent(id=event_id or tx.new_id(), event=EventType(event), payload=payload)
            return take(tx, account, now, told)

        return await self.world.write(work)

    async def told(self) -> list[str]:
        """What has been announced."""
        return [type_ for type_, _ in await self.world.events()]

    async def called(self) -> list[tuple[str, dict[str, Any]]]:
        """What webhooks are to be called for since the last look."""

        def work(tx: Tx) -> list[tuple[str, dict[str, Any]]]:
            return [
                (webhook.event, msgspec.json.decode(job.event.payload))
                for webhook in tx.webhooks.all(self.world.account)
                for job in tx.deliveries.take(webhook.key, 1000)
            ]

        self.hands.room_for = set()
        return await self.world.write(work)


@pytest.fixture
def phones(world: World) -> Teller:
    teller = Teller(world)
    teller.hands.room_for = set()
    return teller


# One for each message


async def test_it_is_delivered_when_all_parts_have_arrived(phones: Teller) -> None:
    device = await phones.teller()
    await phones.send(device, "m")
    await phones.say(device, "m", State.SENT)
    assert await phones.tell(device, "sms:delivered", "m", id="part 1")
    assert not await phones.tell(device, "sms:delivered", "m", id="part 1")
    assert await phones.state("m") is State.SENT
    assert await phones.tell(device, "sms:delivered", "m", id="part 2", simNumber=2)
    assert await phones.state("m") is State.DELIVERED
    await phones.say(device, "m", State.DELIVERED)
    await phones.tell(device, "sms:delivered", "m", id="one too many")
    assert await phones.told() == ["sms:sent", "sms:delivered"]
    called = dict(await phones.called())
    assert called.keys() == {"sms:sent", "sms:delivered"}
    assert called["sms:delivered"]["simNumber"] == 2


async def test_the_report_of_the_queue_waits_for_the_events_of_the_parts(phones: Teller) -> None:
    device = await phones.teller()
    await phones.send(device, "m")
    await phones.tell(device, "sms:delivered", "m")
    await phones.say(device, "m", State.DELIVERED)
    assert await phones.state("m") is State.SENT
    await phones.tell(device, "sms:delivered", "m")
    assert await phones.state("m") is State.DELIVERED
    await phones.pass_time(2 * PARTS_MS)
    assert await phones.told() == ["sms:sent", "sms:delivered"]


async def test_parts_whose_events_are_lost_are_not_waited_for_long(phones: Teller) -> None:
    device = await phones.teller()
    await phones.send(device, "m")
    await phones.say(device, "m", State.DELIVERED)
    await phones.pass_time(PARTS_MS - 1)
    assert await phones.state("m") is State.SENT
    await phones.pass_time(1)
    assert await phones.state("m") is State.DELIVERED
    await phones.tell(device, "sms:delivered", "m")
    await phones.tell(device, "sms:delivered", "m")
    assert await phones.told() == ["sms:sent", "sms:delivered"]


async def test_the_parts_of_each_number_are_counted_apart(phones: Teller) -> None:
    device = await phones.teller()
    await phones.send(device, "m", NUMBER, OTHER)
    await phones.tell(device, "sms:delivered", "m", NUMBER)
    await phones.tell(device, "sms:delivered", "m", OTHER)
    assert await phones.told() == []
    # Without its plus, as apps that read numbers for themselves have it.
    await phones.tell(device, "sms:delivered", "m", OTHER.removeprefix("+"))
    assert [r.state for r in await phones.world.recipients("m")] == [
        State.PENDING,
        State.DELIVERED,
    ]


@pytest.mark.parametrize("text", ["short", "encrypted"])
async def test_where_there_is_one_part_or_it_is_not_known_the_first_word_counts(
    phones: Teller, text: str
) -> None:
    device = await phones.teller()
    number = "$aes-256-cbc/pbkdf2-sha1$i=1$c2FsdA==$bnVtYmVy" if text == "encrypted" else NUMBER
    wanted = {"encrypted": True} if text == "encrypted" else {}
    await phones.send(device, "m", number, text=text, **wanted)
    await phones.tell(device, "sms:delivered", "m", number)
    assert await phones.state("m") is State.DELIVERED
    assert await phones.told() == ["sms:sent", "sms:delivered"]


async def test_an_app_that_knows_no_such_event_is_believed_at_once(phones: Teller) -> None:
    device = await phones.teller(app_version="1.18.0")
    await phones.send(device, "m")
    await phones.say(device, "m", State.DELIVERED)
    assert await phones.state("m") is State.DELIVERED
    assert await phones.told() == ["sms:sent", "sms:delivered"]


# One for each part


async def test_by_the_accounts_wish_each_part_is_told_of_as_it_comes(phones: Teller) -> None:
    device = await phones.teller()
    await phones.policy(delivered_per_part=True)
    await phones.send(device, "m")
    await phones.say(device, "m", State.SENT)
    await phones.say(device, "m", State.DELIVERED)
    assert await phones.state("m") is State.DELIVERED
    for part in ("1", "2", "2"):
        await phones.tell(device, "sms:delivered", "m", id=part, part=part)
    assert await phones.told() == ["sms:sent", "sms:delivered", "sms:delivered"]
    parts = [said["part"] for event, said in await phones.called() if event == "sms:delivered"]
    assert sorted(parts) == ["1", "2"]


@pytest.mark.parametrize("app_version", [None, APP])
async def test_a_phone_that_tells_us_of_no_part_is_told_of_by_its_report(
    phones: Teller, app_version: str | None
) -> None:
    """It never fetched its webhooks; or its app is too old for this event."""
    old = await phones.teller("old", tells_server=True, app_version="1.18.0")
    new = await phones.teller("new", tells_server=False, app_version=app_version)
    await phones.policy(delivered_per_part=True)
    for device in (old, new):
        await phones.send(device, device.name, device_id=device.id)
        await phones.say(device, device.name, State.DELIVERED)
    assert await phones.told() == ["sms:sent", "sms:delivered"] * 2
    assert len(await phones.called()) == 4


# By the phone itself


async def test_what_the_phone_calls_webhooks_for_they_are_not_called_for_again(
    phones: Teller,
) -> None:
    device = await phones.teller(tells_server=False, calls_webhooks=True)
    await phones.send(device, "m")
    await phones.say(device, "m", State.SENT)
    await phones.say(device, "m", State.DELIVERED)
    assert await phones.state("m") is State.DELIVERED
    assert await phones.told() == ["sms:sent", "sms:delivered"], "the feed has it all"
    assert await phones.called() == []


async def test_what_the_app_of_the_phone_does_not_know_we_tell(phones: Teller) -> None:
    device = await phones.teller(tells_server=False, calls_webhooks=True, app_version="1.60.0")
    await phones.send(device, "m")
    await phones.cancel("m")
    await phones.say(device, "m", State.CANCELLED)
    [(event, said)] = await phones.called()
    assert (event, said["messageId"]) == ("sms:cancelled", "m")


async def test_what_the_phone_cannot_know_we_tell(phones: Teller) -> None:
    """It never fetched the message; or fetched it and fell silent."""
    device = await phones.teller(tells_server=False, calls_webhooks=True)
    await phones.submit("never fetched", ttl_ms=60_000)
    await phones.pass_time(60_000)
    await phones.submit("never reported", ttl_ms=60_000)
    await phones.fetch(device)
    await phones.pass_time(60_000)
    assert [(event, said["messageId"]) for event, said in await phones.called()] == [
        ("sms:failed", "never fetched"),
        ("sms:failed", "never reported"),
    ]


async def test_a_phone_that_still_has_our_address_in_its_list_is_heard(phones: Teller) -> None:
    """The account has changed its mind, and the phone has not fetched its webhooks since."""
    device = await phones.teller()
    await phones.policy(webhook_delivery="phone")
    await phones.send(device, "m", text="short")
    await phones.tell(device, "sms:sent", "m", partsCount=1)
    await phones.say(device, "m", State.SENT)
    assert [event for event, _ in await phones.called()] == ["sms:sent"]
    await phones.policy(webhook_delivery="phone", delivered_per_part=True)
    await phones.change_listener(device, tells_server=False, calls_webhooks=True)
    await phones.tell(device, "sms:delivered", "m")  # from before it fetched them
    assert [event for event, _ in await phones.called()] == ["sms:delivered"]


async def test_what_such_a_phone_tells_us_its_webhooks_are_called_for(phones: Teller) -> None:
    """It calls them itself by now; but this came to our address, so nobody else tells of it."""
    device = await phones.teller(tells_server=False, calls_webhooks=True)
    await phones.send(device, "m", text="short")
    await phones.tell(device, "sms:sent", "m", partsCount=1)
    await phones.policy(webhook_delivery="phone", delivered_per_part=True)
    await phones.tell(device, "sms:delivered", "m")
    assert await phones.told() == ["sms:sent", "sms:delivered"]
    assert {event for event, _ in await phones.called()} == {"sms:sent", "sms:delivered"}


# Which comes first


@pytest.mark.parametrize("first", ["event", "report"])
async def test_the_first_word_moves_the_state_and_is_announced(phones: Teller, first: str) -> None:
    device = await phones.teller()
    await phones.send(device, "m", text="short")
    reason = "Send result: RESULT_ERROR_NO_SERVICE (Failed because service is unavailable)"
    if first == "event":
        await phones.tell(device, "sms:failed", "m", reason=reason, simNumber=2)
        await phones.say(device, "m", State.FAILED, error="Later")
    else:
        await phones.say(device, "m", State.FAILED, error=reason)
        await phones.tell(device, "sms:failed", "m", reason="Later", simNumber=2)
    recipient = await phones.recipient("m")
    assert (recipient.state, recipient.error) == (State.FAILED, reason)
    [(event, said)] = await phones.called()
    assert (event, said["reason"]) == ("sms:failed", reason)
    assert said.get("simNumber") == (2 if first == "event" else None)


async def test_that_it_was_sent_is_told_also_when_its_delivery_is_known_first(
    phones: Teller,
) -> None:
    device = await phones.teller()
    await phones.send(device, "m", text="short")
    await phones.tell(device, "sms:delivered", "m")
    await phones.tell(device, "sms:sent", "m")
    await phones.say(device, "m", State.SENT)
    assert await phones.told() == ["sms:sent", "sms:delivered"]
    assert {event for event, _ in await phones.called()} == {"sms:sent", "sms:delivered"}


async def test_the_phones_own_words_are_passed_on(phones: Teller) -> None:
    device = await phones.teller()
    await phones.send(device, "m")
    at = "2026-01-01T01:00:00.089+01:00"
    await phones.tell(device, "sms:sent", "m", sentAt=at, partsCount=3, simNumber=1, sender="+49")
    assert (await phones.message("m")).sent_at == phones.world.clock.now() + 89
    [(event, said)] = await phones.called()
    assert event == "sms:sent"
    assert said == {
        "messageId": "m",
        "recipient": NUMBER,
        "phoneNumber": NUMBER,
        "sentAt": at,
        "partsCount": 3,
        "simNumber": 1,
        "sender": "+49",
    }


async def test_an_absurd_time_of_an_event_gets_ours(phones: Teller) -> None:
    device = await phones.teller()
    await phones.send(device, "m", text="short")
    await phones.tell(device, "sms:delivered", "m", deliveredAt="2016-01-01T00:00:00Z")
    assert (await phones.message("m")).delivered_at == phones.world.clock.now()


async def test_the_events_of_the_parts_are_those_of_the_message(phones: Teller) -> None:
    device = await phones.teller()
    await phones.policy(delivered_per_part=True)
    await phones.send(device, "m")
    for part in ("1", "2"):
        await phones.tell(device, "sms:delivered", "m", id=part)
    found = await phones.world.write(lambda tx: tx.events.of_message(device.account_id, "m"))
    assert [event.type for event in found].count("sms:delivered") == 2


async def test_what_a_removed_phone_had_delivered_is_so_since_it_said_it(phones: Teller) -> None:
    device = await phones.teller()
    await phones.send(device, "m")
    said_at = phones.world.clock.now()
    await phones.say(device, "m", State.DELIVERED)
    await phones.world.write(lambda tx: devices.remove(tx, device.account_id, device.id))
    phones.world.clock.advance(1_000)
    [job] = await phones.world.write(lambda tx: tx.recipients.take(device.id, 10))
    await phones.world.write(lambda tx: phone_queue.due(tx, job))
    assert await phones.state("m") is State.DELIVERED
    assert (await phones.message("m")).delivered_at == said_at


async def test_a_phone_says_nothing_of_the_messages_of_others(phones: Teller) -> None:
    device, other = await phones.teller(), await phones.phone("other")
    await phones.send(device, "m", text="short", device_id=device.id)
    for event in MEMBER:
        await phones.tell(other, event, "m")
    assert await phones.state("m") is State.PENDING
    assert await phones.told() == []
    await phones.tell(device, "sms:sent", "m", "+41790000009")
    assert await phones.state("m") is State.PENDING


# All of it, in any order

words = st.lists(
    st.tuples(
        st.sampled_from(("event", "report")),
        st.sampled_from(("sms:sent", "sms:delivered")),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(words=words, text=st.sampled_from(("short", LONG)))
def test_whatever_the_order_each_fact_is_announced_once(
    words: list[tuple[str, str, int]], text: str
) -> None:
    """``words``: by event or by report, of what, and the id of the event (that is, which part)."""
    asyncio.run(_tell_all(words, text))


async def _tell_all(words: list[tuple[str, str, int]], text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "textgate.db", FakeClock(), VAULT)
        account = await store.write(lambda tx: add_account(tx, password_hash="hash"))
        try:
            phones = Teller(World(store, FakeClock(), account.id))
            phones.hands.room_for = set()
            device = await phones.teller()
            await phones.send(device, "m", text=text)
            parts = set[int]()
            reported = False
            for how, event, part in words:
                state = State.SENT if event == "sms:sent" else State.DELIVERED
                if how == "report":
                    await phones.say(device, "m", state)
                    reported |= state is State.DELIVERED
                else:
                    await phones.tell(device, event, "m", id=f"{event} {part}")
                    parts |= {part} if state is State.DELIVERED else set()
            whole = len(parts) >= (1 if text == "short" else 2)
            arrived = whole or (reported and text == "short")
            assert (await phones.state("m") is State.DELIVERED) is arrived
            told = Counter(await phones.told())
            assert told["sms:delivered"] == int(arrived)
            assert told["sms:sent"] <= 1
            assert Counter(event for event, _ in await phones.called()) == told
        finally:
            await store.close()
