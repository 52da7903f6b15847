"""The original Python client and a phone in the terminal that is its own server: local mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import android_sms_gateway as original
import httpx
import pytest
from android_sms_gateway.enums import ProcessState, WebhookEvent
from android_sms_gateway.http import HttpxHttpClient
from system_world import until
from terminal import Terminal, is_signed, terminal

from textgate.testing.receiver import Receiver

NUMBER = "+12025550101"
QUICK = ("--send-ms", "100-200", "--deliver-ms", "100-200")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module")
def phone(folder: Path) -> Iterator[Terminal]:
    with local(folder) as phone:
        yield phone


@contextmanager
def local(folder: Path) -> Iterator[Terminal]:
    with terminal(folder, "--local", "--port", "0", *QUICK) as phone:
        phone.wait_for("answering")
        yield phone


def told_at_start(phone: Terminal) -> dict[str, Any]:
    fields: dict[str, Any] = phone.wait_for("answering")["fields"]
    return fields


@contextmanager
def opened(phone: Terminal, password: str | None = None) -> Iterator[original.APIClient]:
    said = told_at_start(phone)
    with pytest.MonkeyPatch.context() as patch, HttpxHttpClient() as http:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield original.APIClient(
            said["login"], password or said["password"], http=http, base_url=said["server"]
        )


@pytest.fixture
def library(phone: Terminal) -> Iterator[original.APIClient]:
    with opened(phone) as library:
        yield library


@pytest.fixture
def told() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def send(library: original.APIClient, message_id: str) -> None:
    text = original.TextMessage(text="Hello from local mode")
    library.send(original.Message(id=message_id, text_message=text, phone_numbers=[NUMBER]))


def delivered(library: original.APIClient, message_id: str) -> bool:
    found: bool = library.get_state(message_id).state is ProcessState.Delivered
    return found


def test_a_message_is_delivered_and_the_phone_calls_its_webhooks(
    library: original.APIClient, phone: Terminal, told: Receiver
) -> None:
    events = (WebhookEvent.SMS_SENT, WebhookEvent.SMS_DELIVERED, WebhookEvent.SMS_RECEIVED)
    for event in events:
        library.create_webhook(original.Webhook(id=event.name, url=told.url, event=event))
    assert {hook.event for hook in library.get_webhooks()} == set(events)
    send(library, "local-1")
    until(lambda: delivered(library, "local-1"))
    states = library.get_state("local-1").states
    assert list(dict(sorted(states.items(), key=lambda item: item[1]))) == [
        *("Pending", "Processed", "Sent", "Delivered")
    ]
    phone.type("+33700000001 Bonjour")
    calls = told.wait_for(3)
    said = told_at_start(phone)
    device = phone.wait_for("answering")["device"]
    assert len(device) == 32
    for call in calls:
        assert is_signed(call, said["signing_key"])
        assert call.headers["User-Agent"] == "me.capcom.smsgateway/1.68.0"
        assert call.json["deviceId"] == device
        assert call.json["webhookId"] == WebhookEvent(call.json["event"]).name
    assert {call.json["event"] for call in calls} == {event.value for event in events}
    [mine] = [m for m in library.list_inbox_messages() if m.sender == "+33700000001"]
    assert mine.content_preview == "Bonjour"
    for event in events:
        library.delete_webhook(event.name)
    assert library.get_webhooks() == []


def test_its_door_is_that_of_the_app(phone: Terminal) -> None:
    said = told_at_start(phone)
    with httpx.Client(base_url=said["server"], trust_env=False) as stranger:
        refused = stranger.get("/message")
        assert (refused.status_code, refused.content) == (401, b"")
        assert "Basic" in refused.headers["WWW-Authenticate"]
        assert stranger.get("/health").status_code == 200
    with httpx.Client(base_url=said["server"], trust_env=False) as owner:
        owner.auth = (said["login"], said["password"])
        assert said["login"] == "sms"
        assert len(said["password"]) == 8
        assert owner.get("/").json()["status"] == "ok"
        assert [d["id"] for d in owner.get("/device").json()] == [
            phone.wait_for("answering")["device"]
        ]
        wrong = {"url": "http://192.168.1.1/", "event": "sms:sent"}
        refused = owner.post("/webhooks", json=wrong)
        assert refused.status_code == 400
        assert refused.json()["message"] == "url must start with https:// or http://127.0.0.1"


def test_killed_and_started_again_it_knows_what_it_knew(tmp_path: Path, told: Receiver) -> None:
    with local(tmp_path) as phone, opened(phone) as library:
        password, key = told_at_start(phone)["password"], told_at_start(phone)["signing_key"]
        hook = original.Webhook(id="kept", url=told.url, event=WebhookEvent.SMS_SENT)
        library.create_webhook(hook)
        send(library, "before")
        until(lambda: delivered(library, "before"))
        phone.kill()
    with local(tmp_path) as phone, opened(phone, password) as library:
        assert told_at_start(phone)["signing_key"] == key
        assert "password" not in told_at_start(phone), "it is shown once"
        assert delivered(library, "before")
        send(library, "after")
        until(lambda: delivered(library, "after"))
    ids = {call.json["payload"]["messageId"] for call in told.wait_for(2)}
    assert ids == {"before", "after"}
