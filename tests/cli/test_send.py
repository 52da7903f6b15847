"""``textgate send`` and ``textgate events tail`` against a running server."""

import json
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from textgate_command import Command

from textgate.testing.server import Server, free_port, start_server

TAKEN, REFUSED = "+12025550101", "+12025550104"
"""Numbers whose last digit tells the simulator what to do."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("server")) as server:
        wanted = {"provider": "simulator", "name": "sim", "settings": {}}
        account = (server.login, server.password)
        answer = httpx.post(f"{server.url}/v1/channels", json=wanted, auth=account)
        assert answer.status_code == 201, answer.text
        yield server


@pytest.fixture
def client(textgate: Command, server: Server) -> Command:
    """The command as the server's account."""
    textgate.environ |= {
        "TEXTGATE_SERVER": server.url,
        "TEXTGATE_LOGIN": server.login,
        "TEXTGATE_PASSWORD": server.password,
    }
    return textgate


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_message_is_followed_until_it_is_sent(client: Command) -> None:
    done = client("send", TAKEN, "Hello", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    states = lines(done.stdout)
    assert {message["id"] for message in states} == {states[0]["id"]}
    assert states[0]["textMessage"] == {"text": "Hello"}
    assert states[-1]["state"] in ("Sent", "Delivered")


def test_in_a_pipe_it_prints_plain_lines(client: Command) -> None:
    done = client("send", TAKEN, "Hello", "--id", "plain-1", "--wait", FORCE_COLOR="1")
    assert done.stdout.startswith("plain-1  ")
    assert f"  {TAKEN}  " in done.stdout
    assert "\x1b" not in done.stdout


def test_a_refused_recipient_ends_with_1_and_its_reason(client: Command) -> None:
    done = client("send", TAKEN, REFUSED, "Hello", "--wait")
    assert done.returncode == 1
    assert done.stderr == "not every recipient could be reached\n"
    assert f"  {REFUSED}  Failed  " in done.stdout


def test_the_same_id_sends_once_and_another_text_under_it_is_refused(client: Command) -> None:
    words = ("send", TAKEN, "--id", "once-1", "--json")
    first, second = (lines(client(*words, "Hello").stdout)[0] for _ in range(2))
    assert first["id"] == second["id"] == "once-1"
    other = client(*words, "Bye")
    assert other.returncode == 1
    assert "refused (409)" in other.stderr


def test_the_text_may_come_from_standard_input(client: Command) -> None:
    done = client("send", TAKEN, "-", "--json", stdin="Two\nlines")
    assert lines(done.stdout)[0]["textMessage"] == {"text": "Two\nlines"}


def test_what_the_server_refuses_is_told_in_its_words(client: Command) -> None:
    done = client("send", "12", "Hello")
    assert done.returncode == 1
    assert "refused (400): " in done.stderr
    assert "no reason given" not in done.stderr
    done = client("send", TAKEN, "Hello", TEXTGATE_PASSWORD="wrong")
    assert done.returncode == 1
    assert "refused (401): " in done.stderr


@pytest.mark.parametrize("words", [("send", TAKEN, "Hello"), ("events", "tail")])
def test_a_server_that_is_not_there_ends_with_3(client: Command, words: tuple[str, ...]) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = client(*words, "--server", nowhere)
    assert done.returncode == 3
    assert done.stderr.startswith(f"{nowhere} cannot be reached: ")
    assert done.stderr.count("\n") == 1


def test_events_are_printed_oldest_first_and_can_be_taken_up_again(client: Command) -> None:
    sent = lines(client("send", TAKEN, "Hello", "--wait", "--json").stdout)[0]["id"]
    done = client("events", "tail", "--no-follow", "--json")
    assert done.returncode == 0, done.stderr
    events = lines(done.stdout)
    mine = [event["type"] for event in events if event["message_id"] == sent]
    assert mine[0] == "sms:sent"
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    rest = client("events", "tail", "--no-follow", "--json", "--after", events[0]["id"])
    assert lines(rest.stdout)[: len(events) - 1] == events[1:]


@pytest.mark.usefixtures("interruptible")
def test_events_are_printed_as_they_happen(client: Command) -> None:
    tail = client.start("events", "tail", "--after", "latest", "--json")
    assert tail.stdout is not None
    printed = threading.Thread(target=lambda: seen.append(tail.stdout.readline()))
    seen: list[str] = []
    printed.start()
    for _ in range(20):  # it may have asked what is latest only after a message; so send again
        lines(client("send", TAKEN, "News", "--json").stdout)
        printed.join(1)
        if seen:
            break
    else:
        pytest.fail("nothing was printed")
    assert json.loads(seen[0])["type"].startswith("sms:")
    tail.send_signal(signal.SIGINT)
    assert tail.wait(15) == 0


def test_the_doctor_knows_a_running_server(client: Command, server: Server) -> None:
    done = client("doctor", TEXTGATE_DATA=str(server.data), TEXTGATE_PORT=str(server.port))
    assert done.returncode == 0, done.stdout
    assert f"ok    port: a Textgate answers on 127.0.0.1:{server.port}, and is well" in done.stdout
    assert "is current" in done.stdout
