"""``textgate phone`` against a running server."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from textgate_command import Command

from textgate.testing.receiver import Answer, Receiver
from textgate.testing.server import Credentials, Server, free_port, start_server

NUMBER = "+12025550101"
QUICK = ("--send-ms", "10-20", "--deliver-ms", "10-20")
WAIT_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def account(server: Server) -> Credentials:
    """Each test has an account of its own."""
    return server.add_account()


@pytest.fixture
def api(server: Server, account: Credentials) -> Iterator[httpx.Client]:
    """The server as its user sees it."""
    auth = (account.login, account.password)
    with httpx.Client(base_url=server.url, auth=auth, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def phone(textgate: Command, server: Server, account: Credentials) -> Command:
    """The command as the test's account."""
    textgate.environ |= {
        "TEXTGATE_SERVER": server.url,
        "TEXTGATE_LOGIN": account.login,
        "TEXTGATE_PASSWORD": account.password,
    }
    return textgate


def send(api: httpx.Client, text: str = "Hello", **more: Any) -> str:
    wanted = {"textMessage": {"text": text}, "phoneNumbers": [NUMBER], **more}
    answer = api.post("/3rdparty/v1/messages", json=wanted)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def state_of(api: httpx.Client, message_id: str) -> str:
    return str(api.get(f"/3rdparty/v1/messages/{message_id}").json()["state"])


def until(holds: Callable[[], Any], what: str) -> Any:
    ends = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < ends, what
        time.sleep(0.02)
    return found


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def line_of(process: "subprocess.Popen[str]", kind: str) -> Any:
    """Read on up to a line of this kind."""
    assert process.stdout is not None
    patience = threading.Timer(WAIT_S, process.kill)
    patience.start()
    try:
        for text in process.stdout:
            found = json.loads(text)
            if found["kind"] == kind:
                return found
    finally:
        patience.cancel()
    return pytest.fail(f"it ended, or had to be ended, without {kind}")


def test_it_sends_what_is_in_its_queue_and_ends_when_nothing_is_left(
    phone: Command, api: httpx.Client
) -> None:
    assert phone("phone", "--until-idle", "0.5", "--quiet").returncode == 0
    ids = [send(api, f"Number {n}") for n in range(3)]
    done = phone("phone", *QUICK, "--until-idle", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert [state_of(api, message_id) for message_id in ids] == ["Delivered"] * 3
    told = lines(done.stdout)
    members = ["at", "phone", "device", "kind", "text", "message", "fields"]
    assert all(list(line) == members for line in told)
    assert sorted(t["message"] for t in told if t["kind"] == "delivered") == sorted(ids)
    assert not [line for line in told if line["kind"] == "registered"]


def test_what_only_a_person_should_see_is_shown_once(phone: Command, tmp_path: Path) -> None:
    with start_server(tmp_path / "public", environ={"TEXTGATE_MODE": "public"}) as public:
        words = ("phone", "--server", public.url, "--until-idle", "0.3")
        empty = {"TEXTGATE_LOGIN": "", "TEXTGATE_PASSWORD": ""}
        first = phone(*words, "--json", **empty)
        assert first.returncode == 0, first.stderr
        [fields] = [t["fields"] for t in lines(first.stdout) if t["kind"] == "registered"]
        assert list(fields) == ["server", "login", "password", "signing_key"]
        account = (fields["login"], fields["password"])
        listed = httpx.get(f"{public.url}/3rdparty/v1/devices", auth=account, trust_env=False)
        assert len(listed.json()) == 1
        again = phone(*words, "--json", **empty)
        assert "password" not in again.stdout
        assert fields["signing_key"] not in again.stdout


def test_killed_and_started_again_it_goes_on(phone: Command, api: httpx.Client) -> None:
    slow = ("phone", "--send-ms", "2000", "--deliver-ms", "10", "--json")
    first = phone.start(*slow)
    line_of(first, "connected")
    ids = [send(api, f"Number {n}") for n in range(3)]
    line_of(first, "processed")
    first.kill()
    first.wait()
    again = phone("phone", *QUICK, "--json", "--until-idle", "2")
    assert again.returncode == 0, again.stderr
    assert [state_of(api, message_id) for message_id in ids] == ["Delivered"] * 3
    sent = [t["message"] for t in lines(again.stdout) if t["kind"] == "sent"]
    assert len(sent) == len(set(sent)), "nothing is sent twice"


def test_a_webhook_call_that_a_kill_interrupts_is_made_again(
    phone: Command, api: httpx.Client
) -> None:
    policy = {"webhook_delivery": "phone"}
    assert api.patch("/v1/phone-settings", json=policy).status_code == 200
    (phone.folder / "in.txt").write_text("+12025550199\tHello\n")
    with Receiver(Answer(delay_s=60)) as receiver:
        wanted = {"event": "sms:received", "url": receiver.url}
        assert api.post("/3rdparty/v1/webhooks", json=wanted).is_success
        assert phone("phone", "--until-idle", "0.5").returncode == 0  # it knows the webhook now
        first = phone.start("phone", "--json", "--incoming", "in.txt")
        receiver.wait_for(1)
        first.kill()
        first.wait()
        again = phone("phone", "--until-idle", "1")
        assert again.returncode == 0, again.stderr
        calls = receiver.wait_for(2)
    assert [call.json["event"] for call in calls] == ["sms:received"] * 2
    assert len({call.json["id"] for call in calls}) == 1


def test_messages_come_in_from_a_file_on_several_phones(phone: Command, api: httpx.Client) -> None:
    script = "".join(f"+1202555{n:04}\tText {n}\n" for n in range(20))
    script += json.dumps({"sender": "+12025559999", "text": "Third", "phone": 3}) + "\n"
    (phone.folder / "in.txt").write_text(script)
    words = ("--count", "3", "--incoming", "in.txt", "--until-idle", "1.5", "--json")
    done = phone("phone", *words)
    assert done.returncode == 0, done.stderr
    received = [t["phone"] for t in lines(done.stdout) if t["kind"] == "received"]
    assert [received.count(n) for n in (1, 2, 3)] == [7, 7, 7]
    answer = api.get("/3rdparty/v1/inbox", params={"limit": 100})
    assert len(answer.json()) == 21
    assert len({message["deviceId"] for message in answer.json()}) == 3


def test_twenty_phones_share_the_work(phone: Command, api: httpx.Client) -> None:
    running = phone.start("phone", *QUICK, "--count", "20", "--json")
    assert running.stdout is not None
    connected: set[int] = set()
    while len(connected) < 20:
        connected.add(line_of(running, "connected")["phone"])
    ids = [send(api, f"Number {n}") for n in range(40)]
    until(lambda: all(state_of(api, i) == "Delivered" for i in ids), "all were delivered")
    listed = api.get("/3rdparty/v1/messages", params={"limit": 100}).json()
    assert len({message["deviceId"] for message in listed}) >= 10
    running.terminate()
    assert running.wait(15) == 0


def test_what_is_typed_comes_in(phone: Command, api: httpx.Client) -> None:
    typed = "+12025550199 Hello there\n/battery 7\n/ping\nnonsense\n"
    done = phone("phone", "--until-idle", "1.5", "--json", stdin=typed)
    assert done.returncode == 0, done.stderr
    told = lines(done.stdout)
    assert [t["text"] for t in told if t["kind"] == "received"] == ["SMS from +12…99"]
    assert [t["text"] for t in told if t["kind"] == "ping"] == ["ping: fail, battery 7 %"]


def test_a_code_says_where_the_server_is(
    textgate: Command, phone: Command, server: Server, api: httpx.Client
) -> None:
    code = api.post("/v1/devices/pairing").json()
    for name in ("TEXTGATE_LOGIN", "TEXTGATE_PASSWORD", "TEXTGATE_SERVER"):
        phone.environ.pop(name)
    text = f"{server.url}/api/mobile/v1#code={code['code'].upper()}"
    done = phone("phone", "--code", text, "--until-idle", "0.3", "--json")
    assert done.returncode == 0, done.stderr
    assert [t["kind"] for t in lines(done.stdout)].count("registered") == 1
    assert len(api.get("/3rdparty/v1/devices").json()) == 1
    spent = phone("phone", "--code", text, "--data", "other", "--until-idle", "0.3")
    assert spent.returncode == 1
    assert spent.stderr.startswith("the server refused the phone: ")


def test_encrypted_messages_need_the_passphrase(phone: Command, api: httpx.Client) -> None:
    running = phone.start("phone", *QUICK, "--json", TEXTGATE_PASSPHRASE="open sesame")
    line_of(running, "connected")
    words = ("send", NUMBER, "Secret", "--json")
    done = phone(*words, TEXTGATE_PASSPHRASE="open sesame")
    assert done.returncode == 0, done.stderr
    wrong = phone(*words, TEXTGATE_PASSPHRASE="something else")
    good, bad = (lines(each.stdout)[0]["id"] for each in (done, wrong))
    until(lambda: state_of(api, good) == "Delivered", "it was opened")
    until(lambda: state_of(api, bad) == "Failed", "it was not")
    reason = api.get(f"/3rdparty/v1/messages/{bad}").json()["recipients"][0]["error"]
    assert reason.startswith("Can't send message: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--code", "k7mq2x", "--count", "2"), "one-time code is for one phone"),
        (("--code", "nonsense"), "--code: "),
        (("--offline", "soon"), "--offline 'soon'"),
        (("--send-ms", "9-3"), "--send-ms '9-3'"),
        (("--server", "http://192.0.2.1"), "by https only"),
        (("--server", "ftp://127.0.0.1"), "http"),
        (("--local", "--count", "2"), "--local is one phone"),
        (("--local", "--shuffle-reports"), "no --shuffle-reports"),
        (("--local", "--server", "http://127.0.0.1:1"), "no --server"),
        (("--local", "--password", "short"), "a password has"),
        (("--host", "127.0.0.1"), "--host is for --local alone"),
        (("--incoming", "nowhere.txt"), "--incoming nowhere.txt: there is no such file"),
        (("--incoming", "."), "--incoming .: there is no such file"),
        (("--ca-file", "nowhere.pem"), "nowhere.pem"),
        (("--allow-addresses", "10.0.0.0/99"), "--allow-addresses: "),
    ],
)
def test_wrong_usage_is_told_in_one_line(phone: Command, words: tuple[str, ...], said: str) -> None:
    done = phone("phone", *words, "--for", "5", "--quiet")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_line_of_a_file_is_named(phone: Command) -> None:
    (phone.folder / "in.txt").write_text('+1202555\tHi\n{"text": 7}\n')
    done = phone("phone", "--incoming", "in.txt", "--for", "10", "--quiet")
    assert done.returncode == 2
    assert done.stderr.startswith("in.txt, line 2: ")


def test_who_stops_reading_ends_it(phone: Command) -> None:
    running = phone.start("phone", "--json")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(15) == 1
    assert "Traceback" not in running.stderr.read()


def test_a_full_disk_below_its_output_is_told_in_one_line(phone: Command) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            phone._words(("phone", "--json")),
            cwd=phone.folder,
            env=phone._environ({}),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode != 0
    assert done.stderr.startswith("standard output: No space left on device\n")
    assert "Traceback" not in done.stderr


def test_without_a_server_it_ends_with_3(phone: Command) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = phone("phone", "--server", nowhere, "--for", "1", "--quiet")
    assert done.returncode == 3
    assert done.stderr.startswith("no phone came to its server: 127.0.0.1:")


def test_two_cannot_have_the_same_folder(phone: Command) -> None:
    running = phone.start("phone", "--json")
    line_of(running, "connected")
    done = phone("phone", "--for", "2", "--quiet")
    assert done.returncode == 1
    assert "another textgate" in done.stderr


def test_local_mode_needs_no_server(textgate: Command) -> None:
    textgate.environ["TEXTGATE_LOGIN"] = "somebody"  # of a server's account: none of its business
    running = textgate.start("phone", "--local", "--port", "0", "--json", *QUICK)
    fields = line_of(running, "answering")["fields"]
    assert fields["login"] == "sms"
    api = httpx.Client(
        base_url=fields["server"], auth=(fields["login"], fields["password"]), trust_env=False
    )
    with api:
        wanted = {"textMessage": {"text": "Hi"}, "phoneNumbers": ["+12025550101"]}
        answer = api.post("/message", json=wanted)
        assert answer.status_code == 202, answer.text
        until(
            lambda: api.get(f"/message/{answer.json()['id']}").json()["state"] == "Delivered",
            "it was delivered",
        )
    running.send_signal(signal.SIGTERM)
    assert running.wait(15) == 0


def test_a_local_phone_says_at_each_start_what_its_webhooks_are_signed_with(
    textgate: Command,
) -> None:
    words = ("phone", "--local", "--port", "0", "--for", "1")
    first, again = textgate(*words), textgate(*words)
    [password] = [line for line in first.stdout.splitlines() if "password" in line]
    assert password.endswith("(shown this once)")
    assert "password" not in again.stdout
    keys = [line for each in (first, again) for line in each.stdout.splitlines() if "key" in line]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert "once" not in keys[0]


def test_a_local_phone_loses_its_network_too(textgate: Command) -> None:
    words = ("phone", "--local", "--port", "0", "--for", "2", "--offline", "0.5@0.2", "--json")
    done = textgate(*words)
    assert done.returncode == 0, done.stderr
    up = [t["fields"]["up"] for t in lines(done.stdout) if t["kind"] == "network"]
    assert up == [False, True]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_a_person_sees_a_screen_and_ends_it_with_ctrl_c(
    phone: Command, api: httpx.Client, terminal: str
) -> None:
    environ = phone._environ({"TERM": terminal, "COLUMNS": "110", "LINES": "30"})
    child, ours = pty.fork()
    if child == 0:
        os.chdir(phone.folder)
        os.execve(sys.executable, [sys.executable, "-m", "textgate", "phone", *QUICK], environ)
    shown = ""

    def sees(pattern: str) -> None:
        nonlocal shown
        ends = time.monotonic() + WAIT_S
        while not re.search(pattern, shown):
            assert time.monotonic() < ends, shown[-3_000:]
            shown += os.read(ours, 65_536).decode(errors="replace")

    try:
        sees("the event stream is open")
        os.write(ours, "+12025550199 Grüezi\r".encode())
        sees(r"SMS from \+12…99")
        send(api)
        sees(r"delivered to \+12…01")
        os.write(ours, b"\x03")
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert ("\x1b[" in shown) == (terminal != "dumb")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.close(ours)
