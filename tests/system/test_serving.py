"""A real server among real neighbours: certificates, proxies, limits, accounts, and how it ends.

What the first start prints, and that its line can be pasted, is in ``tests/cli/test_serve.py``.
"""

import json
import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from system_world import (
    DELIVERED,
    MESSAGES,
    REFUSED,
    add_simulator,
    client,
    environment,
    message_to,
    until,
)

from textgate.testing.receiver import Receiver
from textgate.testing.server import Server, start_server

ROOT = Path(__file__).parents[2]
CERT, KEY = ROOT / "tests/tls/localhost.pem", ROOT / "tests/tls/localhost.key"
BODY_LIMIT = 4_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind a proxy on this machine, with a low limit on bodies."""
    environ = {"TEXTGATE_TRUSTED_PROXIES": "127.0.0.1", "TEXTGATE_BODY_LIMIT": str(BODY_LIMIT)}
    with start_server(tmp_path_factory.mktemp("serving"), environ=environ) as server:
        with client(server) as api:
            add_simulator(api)
        yield server


# --- how it ends ---


def test_open_streams_and_idle_connections_do_not_keep_it_from_ending(tmp_path: Path) -> None:
    with (
        start_server(tmp_path, environ={"TEXTGATE_STOP_TIMEOUT": "2s"}) as server,
        client(server) as api,
        client(server) as idle,
        api.stream("GET", "/v1/events/stream") as stream,
    ):
        assert next(stream.iter_lines()).startswith("retry:")
        idle.get("/health")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 8


def test_an_idle_connection_costs_a_stop_no_time(tmp_path: Path) -> None:
    with start_server(tmp_path) as server, client(server) as api:
        api.get("/health")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10, "nothing was in flight, yet it waited"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data", "other"], "cannot listen on 127.0.0.1 port {port}: Address already in use"),
        (["--port", "0"], "another textgate serves the data in {data}/textgate.db"),
    ],
    ids=["the port is taken", "the data is in use"],
)
def test_a_start_that_cannot_be_ends_with_one_line_that_says_why(
    server: Server, more: list[str], said: str
) -> None:
    here = ["--host", "127.0.0.1", "--port", str(server.port), "--data", str(server.data)]
    done = subprocess.run(
        [sys.executable, "-m", "textgate", "serve", *here, *more],
        cwd=server.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == said.format(port=server.port, data=server.data) + "\n"
    assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200


# --- TLS, both ways ---


@contextmanager
def tls_receiver() -> Iterator[tuple[str, list[bytes]]]:
    """A webhook receiver with a certificate that only ``CERT`` vouches for, and what it got."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERT, KEY)
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.socket = context.wrap_socket(
        receiver.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://localhost:{receiver.server_port}/", bodies
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


@contextmanager
def https_server(folder: Path, **variables: str) -> Iterator[httpx.Client]:
    """A server that speaks HTTPS, as its first account, which has a simulator, sees it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "textgate", "serve", "--json"],
        cwd=folder,
        env=environment()
        | {"TEXTGATE_PORT": "0", "TEXTGATE_TLS_CERT": str(CERT), "TEXTGATE_TLS_KEY": str(KEY)}
        | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        with httpx.Client(
            base_url=first["url"],
            auth=(first["login"], first["password"]),
            verify=ssl.create_default_context(cafile=CERT),
            trust_env=False,
            timeout=20,
        ) as api:
            yield api
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def delivery_of(api: httpx.Client, url: str) -> dict[str, Any]:
    """Send a message of which ``url`` is told, and return the delivery after its first call."""
    answer = api.post("/v1/webhooks", json={"url": url, "event": "sms:sent"})
    assert answer.status_code == 201, answer.text
    deliveries = f"/v1/webhooks/{answer.json()['id']}/deliveries"
    assert api.post(MESSAGES, json=message_to(DELIVERED)).status_code == 202
    [found] = until(lambda: api.get(deliveries).json()["items"])
    one = f"{deliveries}/{found['event_id']}"
    until(lambda: api.get(one).json()["calls"])
    detail: dict[str, Any] = api.get(one).json()
    return detail


def test_over_https_both_ways_an_authority_of_ones_own_is_trusted_if_it_is_named(
    tmp_path: Path,
) -> None:
    with tls_receiver() as (url, bodies), https_server(tmp_path, TEXTGATE_CA_FILE=str(CERT)) as api:
        assert api.base_url.scheme == "https"
        delivery = delivery_of(api, url)
        assert delivery["state"] == "delivered"
        assert [call["status"] for call in delivery["calls"]] == [204]
        assert [json.loads(body)["event"] for body in bodies] == ["sms:sent"]


def test_a_receiver_whose_certificate_nobody_vouches_for_gets_nothing_and_is_tried_again(
    tmp_path: Path,
) -> None:
    with tls_receiver() as (url, bodies), https_server(tmp_path) as api:
        delivery = delivery_of(api, url)
        assert (delivery["state"], bodies) == ("pending", [])
        assert delivery["next_attempt_at"] > delivery["calls"][0]["started_at"]
        [call] = delivery["calls"]
        assert (call["ok"], call["status"]) == (False, None)
        assert "certificate" in call["detail"]


# --- what watches it, and what stands before it ---


def test_after_a_message_the_metrics_tell_of_it_with_the_labels_that_their_page_names(
    server: Server,
) -> None:
    with client(server) as api, Receiver() as receiver:
        answer = api.post("/v1/webhooks", json={"url": receiver.url, "event": "sms:delivered"})
        assert answer.status_code == 201, answer.text
        assert api.post(MESSAGES, json=message_to(DELIVERED, REFUSED)).status_code == 202
        receiver.wait_for(1)
        rows = documented_metrics()
        # Nothing is late here, and there are no script and no phone.
        wanted = {name for name in rows if not name.startswith("textgate_script_")}
        wanted -= {"textgate_late_results_total"}
        wanted -= {"textgate_phone_events_sent_total", "textgate_time_to_phone_seconds"}

        def told() -> dict[str, set[str]] | None:
            found = counted(api)
            return found if wanted <= found.keys() else None

        found = until(told)
    assert {name: rows[name] for name in found} == found


def documented_metrics() -> dict[str, set[str]]:
    page = (ROOT / "docs/metrics.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| `(textgate_\w+)` \| \w+ \| (.*?) \|", page)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def counted(api: httpx.Client) -> dict[str, set[str]]:
    """The metrics that say something, and their labels."""
    families = text_string_to_metric_families(api.get("/metrics", auth=None).text)
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in families
        if family.samples
    }


FORWARDED = [
    {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"},
    {"X-Forwarded-For": "203.0.113.7, 127.0.0.1", "X-Forwarded-Proto": "http"},
    {"X-Forwarded-For": "[2001:db8::7]:443, unknown, 999.1.1.1", "X-Forwarded-Proto": "gopher"},
    {"X-Forwarded-For": "", "X-Forwarded-Proto": ""},
]


@pytest.mark.parametrize("headers", FORWARDED, ids=str)
def test_what_a_proxy_says_of_the_caller_never_keeps_a_message_from_going_out(
    server: Server, headers: dict[str, str]
) -> None:
    with client(server, headers=headers) as api:
        sent = api.post(MESSAGES, json=message_to(DELIVERED))
        assert sent.status_code == 202
        place = sent.headers["Location"]
        until(lambda: api.get(place).json()["state"] == "Delivered")


def test_a_body_over_the_limit_is_refused_and_one_below_is_not(server: Server) -> None:
    with client(server) as api:
        over = message_to(DELIVERED) | {"textMessage": {"text": "x" * BODY_LIMIT}}
        assert api.post(MESSAGES, json=over).status_code == 413
        assert api.post("/v1/messages", json={"x": "y" * BODY_LIMIT}).status_code == 413
        below = message_to(DELIVERED) | {"textMessage": {"text": "x" * 1_000}}
        assert api.post(MESSAGES, json=below).status_code == 202


# --- accounts, while it runs ---


def test_a_new_password_ends_the_old_one_and_its_tokens_within_a_second(server: Server) -> None:
    added = server.add_account()
    old = (added.login, added.password)
    with client(server, auth=None) as api:
        assert api.get("/v1/account", auth=old).status_code == 200
        wanted = {"scopes": ["messages:list"], "ttl": 600}
        issued = api.post("/3rdparty/v1/auth/token", json=wanted, auth=old).json()
        bearer = {"Authorization": f"Bearer {issued['access_token']}"}
        assert api.get(MESSAGES, headers=bearer).status_code == 200

        changed = json.loads(server.command("account", "password", added.login, "--json"))
        until(lambda: api.get("/v1/account", auth=old).status_code == 401, within_s=1)
        until(lambda: api.get(MESSAGES, headers=bearer).status_code == 401, within_s=1)
        new = (added.login, changed["password"])
        assert api.get("/v1/account", auth=new).status_code == 200
