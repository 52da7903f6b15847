"""The guides are true: each block of shell, Python and Node in them is run."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from textgate.domain.event import EventType
from textgate.domain.retry import webhook_policy
from textgate.domain.signing import standard_webhooks_secret
from textgate.engine.notify import sign
from textgate.testing.receiver import Receiver
from textgate.testing.server import Server, start_server

DOCS = Path(__file__).parents[2] / "docs"
RECEIVER = "http://127.0.0.1:9000"
"""As the guides spell it."""
SECRET = "dGhlIHNlY3JldCBvZiB0aGUgZXhhbXBs"
BODY = b'{"event":"sms:sent","id":"e1","payload":{}}'
WAIT_S = 20.0
END = "=== end of the block ==="

Block = tuple[str, str]


def blocks(page: str) -> list[Block]:
    """Return language and text of each block of a page, in order."""
    text = (DOCS / page).read_text("utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def examples(page: str) -> Iterator[tuple[str, str | None]]:
    """Yield each shell block, and the answer that the page shows for it."""
    found = blocks(page)
    for (language, text), (following, answer) in zip(found, [*found[1:], ("", "")], strict=True):
        if language == "sh" and not text.startswith("export "):
            yield text, answer if following == "json" else None


def shape(value: Any) -> Any:
    """What a guide promises of an answer: members and kinds, not values."""
    match value:
        case dict():
            return {name: shape(member) for name, member in value.items()}
        case list():
            return [shape(item) for item in value]
        case int() | float() if not isinstance(value, bool):
            return "number"
        case _:
            return type(value).__name__


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def shell(server: Server) -> Iterator["Shell"]:
    with Receiver() as receiver:
        yield Shell(server, receiver)


class Shell:
    """Runs blocks of shell, with the server and the account in the variables that they use."""

    def __init__(self, server: Server, receiver: Receiver) -> None:
        self._receiver = receiver
        self._environ = {
            **os.environ,
            "TEXTGATE_SERVER": server.url,
            "TEXTGATE_LOGIN": server.login,
            "TEXTGATE_PASSWORD": server.password,
            "NO_PROXY": "127.0.0.1",
        }
        [self._shorthand] = [text for text, _ in examples("api.md") if text.startswith("api()")]

    def run(self, *texts: str, **variables: str) -> list[str]:
        """Run the blocks one after another and return what each said."""
        marked = [f"{text}\nprintf '{END}'\n" for text in texts]
        script = "".join(["set -euo pipefail\n", self._shorthand, *marked])
        done = subprocess.run(
            ["bash", "-c", script.replace(RECEIVER, self._receiver.url)],
            env={**self._environ, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout.split(END)
        assert done.returncode == 0, f"{texts[len(said) - 1]}\n{said[-1]}\n{done.stderr}"
        return said[:-1]

    def follow(self, page: str, **variables: str) -> None:
        """Run all of a page and compare with the answers that it shows."""
        found = list(examples(page))
        for (text, answer), said in zip(
            found, self.run(*(text for text, _ in found), **variables), strict=True
        ):
            if answer is not None:
                assert shape(json.loads(said)) == shape(json.loads(answer)), text


@pytest.fixture(scope="module")
def followed(shell: Shell) -> Shell:
    """After the guide to the API was followed from top to bottom."""
    shell.follow("api.md")
    return shell


def test_the_guide_to_the_api_can_be_followed_and_shows_what_is_answered(followed: Shell) -> None:
    [listed] = followed.run("api GET /v1/messages")
    assert {"order-4711", "reminder"} <= {message["id"] for message in json.loads(listed)["items"]}


def test_the_guide_to_templates_can_be_followed_and_shows_what_is_said(followed: Shell) -> None:
    followed.follow("templates.md")
    shown = [(text, json.loads(answer)) for text, answer in examples("templates.md") if answer]
    rendered = [(text, answer) for text, answer in shown if "parts" in answer]
    for said, (_, answer) in zip(
        followed.run(*(text for text, _ in rendered)), rendered, strict=True
    ):
        got = json.loads(said)
        for member in ("text", "parts", "length"):
            assert got.get(member) == answer.get(member)
    assert len(rendered) == 2


def test_the_guide_to_the_sms_gateway_can_be_followed_and_shows_what_is_answered(
    shell: Shell,
) -> None:
    shell.follow("sms-gateway.md")


def test_the_guide_to_events_can_be_followed(followed: Shell) -> None:
    until = time.monotonic() + WAIT_S
    deliveries: list[dict[str, Any]] = []
    followed.run('api POST /v1/messages -d \'{"to": "+41790000001", "text": "Hello"}\'')
    while not deliveries:
        assert time.monotonic() < until, "nothing was delivered"
        [said] = followed.run("api GET '/v1/webhooks/shop/deliveries?state=delivered'")
        deliveries = json.loads(said)["items"]
    followed.follow("events.md", EVENT=deliveries[0]["event_id"])


def test_the_poller_of_the_guide_reads_the_whole_feed(followed: Shell, server: Server) -> None:
    [poller] = [text for _, text in blocks("events.md") if "def events(" in text]
    space: dict[str, Any] = {}
    exec(poller, space)
    found = list(space["events"](server.url, server.login, server.password))
    assert {"sms:sent", "sms:cancelled"} <= {event["type"] for event in found}
    rest = space["events"](server.url, server.login, server.password, found[0]["id"])
    assert [event["id"] for event in rest] == [event["id"] for event in found[1:]]


def signed(secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    return dict(sign("e1", BODY, (secret,), int(time.time() if at is None else at)))


def python_block(name: str) -> Any:
    [text] = [text for kind, text in blocks("events.md") if kind == "python" and f"{name}(" in text]
    space: dict[str, Any] = {}
    exec(text, space)
    return space[name]


def test_the_python_lines_know_a_genuine_call() -> None:
    is_genuine = python_block("is_genuine")
    assert is_genuine(SECRET, signed(), BODY)
    assert not is_genuine(SECRET, signed(), BODY + b" ")
    assert not is_genuine("another", signed(), BODY)
    assert not is_genuine(SECRET, signed(at=time.time() - 301), BODY)


def test_the_library_of_the_guide_knows_a_genuine_call() -> None:
    from standardwebhooks.webhooks import WebhookVerificationError

    event_of = python_block("event_of")
    secret = standard_webhooks_secret(SECRET)
    assert event_of(secret, signed(), BODY)["id"] == "e1"
    with pytest.raises(WebhookVerificationError):
        event_of(secret, signed("another"), BODY)


def test_the_secret_of_the_guide_is_the_same_in_both_its_forms() -> None:
    [shown] = [json.loads(text) for kind, text in blocks("events.md") if '"secret"' in text]
    assert shown["standard_webhooks"] == standard_webhooks_secret(shown["secret"])


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node here")
@pytest.mark.parametrize("name", ["isGenuine", "isStandard"])
def test_the_node_lines_know_a_genuine_call(name: str, tmp_path: Path) -> None:
    [text] = [text for kind, text in blocks("events.md") if kind == "js" and name in text]
    (tmp_path / "verify.mjs").write_text(text)
    calls = [
        (SECRET, signed(), BODY),
        (SECRET, signed(), BODY + b" "),
        ("another", signed(), BODY),
        (SECRET, signed(at=time.time() - 301), BODY),
    ]
    asked = [
        [secret, {n.lower(): value for n, value in headers.items()}, body.decode()]
        for secret, headers, body in calls
    ]
    (tmp_path / "ask.mjs").write_text(
        f'import {{ {name} as check }} from "./verify.mjs";\n'
        f"const asked = {json.dumps(asked)};\n"
        "console.log(JSON.stringify(asked.map(([s, h, b]) => check(s, h, Buffer.from(b)))));\n"
    )
    done = subprocess.run(
        ["node", tmp_path / "ask.mjs"], capture_output=True, text=True, timeout=30, check=True
    )
    assert json.loads(done.stdout) == [True, False, False, False]


def test_the_schedule_of_the_guide_is_the_schedule() -> None:
    text = (DOCS / "events.md").read_text("utf-8")
    [row] = re.findall(r"^\| seconds since the one before \| (.*) \|$", text, re.MULTILINE)
    waits = [int(wait.total_seconds()) for wait in webhook_policy().waits]
    assert [int(cell) for cell in row.split(" | ")] == waits
    assert f"{sum(waits):,} seconds in all" in text


def test_the_guide_knows_every_event() -> None:
    text = (DOCS / "events.md").read_text("utf-8")
    assert [type_ for type_ in EventType if f"`{type_}`" not in text] == []
