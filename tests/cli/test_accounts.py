"""``textgate account``: on the data folder, with and without a server running on it."""

import json
import time

import httpx
import pytest
from textgate_command import Command

from textgate.testing.server import Server, start_server

PATIENCE_S = 5.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with start_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def beside(textgate: Command, server: Server) -> Command:
    """The command on the data of a running server."""
    textgate.environ |= {"TEXTGATE_DATA": str(server.data)}
    return textgate


def may(server: Server, login: str, password: str) -> bool:
    answer = httpx.get(f"{server.url}/3rdparty/v1/devices", auth=(login, password))
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def ends(server: Server, login: str, password: str) -> bool:
    """Whether they are soon refused: a server looks again after a second at what it knows."""
    until = time.monotonic() + PATIENCE_S
    while may(server, login, password):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_an_account_lives_and_ends_beside_a_running_server(beside: Command, server: Server) -> None:
    made = json.loads(beside("account", "add", "--json").stdout)
    assert made.keys() == {"login", "password"}
    assert may(server, **made)

    listed = beside("account", "list", "--json").stdout.splitlines()
    logins = [json.loads(line)["login"] for line in listed]
    assert {server.login, made["login"]} <= set(logins)

    changed = json.loads(beside("account", "password", made["login"], "--json").stdout)
    assert changed["login"] == made["login"]
    assert may(server, **changed)
    assert ends(server, **made)

    with httpx.Client(base_url=server.url, auth=(made["login"], changed["password"])) as api:
        channel = {"provider": "simulator", "name": "sim", "settings": {}}
        assert api.post("/v1/channels", json=channel).status_code == 201
        message = {"textMessage": {"text": "Hello"}, "phoneNumbers": ["+12025550101"]}
        assert api.post("/3rdparty/v1/messages", json=message).status_code == 202

    removed = beside("account", "remove", made["login"], "--yes")
    assert (removed.returncode, removed.stdout) == (0, f"removed {made['login']}\n")
    assert ends(server, **changed)
    refused = httpx.post(
        f"{server.url}/3rdparty/v1/messages",
        json=message,
        auth=(changed["login"], changed["password"]),
    )
    assert refused.status_code == 401
    assert may(server, server.login, server.password)


def test_a_password_may_be_given_on_standard_input(beside: Command, server: Server) -> None:
    made = json.loads(beside("account", "add", "--json").stdout)
    given = "a-password-of-my-own"
    done = beside("account", "password", made["login"], "--stdin", stdin=f"{given}\n")
    assert done.returncode == 0, done.stderr
    assert may(server, made["login"], given)


def test_without_a_server_the_account_is_there_at_the_next_start(textgate: Command) -> None:
    made = textgate("account", "add", "--login", "OFFICE", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["login"] == "OFFICE"
    again = textgate("account", "add", "--login", "OFFICE")
    assert again.returncode == 1
    assert "OFFICE" in again.stderr
    assert "Traceback" not in again.stderr
    listed = textgate("account", "list").stdout
    assert listed.startswith("OFFICE\t20")
    assert listed.count("\n") == 1


@pytest.mark.parametrize("words", ["password NOBODY", "remove NOBODY", "remove NOBODY --yes"])
def test_an_account_that_does_not_exist_is_told(textgate: Command, words: str) -> None:
    done = textgate("account", *words.split())
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "there is no account NOBODY" in done.stderr


def test_an_account_is_not_removed_when_nobody_can_be_asked(textgate: Command) -> None:
    textgate("account", "add", "--login", "OFFICE")
    done = textgate("account", "remove", "OFFICE")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert textgate("account", "list").stdout.startswith("OFFICE\t")
