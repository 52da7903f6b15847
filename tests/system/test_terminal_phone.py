"""The original Python client and a phone in the terminal, with a real server between them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import android_sms_gateway as original
import httpx
import pytest
from android_sms_gateway.domain import InboxQueryFilter
from android_sms_gateway.enums import ProcessState, WebhookEvent
from android_sms_gateway.http import HttpxHttpClient
from standardwebhooks.webhooks import Webhook as StandardWebhook
from system_world import client, until
from terminal import Terminal, is_signed, phone_of

from textgate.testing.receiver import Call, Receiver
from textgate.testing.server import Server, start_server

NUMBER = "+12025550101"
PASSPHRASE = "open sesame"
OUT = {ProcessState.Sent, ProcessState.Delivered}
"""A report that was on its way when the phone died is lost."""
PATH = [ProcessState.Pending, ProcessState.Processed, ProcessState.Sent, ProcessState.Delivered]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")  # what the clients send stays on this machine
        with start_server(tmp_path_factory.mktemp("terminal")) as server:
            yield server


@pytest.fixture(scope="module")
def phone(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("phone")
    with phone_of(server, folder, "--passphrase", PASSPHRASE) as phone:
        yield phone


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with client(server) as api:
        yield api


@pytest.fixture
def library(server: Server) -> Iterator[original.APIClient]:
    with opened(server) as library:
        yield library


@pytest.fixture
def told(api: httpx.Client) -> Iterator[Receiver]:
    """A receiver; the webhooks of a test are taken away after it."""
    with Receiver() as receiver:
        yield receiver
        for hook in api.get("/3rdparty/v1/webhooks").json():
            api.delete(f"/3rdparty/v1/webhooks/{hook['id']}")


@contextmanager
def opened(server: Server, **options: Any) -> Iterator[original.APIClient]:
    options["base_url"] = f"{server.url}/api/3rdparty/v1"
    with HttpxHttpClient() as http:
        yield original.APIClient(server.login, server.password, http=http, **options)


def text(words: str, **more: Any) -> original.Message:
    message = original.TextMessage(text=words)
    return original.Message(text_message=message, phone_numbers=[NUMBER], **more)


def followed(library: original.APIClient, message_id: str) -> list[ProcessState]:
    """Look until it is delivered or failed; return the states that were seen, each once."""
    seen: list[ProcessState] = []

    def look() -> bool:
        found = library.get_state(message_id)
        if found.state not in seen:
            seen.append(found.state)
        return found.state in (ProcessState.Delivered, ProcessState.Failed)

    until(look)
    return seen


def hook(library: original.APIClient, told: Receiver, *events: WebhookEvent) -> None:
    for event in events:
        url = f"{told.url}/{event.name}?key=1"
        library.create_webhook(original.Webhook(id=None, url=url, event=event))


def of_message(calls: list[Call], message_id: str) -> dict[str, Call]:
    return {c.json["event"]: c for c in calls if c.json["payload"].get("messageId") == message_id}


def test_a_message_goes_through_every_state_and_the_server_tells_of_it(
    library: original.APIClient, api: httpx.Client, phone: Terminal, told: Receiver
) -> None:
    hook(library, told, WebhookEvent.SMS_SENT, WebhookEvent.SMS_DELIVERED)
    accepted = library.send(text("Hello from the terminal", id="through-every-state"))
    assert accepted.state is ProcessState.Pending
    assert [ProcessState.Pending, *followed(library, accepted.id)][-3:] == PATH[-3:]
    done = library.get_state(accepted.id)
    assert [done.states[state.value] for state in PATH] == sorted(done.states.values())
    assert [(r.phone_number, r.state) for r in done.recipients] == [
        (NUMBER, ProcessState.Delivered)
    ]
    device = phone.wait_for("connected")["device"]
    assert [d.id for d in library.list_devices()] == [device]

    calls = of_message(told.wait_for(2), accepted.id)
    assert set(calls) == {"sms:sent", "sms:delivered"}
    secret = api.get("/v1/webhook-secret").json()
    for call in calls.values():
        assert is_signed(call, secret["secret"])
        envelope = StandardWebhook(secret["standard_webhooks"]).verify(
            call.body, dict(call.headers)
        )
        assert envelope["deviceId"] == device
        assert envelope["payload"]["phoneNumber"] == NUMBER
        assert not call.headers["User-Agent"].startswith("me.capcom")
    time.sleep(0.5)
    assert len(told.calls) == 2, "one business fact is told once"


def test_the_phone_itself_calls_the_webhooks_if_the_account_wants_it(
    library: original.APIClient, api: httpx.Client, phone: Terminal, told: Receiver
) -> None:
    hook(library, told, *(WebhookEvent(e) for e in ("sms:sent", "sms:delivered", "sms:received")))
    assert api.patch("/v1/phone-settings", json={"webhook_delivery": "phone"}).status_code == 200
    try:
        accepted = library.send(text("Hello from the phone", id="told-by-the-phone"))
        assert followed(library, accepted.id)[-1] is ProcessState.Delivered
        phone.type("+33700000001 Bonjour")
        calls = told.wait_for(3)
        assert {c.json["event"] for c in calls} == {"sms:sent", "sms:delivered", "sms:received"}
        for call in calls:
            assert call.headers["User-Agent"].startswith("me.capcom.smsgateway/")
            assert is_signed(call, phone_key(phone))
            assert call.json["deviceId"] == phone.wait_for("connected")["device"]
        assert of_message(calls, accepted.id).keys() == {"sms:sent", "sms:delivered"}
        time.sleep(0.5)
        assert len(told.calls) == 3, "the server does not tell of it once more"
    finally:
        api.patch("/v1/phone-settings", json={"webhook_delivery": "server"})


def phone_key(phone: Terminal) -> str:
    """The key that the app shows under its settings."""
    return str(phone.wait_for("registered")["fields"]["signing_key"])


def test_an_encrypted_message_is_opened_by_the_phone_alone(
    server: Server, api: httpx.Client, phone: Terminal
) -> None:
    encryptor = original.Encryptor(PASSPHRASE, iterations=1_000)
    with opened(server, encryptor=encryptor) as library:
        accepted = library.send(text("A secret", id="encrypted"))
        assert followed(library, accepted.id)[-1] is ProcessState.Delivered
        assert [r.phone_number for r in library.get_state(accepted.id).recipients] == [NUMBER]
    kept = api.get("/v1/messages/encrypted").text
    assert "A secret" not in kept
    assert NUMBER not in kept
    wrong = original.Encryptor("another passphrase", iterations=1_000)
    with opened(server, encryptor=wrong) as library:
        accepted = library.send(text("A secret", id="encrypted-otherwise"))
        assert followed(library, accepted.id)[-1] is ProcessState.Failed
    failed = api.get("/3rdparty/v1/messages/encrypted-otherwise").json()
    assert failed["recipients"][0]["error"]


def test_what_comes_in_is_in_the_inbox_and_at_the_webhook_once(
    library: original.APIClient, api: httpx.Client, phone: Terminal, told: Receiver
) -> None:
    hook(library, told, WebhookEvent.SMS_RECEIVED)
    phone.type("+33700000002 Grüße aus dem Terminal 📱")
    [call] = told.wait_for(1)
    secret = api.get("/v1/webhook-secret").json()["secret"]
    assert is_signed(call, secret)
    payload = call.json["payload"]
    assert payload["message"] == "Grüße aus dem Terminal 📱"
    assert payload["sender"] == payload["phoneNumber"] == "+33700000002"
    assert datetime.fromisoformat(payload["receivedAt"]).tzinfo is not None
    device = phone.wait_for("connected")["device"]
    found = library.list_inbox_messages(inbox_filter=InboxQueryFilter(device_id=device))
    mine = [m for m in found if m.sender == "+33700000002"]
    assert [m.content_preview for m in mine] == ["Grüße aus dem Terminal 📱"]
    signed_id = int(mine[0].id.removeprefix("text:"))
    assert f"{signed_id % 2**32:x}" == payload["messageId"]


def test_a_killed_phone_goes_on_where_it_was_and_another_takes_what_it_never_had(
    tmp_path: Path,
) -> None:
    with start_server(tmp_path / "server") as server, client(server) as api:
        api.patch("/v1/phone-settings", json={"move_on_after_s": 5})
        slow = ("--send-ms", "400", "--deliver-ms", "100")
        with phone_of(server, tmp_path / "one"), opened(server) as library:
            with phone_of(server, tmp_path / "other", *slow) as other:
                device = other.wait_for("connected")["device"]
                ids = [library.send(text(f"n {n}", id=f"kill-{n}")).id for n in range(20)]
                other.wait_for("sent")
                other.kill()
            later = [library.send(text(f"n {n}", id=f"late-{n}")).id for n in range(10)]
            for message_id in later:
                assert followed(library, message_id)[-1] is ProcessState.Delivered
            with phone_of(server, tmp_path / "other", *slow) as other:
                assert other.wait_for("connected")["device"] == device, "it is the same phone"
                until(lambda: all(library.get_state(id_).state in OUT for id_ in ids), 60)
        attempts = [api.get(f"/v1/messages/{id_}/attempts").json()["items"] for id_ in ids]
        assert {len(tries) for tries in attempts} == {1}, "none was given to both"
