"""``textgate listen``: real webhook calls, signed by us and by the standard's own library."""

import json
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from textgate_command import Command

from textgate.domain.signing import (
    standard_webhooks,
    standard_webhooks_secret,
    timestamped_hex,
)

SECRET = "a-secret-of-the-account"
BODY = json.dumps({"id": "Ev7hD0kQm2nB5vC8xZ1lP", "event": "sms:sent", "payload": {}}).encode()


class Listener:
    """A started ``listen --json``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self.next()["url"]

    def next(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.stderr and self._process.stderr.read()
        return json.loads(line)

    def end(self) -> int:
        return self._process.wait(15)


def listening(textgate: Command, *words: str, secret: str | None = SECRET) -> Listener:
    secrets = ("--secret", secret) if secret else ()
    return Listener(textgate.start("listen", "--json", *secrets, *words))


def signed(secret: str = SECRET, body: bytes = BODY, at: int | None = None) -> dict[str, str]:
    """The headers of a call as the server makes it."""
    at = int(time.time()) if at is None else at
    return {
        "Content-Type": "application/json",
        "X-Timestamp": str(at),
        "X-Signature": timestamped_hex(secret, body, at),
        "webhook-id": "Ev7hD0kQm2nB5vC8xZ1lP",
        "webhook-timestamp": str(at),
        "webhook-signature": standard_webhooks(secret, "Ev7hD0kQm2nB5vC8xZ1lP", at, body),
    }


def test_a_genuine_call_is_printed_and_both_signatures_hold(textgate: Command) -> None:
    listener = listening(textgate, "--count", "1")
    assert httpx.post(listener.url + "hook?a=b", content=BODY, headers=signed()).status_code == 200
    call = listener.next()
    assert call["signatures"] == {"x_signature": "ok", "standard_webhooks": "ok"}
    assert (call["event"], call["id"]) == ("sms:sent", "Ev7hD0kQm2nB5vC8xZ1lP")
    assert (call["path"], call["answered"]) == ("/hook?a=b", 200)
    assert call["body"] == json.loads(BODY)
    assert listener.end() == 0


def test_a_signature_of_the_standards_own_library_holds(textgate: Command) -> None:
    listener = listening(textgate, "--count", "2", secret=standard_webhooks_secret(SECRET))
    now = datetime.now(UTC)
    signature = Webhook(standard_webhooks_secret(SECRET)).sign("event-1", now, BODY.decode())
    standard = {
        "webhook-id": "event-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v1,bm90IHRoaXMgb25l {signature}",
    }
    httpx.post(listener.url, content=BODY, headers=standard)
    assert listener.next()["signatures"] == {"x_signature": "missing", "standard_webhooks": "ok"}
    httpx.post(listener.url, content=BODY, headers=signed() | standard)
    assert listener.next()["signatures"] == {"x_signature": "ok", "standard_webhooks": "ok"}
    assert listener.end() == 1, "a call without one of the signatures was among them"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (signed("another-secret"), "bad"),
        (signed(body=BODY + b" "), "bad"),
        (signed(at=int(time.time()) - 3600), "stale"),
        (signed() | {"X-Timestamp": "now", "webhook-timestamp": "now"}, "bad"),
        ({}, "missing"),
    ],
    ids=["another secret", "another body", "old", "no time", "no signature"],
)
def test_a_call_that_is_not_genuine_is_told_and_ends_with_1(
    textgate: Command, headers: dict[str, str], found: str
) -> None:
    listener = listening(textgate, "--count", "1")
    httpx.post(listener.url, content=BODY, headers=headers)
    assert listener.next()["signatures"] == {"x_signature": found, "standard_webhooks": found}
    assert listener.end() == 1


def test_during_a_rotation_either_secret_is_good(textgate: Command) -> None:
    listener = listening(textgate, "--count", "2", "--secret", "the-new-one")
    for secret in (SECRET, "the-new-one"):
        httpx.post(listener.url, content=BODY, headers=signed(secret))
        assert set(listener.next()["signatures"].values()) == {"ok"}
    assert listener.end() == 0


def test_without_a_secret_nothing_is_checked(textgate: Command) -> None:
    listener = listening(textgate, "--count", "1", secret=None)
    httpx.post(listener.url, content=b"not JSON", headers=signed())
    call = listener.next()
    assert set(call["signatures"].values()) == {"unchecked"}
    assert (call["body"], call["event"]) == ("not JSON", None)
    assert listener.end() == 0


def test_failures_can_be_tried(textgate: Command) -> None:
    words = ("--answer", "500,503,204", "--delay", "0.2", "--count", "4")
    listener = listening(textgate, *words, secret=None)
    began = time.monotonic()
    answers = [httpx.post(listener.url, content=BODY).status_code for _ in range(4)]
    assert answers == [500, 503, 204, 204]
    assert time.monotonic() - began >= 0.8
    assert [listener.next()["answered"] for _ in range(4)] == answers
    assert listener.end() == 0


def test_too_few_calls_in_time_end_with_1(textgate: Command) -> None:
    done = textgate("listen", "--count", "3", "--timeout", "0.3")
    assert done.returncode == 1
    assert done.stderr == "0 of 3 calls came in time\n"
    assert done.stdout.startswith("listening on http://127.0.0.1:")


def test_a_body_that_is_too_large_is_refused_and_not_kept(textgate: Command) -> None:
    listener = listening(textgate, "--count", "1", secret=None)
    with httpx.Client() as client:
        assert client.post(listener.url, content=bytes(9 * 1024 * 1024)).status_code == 413
        assert client.post(listener.url, content=BODY).status_code == 200
    assert listener.next()["body"] == json.loads(BODY)
    assert listener.end() == 0


def test_a_port_that_is_taken_is_told(textgate: Command) -> None:
    listener = listening(textgate, secret=None)
    port = listener.url.rstrip("/").rpartition(":")[2]
    done = textgate("listen", "--port", port)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_what_a_caller_sends_cannot_steer_the_terminal(textgate: Command) -> None:
    process = textgate.start("listen", "--count", "1")
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    httpx.post(url, content="\x1b[2Jcleared \x9b31m".encode())
    said, _ = process.communicate(timeout=15)
    assert "\\x1b[2Jcleared \\x9b31m" in said
    assert "\x1b" not in said
    assert "\x9b" not in said


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_is_a_good_end(textgate: Command) -> None:
    process = textgate.start("listen")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0


def test_a_stale_call_is_one_older_than_five_minutes(textgate: Command) -> None:
    listener = listening(textgate, "--count", "2")
    for age, found in ((timedelta(minutes=4), "ok"), (timedelta(minutes=6), "stale")):
        at = int((datetime.now(UTC) - age).timestamp())
        httpx.post(listener.url, content=BODY, headers=signed(at=at))
        assert set(listener.next()["signatures"].values()) == {found}
    assert listener.end() == 1
