"""``textgate send --passphrase``: what the phone gets, what the server sees, what is printed."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from android_sms_gateway import Encryptor
from textgate_command import Command

from textgate.testing.server import Server, start_server

ONE, OTHER = "+12025550101", "+12025550102"
PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def phone(server: Server) -> Iterator[httpx.Client]:
    """A phone of the account, on the API that phones use."""
    with httpx.Client(base_url=server.url, trust_env=False) as line:
        who = (server.login, server.password)
        said = line.post("/mobile/v1/device", json={"name": "test"}, auth=who).json()
        line.headers["Authorization"] = f"Bearer {said['token']}"
        yield line
        line.delete(f"/3rdparty/v1/devices/{said['id']}", auth=who)


@pytest.fixture
def client(textgate: Command, server: Server) -> Command:
    textgate.environ |= {
        "TEXTGATE_SERVER": server.url,
        "TEXTGATE_LOGIN": server.login,
        "TEXTGATE_PASSWORD": server.password,
    }
    return textgate


def queued(phone: httpx.Client) -> dict[str, Any]:
    """Return the one message that waits for the phone, once there is one."""
    for _ in range(200):
        found: list[dict[str, Any]] = phone.get("/mobile/v1/message").json()
        if found:
            [message] = found
            return message
        time.sleep(0.05)
    pytest.fail("nothing came into the queue")


def report(phone: httpx.Client, message: dict[str, Any], state: str) -> None:
    told = [{"phoneNumber": number, "state": state} for number in message["phoneNumbers"]]
    body = [{"id": message["id"], "state": state, "recipients": told}]
    assert phone.patch("/mobile/v1/message", json=body).status_code == 204


def test_the_phone_reads_it_the_server_cannot_and_its_numbers_are_shown(
    client: Command, phone: httpx.Client, server: Server
) -> None:
    words = ("send", ONE, OTHER, "Grüezi", "--id", "secret-1", "--wait", "--json")
    sending = client.start(*words, TEXTGATE_PASSPHRASE=PASSPHRASE)
    message = queued(phone)
    original = Encryptor(PASSPHRASE)
    assert message["isEncrypted"] is True
    assert original.decrypt(message["textMessage"]["text"]) == "Grüezi"
    assert [original.decrypt(number) for number in message["phoneNumbers"]] == [ONE, OTHER]
    assert len({*message["phoneNumbers"], message["textMessage"]["text"]}) == 3
    kept = httpx.get(
        f"{server.url}/v1/messages/secret-1", auth=(server.login, server.password)
    ).text
    assert not re.search(r"Gr.ezi|55501|correct", kept)
    report(phone, message, "Sent")
    printed, wrong = sending.communicate(timeout=20)
    assert (sending.returncode, wrong) == (0, "")
    first, *_, last = map(json.loads, printed.splitlines())
    for shown, state in ((first, "Pending"), (last, "Sent")):
        told = [(one["phoneNumber"], one["state"]) for one in shown["recipients"]]
        assert told == [(ONE, state), (OTHER, state)]
        assert shown["isEncrypted"] is True


def test_in_a_pipe_the_numbers_are_plain_too(client: Command, phone: httpx.Client) -> None:
    done = client("send", ONE, "Hello", "--id", "secret-2", "--passphrase", PASSPHRASE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"secret-2  Pending\n  {ONE}  Pending\n"
    report(phone, queued(phone), "Sent")
    again = client("send", ONE, "Hello", "--id", "secret-2", "--passphrase", PASSPHRASE)
    assert again.returncode == 1
    assert "refused (409)" in again.stderr


@pytest.mark.usefixtures("phone")
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(client: Command) -> None:
    done = client("send", ONE, "Hello", "--passphrase", "")
    assert (done.returncode, done.stderr) == (2, "the passphrase is empty\n")
    done = client("send", ONE, ONE, "Hello", "--passphrase", PASSPHRASE)
    assert (done.returncode, done.stderr) == (2, "a number is given twice\n")
