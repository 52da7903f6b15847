"""``textgate phone-code``: what a phone needs to join, from a running server."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from textgate_command import Command

from textgate.domain import qr
from textgate.domain.pairing import read_pairing_text
from textgate.testing.server import Server, free_port, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("server")) as server:
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


def test_it_prints_what_the_app_asks_for_and_a_phone_joins_with_it(
    client: Command, server: Server
) -> None:
    done = client("phone-code", FORCE_COLOR="1")
    assert done.returncode == 0, done.stderr
    told = dict(line.split("  ", 1) for line in done.stdout.splitlines()[:3])
    url, code = told["server address"].strip(), told["one-time code"].strip()
    assert url == f"{server.url}/api/mobile/v1"
    assert "No phone reaches this address" in done.stdout  # it is of this machine
    assert done.stdout.endswith(qr.blocks(f"{url}#code={code}") + "\n")
    assert "\x1b" not in done.stdout
    joined = httpx.post(f"{url}/device", json={}, headers={"Authorization": f"Code {code}"})
    assert joined.status_code == 201
    assert joined.json()["login"] == server.login


def test_the_qr_code_is_written_as_a_picture(client: Command, server: Server) -> None:
    done = client("phone-code", "--json", "--png", "code.png", "--svg", "code.svg")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    invited = read_pairing_text(made["qr"]["text"])
    assert (invited.server_url, invited.code) == (made["server_url"], made["code"])
    picture = (client.folder / "code.png").read_bytes()
    assert picture == base64.b64decode(made["qr"]["png_base64"]) == qr.png(made["qr"]["text"])
    assert (client.folder / "code.svg").read_text("utf-8") == made["qr"]["svg"]


def test_a_file_that_cannot_be_written_ends_with_1(client: Command) -> None:
    done = client("phone-code", "--png", str(Path("no-such-folder") / "code.png"))
    assert done.returncode == 1
    assert done.stderr == "no-such-folder/code.png cannot be written: No such file or directory\n"


def test_a_wrong_password_ends_with_1_and_nobody_there_with_3(client: Command) -> None:
    refused = client("phone-code", "--password", "wrong-password")
    assert refused.returncode == 1
    assert "refused (401)" in refused.stderr
    nobody = client("phone-code", "--server", f"http://127.0.0.1:{free_port()}")
    assert nobody.returncode == 3
    assert nobody.stdout == ""
