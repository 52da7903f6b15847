"""A phone at a real server: its queue, its reports, its webhooks and settings (A §1.6, §3)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from phone_world import NUMBER, Api, Living, api_of, member_of, phones

from textgate.domain.encryption import encrypt
from textgate.domain.lifecycle import State
from textgate.domain.signing import timestamped_hex
from textgate.phone.behaviour import Behaviour
from textgate.phone.incoming import Incoming
from textgate.phone.network import Outage
from textgate.phone.reports import ReportTrouble
from textgate.testing.receiver import Receiver
from textgate.testing.server import Server, start_server

SALT = bytes(range(16))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    """Each test has an account of its own."""
    account = shared.add_account()
    shared.login, shared.password = account.login, account.password
    return shared


@asynccontextmanager
async def at(server: Server, folder: Path, **wanted: Any) -> AsyncIterator[tuple[Living, Api]]:
    """A phone of the server's account, connected."""
    async with (
        phones(folder / "phone", server.url, sign_in=member_of(server), **wanted) as phone,
        api_of(server) as api,
    ):
        await phone.connected()
        yield phone, api


async def test_a_message_goes_all_its_way(server: Server, tmp_path: Path) -> None:
    async with at(server, tmp_path) as (phone, api):
        sent = await api.reaches(await api.send(), "Delivered")
        assert set(sent["states"]) == {"Pending", "Processed", "Sent", "Delivered"}
        assert sent["deviceId"] == phone.id


async def test_what_was_queued_while_it_was_away_is_fetched_at_its_return(
    server: Server, tmp_path: Path
) -> None:
    async with at(server, tmp_path):
        pass
    async with api_of(server) as api:
        ids = [await api.send(f"Number {n}") for n in range(3)]
        async with at(server, tmp_path):
            for message_id in ids:
                await api.reaches(message_id, "Delivered")


async def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    with start_server(tmp_path / "server") as server:
        async with at(server, tmp_path) as (phone, api):
            await asyncio.to_thread(server.kill)
            await phone.until(lambda: phone.kinds("disconnected"))
            await asyncio.to_thread(server.start)
            await phone.connected(2)
            await api.reaches(await api.send(), "Delivered")
            waits = [t.happening.fields["again_s"] for t in phone.kinds("disconnected")]
            assert waits[:5] == [5] * min(5, len(waits))
            assert set(waits[5:10]) <= {30}
            assert set(waits[10:]) <= {60}


async def test_a_scheduled_message_waits_on_the_phone_and_can_be_cancelled_there(
    server: Server, tmp_path: Path
) -> None:
    async with at(server, tmp_path) as (phone, api):
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        message_id = await api.send(scheduleAt=later)
        await phone.until(lambda: phone.kinds("fetched"))
        kept = await phone.read(lambda tx, account: tx.messages.get(account, message_id))
        assert kept.state is State.PENDING
        answer = await api.http.delete(f"/3rdparty/v1/messages/{message_id}")
        assert answer.status_code == 200
        assert set((await api.reaches(message_id, "Cancelled"))["states"]) >= {"Cancelled"}
        assert [t.happening.message_id for t in phone.kinds("cancelled")] == [message_id]
        kept = await phone.read(lambda tx, account: tx.messages.get(account, message_id))
        assert kept.state is State.CANCELLED


async def test_settings_of_the_server_become_the_phones(server: Server, tmp_path: Path) -> None:
    async with at(server, tmp_path) as (phone, api):
        changed = {"messages": {"processing_order": "FIFO", "send_interval_max": 7}}
        answer = await api.http.patch("/3rdparty/v1/settings", json=changed)
        assert answer.status_code == 200
        await phone.until(
            lambda: [t for t in phone.kinds("settings") if t.happening.text.startswith("settings")]
        )
        assert (await phone.account()).settings["messages"] == changed["messages"]


async def test_with_delivery_by_the_phone_it_calls_the_webhooks_itself(
    server: Server, tmp_path: Path
) -> None:
    with Receiver() as receiver:
        async with at(server, tmp_path) as (phone, api):
            policy = {"webhook_delivery": "phone"}
            assert (await api.http.patch("/v1/phone-settings", json=policy)).status_code == 200
            for event in ("sms:sent", "sms:received"):
                wanted = {"id": f"my-{event[4:]}", "event": event, "url": receiver.url + "/?key=7"}
                assert (await api.http.post("/3rdparty/v1/webhooks", json=wanted)).is_success
            await phone.until(
                lambda: [t for t in phone.kinds("settings") if t.happening.fields["webhooks"] == 2]
            )
            message_id = await api.send()
            await phone.cloud.receive(1, Incoming(sender="+12025550199", text="Hi"))
            calls = await asyncio.to_thread(receiver.wait_for, 2)
            key = (await phone.account()).webhook_secret
            await api.reaches(message_id, "Delivered")
    for call in calls:
        assert call.path == "/?key=7"
        assert call.headers["User-Agent"] == "me.capcom.smsgateway/1.68.0"
        stamp = int(call.headers["X-Timestamp"])
        assert call.headers["X-Signature"] == timestamped_hex(key, call.body, stamp)
        assert call.json["deviceId"] == phone.id
    assert {call.json["webhookId"] for call in calls} == {"my-sent", "my-received"}


async def test_webhooks_are_replaced_as_a_whole(server: Server, tmp_path: Path) -> None:
    async with at(server, tmp_path) as (phone, api):
        policy = {"webhook_delivery": "phone"}
        assert (await api.http.patch("/v1/phone-settings", json=policy)).status_code == 200
        for name in ("a", "b"):
            wanted = {"id": name, "event": "sms:sent", "url": "https://hooks.example/x"}
            assert (await api.http.post("/3rdparty/v1/webhooks", json=wanted)).is_success

        async def known() -> list[str]:
            found = await phone.read(lambda tx, account: tx.webhooks.all(account))
            return [webhook.id for webhook in found]

        async with asyncio.timeout(20):
            while await known() != ["a", "b"]:
                await asyncio.sleep(0.01)
            assert (await api.http.delete("/3rdparty/v1/webhooks/a")).status_code == 204
            while await known() != ["b"]:
                await asyncio.sleep(0.01)


async def test_received_messages_come_to_the_servers_inbox(server: Server, tmp_path: Path) -> None:
    async with at(server, tmp_path) as (phone, api):
        await phone.until(lambda: phone.kinds("settings"))
        await phone.cloud.receive(1, Incoming(sender="+12025550199", text="Hi there"))
        async with asyncio.timeout(20):
            while not (found := (await api.http.get("/3rdparty/v1/inbox")).json()):
                await asyncio.sleep(0.02)
        assert [(m["sender"], m["contentPreview"]) for m in found] == [("+12025550199", "Hi there")]


async def test_without_a_network_it_goes_on_and_tells_all_of_it_later(
    server: Server, tmp_path: Path
) -> None:
    slow = Behaviour(seed=1, send_ms=(40_000, 40_000), deliver_ms=(1_000, 1_000))
    async with at(server, tmp_path, behaviour=slow) as (phone, api):
        message_id = await api.send()
        await phone.until(lambda: phone.kinds("processed"))
        phone.cloud.network.lose()
        await phone.cloud.ping(1)
        await phone.until(lambda: phone.kinds("delivered"))
        assert (await api.message(message_id))["state"] in ("Pending", "Processed")
        phone.cloud.network.find()
        await api.reaches(message_id, "Delivered")
        said = [t.happening.text for t in phone.kinds("network")]
        assert said == ["the network is lost", "the network is there again"]
        await phone.cloud.ping(1)
        pings = [t.happening.text for t in phone.kinds("ping")]
        assert pings == ["ping: fail, battery 100 %", "ping: pass, battery 100 %"]


async def test_without_a_network_no_webhook_is_tried(server: Server, tmp_path: Path) -> None:
    """What the app owes to webhooks waits for a network, and costs no retry (A §4.8)."""
    async with at(server, tmp_path) as (phone, api):
        await phone.until(lambda: phone.cloud.phones[0].ready.is_set())
        phone.cloud.network.lose()
        await phone.cloud.receive(1, Incoming(sender="+12025550199", text="Hi there"))
        await phone.until(lambda: phone.kinds("received"))
        for _ in range(3):  # losing it again and again changes nothing
            await asyncio.sleep(0.1)
            phone.cloud.network.find()
            phone.cloud.network.lose()
        phone.cloud.network.find()
        async with asyncio.timeout(5):  # a retry comes after 10 s
            while not (await api.http.get("/3rdparty/v1/inbox")).json():
                await asyncio.sleep(0.02)
        told = [t.happening.text for t in phone.kinds("webhook")]
        assert [text for text in told if text.startswith("sms:received")] == ["sms:received: 200"]


async def test_an_outage_comes_when_it_was_asked_for(server: Server, tmp_path: Path) -> None:
    outage = Outage(for_ms=20_000, after_ms=30_000)
    async with at(server, tmp_path, outage=outage) as (phone, api):
        await phone.until(lambda: len(phone.kinds("network")) == 2)
        await phone.connected(2)
        await api.reaches(await api.send(), "Delivered")


async def test_duplicates_and_disorder_of_reports_change_nothing(
    server: Server, tmp_path: Path
) -> None:
    with Receiver() as receiver:
        trouble = ReportTrouble(duplicates=0.5, shuffled=True)
        async with at(server, tmp_path, reports=trouble) as (_, api):
            wanted = {"event": "sms:delivered", "url": receiver.url}
            assert (await api.http.post("/3rdparty/v1/webhooks", json=wanted)).is_success
            ids = [await api.send(f"Number {n}") for n in range(10)]
            for message_id in ids:
                await api.reaches(message_id, "Delivered")
            calls = await asyncio.to_thread(receiver.wait_for, 10)
        assert sorted(call.json["payload"]["messageId"] for call in calls) == sorted(ids)


async def test_a_queue_of_long_messages_is_fetched_whole(server: Server, tmp_path: Path) -> None:
    """Its answer is longer than what is usually read of one."""
    async with at(server, tmp_path):
        pass
    async with api_of(server) as api:
        ids = [await api.send("x" * 30_000 + str(n)) for n in range(4)]
        quick = Behaviour(seed=1, send_ms=(0, 0), deliver_ms=(0, 0))
        async with at(server, tmp_path, behaviour=quick) as (phone, _):
            await phone.until(lambda: phone.kinds("fetched"))
            assert phone.kinds("fetched")[0].happening.fields == {"new": 4}
            for message_id in ids:
                kept = await phone.read(lambda tx, acc, i=message_id: tx.messages.get(acc, i))
                assert len(kept.text) == 30_001


@pytest.mark.parametrize(("passphrase", "state"), [("right", "Delivered"), ("wrong", "Failed")])
async def test_encrypted_messages_are_opened_at_their_turn(
    server: Server, tmp_path: Path, passphrase: str, state: str
) -> None:
    async with at(server, tmp_path, behaviour=Behaviour(seed=1, passphrase=passphrase)) as (
        phone,
        api,
    ):
        text = encrypt("Secret", "right", SALT)
        number = encrypt(NUMBER, "right", SALT)
        message_id = await api.send(text, isEncrypted=True, phoneNumbers=[number])
        message = await api.reaches(message_id, state)
        [recipient] = message["recipients"]
        assert recipient["phoneNumber"] == number
        assert (state == "Failed") == recipient.get("error", "").startswith("Can't send message: ")
        kept = await phone.read(lambda tx, account: tx.messages.get(account, message_id))
        assert kept.text == text
