"""The conversation that A §8.3 asks a black-box test to replay, step by step, with a real server.

The app's side is ``device_client``; the other side is plain HTTP with the account's password.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from device_client import PATIENCE_S, Phone, Refused, StreamEvent, read

from textgate.testing.receiver import Receiver
from textgate.testing.server import Server, start_server

PRIVATE_TOKEN = "a-private-token-of-the-house"
THIRD_PARTY = "/api/3rdparty/v1"
NUMBER = "+4915112345678"
EAST = timezone(timedelta(hours=2))
"""Where the phone is: it says its times with the offset of its place (A §1.4)."""


@dataclass
class Session:
    """A server, a phone, the account that was born with it, and a webhook receiver."""

    server: Server
    phone: Phone
    told: Receiver
    api: httpx.AsyncClient = field(init=False)
    began: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(microsecond=402_000), init=False
    )
    """Of a phone's clock the server believes some minutes."""

    def said(self, place: timezone, seconds: int) -> str:
        """So many seconds after the beginning, as somebody there writes it."""
        at = (self.began + timedelta(seconds=seconds)).astimezone(place)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def __post_init__(self) -> None:
        self.api = httpx.AsyncClient(base_url=self.server.url + THIRD_PARTY, trust_env=False)

    def become(self, login: str, password: str) -> None:
        self.api.auth = httpx.BasicAuth(login, password)

    async def send(self, message_id: str, **more: Any) -> dict[str, Any]:
        wanted = {"id": message_id, "textMessage": {"text": "Parcel 5512"}, **more}
        answer = await self.api.post("/messages", json={"phoneNumbers": [NUMBER], **wanted})
        assert (answer.status_code, answer.headers["Content-Type"]) == (202, "application/json")
        assert answer.headers["Location"] == f"{THIRD_PARTY}/messages/{message_id}"
        made: dict[str, Any] = read(answer)
        return made

    async def state(self, message_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"/messages/{message_id}")
        assert answer.status_code == 200
        found: dict[str, Any] = read(answer)
        return found


@asynccontextmanager
async def session(folder: Path) -> AsyncIterator[Session]:
    environ = {"TEXTGATE_MODE": "private", "TEXTGATE_PRIVATE_TOKEN": PRIVATE_TOKEN}
    with start_server(folder, environ=environ) as server, Receiver() as told:
        async with Phone(server.url) as phone:
            playing = Session(server, phone, told)
            async with playing.api:
                yield playing


async def test_the_conversation_of_an_app_with_its_private_server(tmp_path: Path) -> None:
    async with session(tmp_path) as playing:
        await it_registers_with_the_private_token(playing)
        phone = playing.phone
        async with phone.events() as stream:
            assert stream.status == 200
            assert stream.headers["Content-Type"].partition(";")[0] == "text/event-stream"
            assert stream.headers["Cache-Control"] == "no-cache"
            await stream.commented(within_s=2)  # at once, so that the app knows it is connected
            assert await phone.pull() == []

            await a_webhook_reaches_it(playing, stream)
            await a_message_is_sent_and_delivered(playing, stream)
            await a_scheduled_message_is_cancelled(playing, stream)
        async with Phone(playing.server.url, name="second") as second:
            await another_phone_joins_by_code(playing, second)
            await a_new_password_ends_the_old_logins_and_no_device(playing)
            await a_deleted_device_is_told_401(playing, second)


async def it_registers_with_the_private_token(playing: Session) -> None:
    """Step 1: the four members, once; nobody without a credential."""
    phone = playing.phone
    for authorization in (None, "Bearer another-token", "Code aaaaaa", "Basic dTpw", "Basic ?"):
        with pytest.raises(Refused) as refused:
            await phone.register(authorization)
        assert refused.value.status == 401
    answer = await phone.register(f"Bearer {PRIVATE_TOKEN}", pushToken=None)
    assert answer.status_code == 201
    assert set(answer.json()) == {"id", "token", "login", "password"}
    assert (len(phone.id), len(phone.token)) == (21, 21)
    assert (len(phone.login), len(phone.password or "")) == (6, 14)
    playing.become(phone.login, phone.password or "")
    about = (await phone.me())["device"]
    assert (about["id"], about["name"], about["simCards"][0]["simNumber"]) == (
        phone.id,
        phone.name,
        1,
    )
    await phone.update()


async def a_webhook_reaches_it(playing: Session, stream: Any) -> None:
    """Step 3: it is stored, the phone hears that there is news, and its list serves the event."""
    wanted = {"id": "hook-1", "url": f"{playing.told.url}/hook?key=1", "event": "sms:sent"}
    answer = await playing.api.post("/webhooks", json=wanted)
    assert (answer.status_code, read(answer)) == (201, {"deviceId": None, **wanted})
    assert await stream.next() == StreamEvent("WebhooksUpdated", None)
    # By default the server calls the webhooks, and the phone calls the server.
    [own] = {one["url"] for one in await playing.phone.webhooks()}
    assert own.startswith(f"{playing.server.url}/device-events/")
    await deliver_webhooks_from(playing, "phone")
    assert await stream.next() == StreamEvent("WebhooksUpdated", None)
    assert await playing.phone.webhooks() == [{"deviceId": None, **wanted}]
    await deliver_webhooks_from(playing, "server")
    assert await stream.next() == StreamEvent("WebhooksUpdated", None)
    assert {one["url"] for one in await playing.phone.webhooks()} == {own}


async def deliver_webhooks_from(playing: Session, where: str) -> None:
    url = f"{playing.server.url}/v1/phone-settings"
    answer = await playing.api.patch(url, json={"webhook_delivery": where})
    assert answer.status_code == 200, answer.text


async def a_message_is_sent_and_delivered(playing: Session, stream: Any) -> None:
    """Steps 4 and 5: enqueued, seen by the phone, followed to its delivery by the phone's clock."""
    phone = playing.phone
    made = await playing.send("ord-5512", simNumber=1, ttl=600, priority=100)
    assert (made["state"], made["deviceId"]) == ("Pending", phone.id)
    assert made["recipients"] == [{"phoneNumber": NUMBER, "state": "Pending"}]
    assert await stream.next() == StreamEvent("MessageEnqueued", None)
    [item] = await phone.pull()
    assert item == {
        "id": "ord-5512",
        "message": "Parcel 5512",
        "textMessage": {"text": "Parcel 5512"},
        "phoneNumbers": [NUMBER],
        "simNumber": 1,
        "withDeliveryReport": True,
        "priority": 100,
        "state": "Pending",
        "createdAt": made["createdAt"],
        "validUntil": item["validUntil"],
        "ttl": item["ttl"],
    }
    assert 590 <= item["ttl"] <= 600
    again = await phone.pull("fifo")
    assert [one["id"] for one in again] == ["ord-5512"], "reading changes nothing"

    by_its_clock, expected = (
        {"Pending": playing.said(EAST, 0)},
        {"Pending": made["states"]["Pending"]},
    )
    for n, state in enumerate(("Processed", "Sent", "Delivered"), start=1):
        by_its_clock[state], expected[state] = playing.said(EAST, n), playing.said(UTC, n)
        await phone.report(item, state, by_its_clock)
        found = await playing.state("ord-5512")
        assert found["recipients"] == [{"phoneNumber": NUMBER, "state": state}]
        assert (found["state"], found["states"]) == (state, expected)
    await phone.report(item, "Sent", {"Sent": playing.said(EAST, 20)})
    assert (await playing.state("ord-5512"))["states"] == expected, "the first word stays"
    assert await phone.pull() == []

    [call] = playing.told.wait_for(1)
    assert call.path == "/hook?key=1"
    envelope = call.json
    assert (envelope["event"], envelope["deviceId"]) == ("sms:sent", phone.id)
    assert envelope["payload"]["messageId"] == "ord-5512"
    assert envelope["payload"]["sentAt"] == expected["Sent"]


async def a_scheduled_message_is_cancelled(playing: Session, stream: Any) -> None:
    """Step 6: held by the phone until its time, and taken back before it."""
    phone, later = playing.phone, datetime.now(UTC) + timedelta(hours=1)
    at = later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    await playing.send("later", scheduleAt=at)
    assert await stream.next() == StreamEvent("MessageEnqueued", None)
    [item] = await phone.pull()
    assert (item["id"], item["state"], item["scheduleAt"]) == ("later", "Pending", at)

    answer = await playing.api.delete("/messages/later")
    assert (answer.status_code, read(answer)["state"]) == (200, "Cancelling")
    assert await stream.next() == StreamEvent("MessageCancelled", {"messageId": "later"})
    [item] = await phone.pull()
    assert (item["id"], item["state"]) == ("later", "Cancelling")
    await phone.report(item, "Cancelled", {"Cancelled": playing.said(EAST, 30)})
    found = await playing.state("later")
    assert found["state"] == "Cancelled"
    assert found["states"]["Cancelled"] == playing.said(UTC, 30)
    assert await phone.pull() == []
    answer = await playing.api.delete("/messages/later")
    assert answer.status_code == 409
    assert answer.json()["message"]


async def another_phone_joins_by_code(playing: Session, second: Phone) -> None:
    """Step 7: a one-time code, good once; no password is told; both phones are the account's."""
    told = await playing.phone.login_code()
    assert set(told) == {"code", "validUntil"}
    assert len(told["code"]) == 6
    assert set(told["code"]) <= set("23456789abcdefghjkmnpqrstuvwxyz")
    answer = await second.register(f"Code {told['code'].upper()}")
    assert answer.status_code == 201
    assert answer.json().get("password") is None
    assert second.login == playing.phone.login
    with pytest.raises(Refused) as refused:
        await second.register(f"Code {told['code']}")
    assert refused.value.status == 401
    listed = read(await playing.api.get("/devices"))
    assert {one["id"] for one in listed} == {playing.phone.id, second.id}
    assert all(one["lastSeen"] and one["createdAt"] and one["updatedAt"] for one in listed)


async def a_new_password_ends_the_old_logins_and_no_device(playing: Session) -> None:
    """Step 8."""
    phone, old = playing.phone, playing.phone.password or ""
    asked = {"ttl": 600, "scopes": ["all:any"]}
    token = read(await playing.api.post("/auth/token", json=asked))["accessToken"]
    bearer = {"Authorization": f"Bearer {token}"}
    url = f"{playing.server.url}{THIRD_PARTY}/devices"
    async with httpx.AsyncClient(trust_env=False) as other:
        assert (await other.get(url, headers=bearer)).status_code == 200
        with pytest.raises(Refused) as refused:
            await phone.change_password("short")
        assert refused.value.status == 400
        await phone.change_password("a-new-password-of-length")
        assert (await other.get(url, headers=bearer)).status_code == 401
        assert (await other.get(url, auth=(phone.login, old))).status_code == 401
    playing.become(phone.login, "a-new-password-of-length")
    assert (await playing.api.get("/devices")).status_code == 200
    await phone.update()
    assert await phone.pull() == []


async def a_deleted_device_is_told_401(playing: Session, second: Phone) -> None:
    """Step 9: the one that was deleted, everywhere; the other one goes on."""
    answer = await playing.api.delete(f"/devices/{second.id}")
    assert (answer.status_code, answer.content) == (204, b"")
    for method, path in (("PATCH", "/device"), ("GET", "/message"), ("GET", "/webhooks")):
        with pytest.raises(Refused) as refused:
            await second.call(method, path, **({"json": {}} if method == "PATCH" else {}))
        assert refused.value.status == 401
    assert (await second.call("GET", "/device")).json().keys() == {"externalIp"}
    await playing.phone.update()
    listed = read(await playing.api.get("/devices"))
    assert [one["id"] for one in listed] == [playing.phone.id]


async def test_a_stream_is_kept_alive_and_its_owner_pulls_what_it_missed(tmp_path: Path) -> None:
    environ = {"TEXTGATE_PRIVATE_TOKEN": PRIVATE_TOKEN, "TEXTGATE_PHONE_KEEP_ALIVE": "1s"}
    with start_server(tmp_path, environ=environ) as server:
        async with Phone(server.url) as phone:
            await phone.register(f"Bearer {PRIVATE_TOKEN}")
            async with phone.events() as stream:
                await stream.commented(within_s=2)
                stream.comments.clear()
                await stream.commented(within_s=PATIENCE_S)
            phone.token = "x" * 21
            with pytest.raises(Refused) as refused:
                await phone.events().__aenter__()
            assert refused.value.status == 401
