"""How a phone gets to its server: registered once, announced at each start (A §3.1)."""

from pathlib import Path

import pytest
from phone_world import Mock, member_of, phones, said
from phone_world import api_of as server_api

from textgate.domain.errors import Invalid
from textgate.phone.cloud import server_base
from textgate.phone.sign_in import Refused, SignIn
from textgate.testing.receiver import Answer, Receiver
from textgate.testing.server import free_port, start_server

TOKEN = "a private token for phones"


async def test_it_registers_once_and_says_that_it_is_there_at_each_start(tmp_path: Path) -> None:
    with Receiver(choose=Mock()) as server:
        async with phones(tmp_path, f"{server.url}/m", sign_in=SignIn(private_token=TOKEN)) as one:
            await one.until(lambda: one.kinds("registered"))
            await one.until(lambda: any(c.path == "/m/settings" for c in server.calls))
        registered = server.calls[0]
        assert (registered.method, registered.path) == ("POST", "/m/device")
        assert registered.headers["Authorization"] == f"Bearer {TOKEN}"
        assert registered.headers["User-Agent"] == "me.capcom.smsgateway/1.68.0"
        assert registered.json["name"] == "Textgate/Terminal"
        assert registered.json["simCards"][0]["phoneNumber"] == "********0001"
        server.clear()
        async with phones(tmp_path, f"{server.url}/m") as one:
            await one.until(lambda: any(c.path == "/m/settings" for c in server.calls))
            assert not one.kinds("registered")
        assert (server.calls[0].method, server.calls[0].path) == ("PATCH", "/m/device")
        assert server.calls[0].json["id"] == "d" * 21
        assert server.calls[0].headers["Authorization"] == "Bearer " + "t" * 21
        streams = [call for call in server.calls if call.path == "/m/events"]
        assert {call.headers["User-Agent"] for call in streams} == {"okhttp/4.12.0"}


async def test_what_the_server_told_is_nowhere_to_be_read(tmp_path: Path) -> None:
    secrets = {"id": "i" * 21, "token": "tokentokentoken", "login": "A", "password": "passpasspass"}
    mock = Mock(answers={"POST /m/device": [said(secrets)]})
    with Receiver(choose=mock) as server:
        async with phones(tmp_path, f"{server.url}/m") as one:
            await one.until(lambda: one.kinds("registered"))
            assert one.cloud.to_show(1)["password"] == "passpasspass"
            assert len(one.cloud.to_show(1)["signing_key"]) == 8
            key = one.cloud.to_show(1)["signing_key"]
            shown = "".join(repr(told) for told in one.told)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for secret in ("tokentokentoken", "passpasspass", key):
        assert secret.encode() not in kept
        assert secret not in shown


async def test_a_passing_fault_makes_it_wait_and_never_register_anew(tmp_path: Path) -> None:
    mock = Mock()
    with Receiver(choose=mock) as server:
        async with phones(tmp_path, f"{server.url}/m") as one:
            await one.until(lambda: one.kinds("registered"))
        server.clear()
        mock.answers["PATCH /m/device"] = [Answer(500), Answer(503), Answer(403), Answer(drop=True)]
        async with phones(tmp_path, f"{server.url}/m") as one:
            await one.until(lambda: any(c.path == "/m/settings" for c in server.calls))
            waits = [t.happening.fields["again_s"] for t in one.kinds("trouble")]
        assert waits[:4] == [10, 20, 40, 80]
        assert all(c.path != "/m/device" or c.method == "PATCH" for c in server.calls)


async def test_a_phone_that_the_server_forgot_registers_anew_by_itself(tmp_path: Path) -> None:
    """Without the code or the password of a person: anonymously, with the private token."""
    mock = Mock()
    how = SignIn(private_token=TOKEN, login="A", password="p")
    with Receiver(choose=mock) as server:
        async with phones(tmp_path, f"{server.url}/m", sign_in=how) as one:
            await one.until(lambda: one.kinds("registered"))
        assert server.calls[0].headers["Authorization"].startswith("Basic ")
        server.clear()
        mock.answers["PATCH /m/device"] = [Answer(401)]
        anew = {"id": "n" * 21, "token": "u" * 21, "login": "B", "password": "q"}
        mock.answers["POST /m/device"] = [Answer(500), said(anew)]
        async with phones(tmp_path, f"{server.url}/m", sign_in=how) as one:
            await one.until(lambda: one.kinds("registered"))
            assert one.id == "n" * 21
            devices = await one.read(lambda tx, account: tx.devices.all(account))
            assert [device.id for device in devices] == ["n" * 21]
            [told, _] = [t.happening.text for t in one.kinds("trouble")]
            assert told.startswith("the server knows this phone no more")
        posted = [call for call in server.calls if call.method == "POST"]
        assert [c.headers["Authorization"] for c in posted] == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (SignIn(code="k7mq2x"), "the code is not needed"),
        (SignIn(login="B", password="p"), "account B is not joined"),
        (SignIn(login="a", password="p"), None),
    ],
)
async def test_a_phone_that_is_registered_says_what_it_does_not_need(
    tmp_path: Path, how: SignIn, said: str | None
) -> None:
    with Receiver(choose=Mock()) as server:
        async with phones(tmp_path, f"{server.url}/m") as one:
            await one.until(lambda: one.kinds("registered"))
        server.clear()
        async with phones(tmp_path, f"{server.url}/m", sign_in=how) as one:
            await one.until(lambda: any(c.path == "/m/settings" for c in server.calls))
            told = [t.happening.text for t in one.kinds("trouble")]
        assert [c.method for c in server.calls if c.path == "/m/device"] == ["PATCH"]
    mine = [text for text in told if "of account A already" in text]
    assert [text.partition(":")[0] for text in mine] == ([said] if said else [])


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a_refusal_of_what_a_person_gave_is_told(tmp_path: Path, status: int) -> None:
    body = b'{"message":"no such code"}'
    mock = Mock(answers={"POST /m/device": [Answer(status, body=body)]})
    with Receiver(choose=mock) as server, pytest.raises(Refused, match="no such code"):
        async with phones(tmp_path, f"{server.url}/m", sign_in=SignIn(code="k7mq2x")) as one:
            await one.task
    assert server.calls[0].headers["Authorization"] == "Code k7mq2x"


async def test_it_waits_for_a_server_that_is_not_there_yet(tmp_path: Path) -> None:
    port = free_port()
    async with phones(tmp_path / "phone", f"http://127.0.0.1:{port}") as one:
        await one.until(lambda: one.kinds("trouble"))
        with start_server(tmp_path / "server", port=port, environ={"TEXTGATE_MODE": "public"}):
            await one.connected()


async def test_with_the_password_of_an_account_it_joins_that_account(tmp_path: Path) -> None:
    with start_server(tmp_path / "server") as server:
        async with (
            phones(tmp_path / "phone", server.url, sign_in=member_of(server), count=3) as three,
            server_api(server) as api,
        ):
            await three.connected(3)
            listed = (await api.http.get("/3rdparty/v1/devices")).json()
            names = sorted(device["name"] for device in listed)
            assert names == ["Textgate/Terminal", "Textgate/Terminal 2", "Textgate/Terminal 3"]
            assert "password" not in three.cloud.to_show(1)


async def test_several_phones_without_an_account_share_the_one_that_the_first_makes(
    tmp_path: Path,
) -> None:
    with start_server(tmp_path / "server", environ={"TEXTGATE_MODE": "public"}) as server:
        async with phones(tmp_path / "phone", server.url, count=3) as three:
            await three.connected(3)
            logins = {three.cloud.to_show(n)["login"] for n in (1, 2, 3)}
            assert len(logins) == 1


def test_an_address_without_a_path_is_that_of_a_textgate() -> None:
    assert server_base("https://sms.example", insecure=False) == "https://sms.example/api/mobile/v1"
    whole = "https://api.sms-gate.app/mobile/v1"
    assert server_base(f"{whole}/", insecure=False) == whole
    assert server_base("http://127.0.0.1:8080", insecure=False).startswith("http://127.0.0.1:8080/")


def test_the_app_calls_other_machines_by_https_only() -> None:
    with pytest.raises(Invalid, match="by https only"):
        server_base("http://192.0.2.7:8080", insecure=False)
    assert server_base("http://192.0.2.7:8080", insecure=True) == (
        "http://192.0.2.7:8080/api/mobile/v1"
    )
