"""The inbox through the original Python client, filled by a phone of the server's account."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import android_sms_gateway as original
import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client

    from textgate.testing.server import Server

BYTES = bytes(range(256))
RECEIVED = datetime(2026, 2, 3, 4, 5, 6, 789_000, UTC)


@dataclass
class Phone:
    """A phone on the API that phones use."""

    line: httpx.Client
    id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def tell(self, event: str, **payload: Any) -> None:
        """Call the server's webhook as the app does; every time with another event id."""
        hooks = self.line.get("/mobile/v1/webhooks", headers=self.headers).json()
        [url] = [hook["url"] for hook in hooks if hook["event"] == event]
        told = {"id": uuid4().hex[:21], "event": event, "deviceId": self.id, "payload": payload}
        answer = self.line.post(url, json=told)
        assert answer.status_code == 200, answer.text


@pytest.fixture
def phone(server: Server) -> Iterator[Phone]:
    app = {"User-Agent": "me.capcom.smsgateway/1.68.0"}
    with httpx.Client(base_url=server.url, headers=app, timeout=20, trust_env=False) as line:
        who = (server.login, server.password)
        said = line.post("/api/mobile/v1/device", json={"name": "test"}, auth=who).json()
        found = Phone(line, said["id"], said["token"])
        yield found
        line.delete(f"/3rdparty/v1/devices/{found.id}", auth=who)


async def test_what_a_phone_received_is_listed_and_its_attachments_are_read(
    client: Client, phone: Phone
) -> None:
    at = RECEIVED.isoformat(timespec="milliseconds")
    text = {
        "messageId": "b92b3a7b",
        "message": "Bonjour, votre code est 123456 " * 10,
        "sender": "+33700000001",
        "recipient": "+33799999999",
        "phoneNumber": "+33700000001",
        "simNumber": 1,
        "receivedAt": at,
    }
    attached = {"partId": 2201, "contentType": "image/jpeg", "name": "IMG1.jpg", "size": 256}
    for _ in range(2):  # as after an export: known, so nothing happens
        phone.tell("sms:received", **text)
    phone.tell(
        "mms:downloaded",
        messageId="812",
        sender="Bank",
        phoneNumber="Bank",
        body="See photo",
        attachments=[
            attached | {"data": base64.encodebytes(BYTES).decode()},
            {"partId": 2202, "contentType": "text/plain"},
        ],
        receivedAt=(RECEIVED + timedelta(hours=1)).isoformat(),
    )
    mine = original.InboxQueryFilter(device_id=phone.id, include_attachments=True)
    photo, message = await client("list_inbox_messages", inbox_filter=mine)
    # The four backends tell it of four phones: one id of theirs, four messages.
    assert message.id.partition(".")[0] == "text:-1188349317"
    assert message.message_type == "SMS"
    assert (message.sender, message.recipient) == ("+33700000001", "+33799999999")
    assert (message.sim_number, message.created_at) == (1, RECEIVED)
    assert message.content_preview == text["message"][:100] + "…"
    assert message.attachments == []
    assert (photo.message_type, photo.content_preview) == ("MMS_DOWNLOADED", "See photo")
    known, unknown = photo.attachments
    assert known == original.IncomingMessageAttachment(2201, "IMG1.jpg", 256, "image/jpeg")
    assert (unknown.part_id, unknown.name, unknown.size) == (2202, "part-2202", 0)
    assert await client("download_attachment", photo.id, 2201) == BYTES
    assert (await client.refused("download_attachment", photo.id, 2202))[0] == 404


async def test_the_clients_filters_choose(client: Client, phone: Phone) -> None:
    for n in range(3):
        at = (RECEIVED + timedelta(days=n)).isoformat()
        phone.tell("sms:received", message=f"{n}", phoneNumber="+33700000001", receivedAt=at)

    async def listed(limit: int = 50, offset: int = 0, **wanted: Any) -> list[str]:
        query = original.InboxQueryFilter(device_id=phone.id, **wanted)
        paging = original.QueryPagination(limit=limit, offset=offset)
        found = await client("list_inbox_messages", inbox_filter=query, pagination=paging)
        return [message.content_preview for message in found]

    assert await listed() == ["2", "1", "0"]
    assert await listed(1, 1) == ["1"]
    assert await listed(message_type="MMS") == []
    assert await listed(message_type="SMS", from_=RECEIVED + timedelta(days=1)) == ["2", "1"]
    assert await listed(to=RECEIVED + timedelta(days=1)) == ["0"]


async def test_a_refresh_and_an_export_reach_the_phone(client: Client, phone: Phone) -> None:
    until = RECEIVED + timedelta(days=1)
    phone.line.get("/mobile/v1/webhooks", headers=phone.headers)  # it tells the server from now on
    refresh = original.InboxRefreshRequest(
        RECEIVED,
        until,
        device_id=phone.id,
        message_types=["SMS", "DATA_SMS", "MMS_DOWNLOADED"],
        webhook_delivery=original.WebhookDelivery.DISABLED,
    )
    assert await client("refresh_inbox", refresh) == {}
    export = original.MessagesExportRequest(phone.id, RECEIVED, RECEIVED)
    assert await client("export_inbox", export) == {}
    told = {
        "since": "2026-02-03T04:05:06Z",
        "until": "2026-02-04T04:05:07Z",
        "webhookDelivery": "Individual",
        "triggerWebhooks": "true",
    }
    assert _heard(phone, 2) == [
        told | {"messageTypes": "SMS,MMS"},
        told | {"until": "2026-02-03T04:05:07Z"},
    ]


def _heard(phone: Phone, count: int) -> list[dict[str, str]]:
    """Return the data of so many requests for an export, as the phone's event stream tells them."""
    found: list[dict[str, str]] = []
    path = "/mobile/v1/events"
    with phone.line.stream("GET", path, headers=phone.headers, timeout=10) as stream:
        assert stream.status_code == 200
        event = ""
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "MessagesExportRequested":
                found.append(json.loads(value))
                if len(found) == count:
                    return found
    pytest.fail(f"the stream ended after {found}")
