"""Textgate as it is shipped: one process, its defaults, an SQLite file with synchronous=FULL.

The path: POST /3rdparty/v1/messages answers 202 once the message is on disk; a webhook channel
posts it, signed, to the provider; the outcome is on disk; `sms:sent` is posted, signed, to the
hook.
"""

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import FarSide, Peer, Running, free_port
from bench.processes import stop, wait_until
from bench.toolchain import Missing

SIGNATURE_KEY = "a-key-for-the-benchmark-and-nothing-else"


def textgate() -> Peer:
    """The peer. Raises Missing when the command is not beside this Python."""
    if not _program().exists():
        raise Missing("the textgate command is not installed beside this Python: make bench")
    return Peer(
        name="textgate",
        provider_marker='"to":"',
        provider_answer='{"code":"ok"}',
        provider_type="application/json",
        hook_marker='"phoneNumber":"',
        run=_run,
    )


def _program() -> Path:
    return Path(sys.executable).parent / "textgate"


@contextmanager
def _run(folder: Path, far: FarSide) -> Iterator[Running]:
    with serve(folder) as (pid, [door]):
        door.post("/v1/channels", _channel(far.provider.url("/provider")))
        door.post("/3rdparty/v1/webhooks", {"url": far.hook.url("/hook"), "event": "sms:sent"})
        yield Running((pid,), door.port, door.template(), {"version": _version()})


@contextmanager
def serve(folder: Path, *, accounts: int = 1) -> Iterator[tuple[int, list["Door"]]]:
    """Run a server with its data in ``folder``: its process, and a door for each account."""
    port = free_port()
    # The caller's own settings must not colour the result.
    world = {name: value for name, value in os.environ.items() if not name.startswith("TEXTGATE_")}
    world |= {
        "TEXTGATE_DATA": str(folder / "data"),
        "TEXTGATE_HOST": "127.0.0.1",
        "TEXTGATE_PORT": str(port),
        "TEXTGATE_ALLOW_ADDRESSES": "127.0.0.1",
    }
    doors = []
    for _ in range(accounts):
        with (folder / "account.log").open("ab") as log:
            words = [str(_program()), "account", "add", "--json"]
            added = subprocess.run(words, env=world, stdout=subprocess.PIPE, stderr=log, check=True)
        account = json.loads(added.stdout)
        doors.append(Door(port, account["login"], account["password"]))
    with (folder / "textgate.log").open("wb") as log:
        process = subprocess.Popen(
            [_program(), "serve"], env=world, stdout=log, stderr=log, cwd=folder
        )
    try:
        wait_until(doors[0].is_open, what="Textgate answers /health")
        yield process.pid, doors
    finally:
        stop(process)


def _channel(url: str) -> dict[str, object]:
    settings = {"url": url, "signature_key": SIGNATURE_KEY}
    return {"provider": "webhook", "name": "sink", "settings": settings}


class Door:
    """The server's HTTP side, as the benchmark needs it."""

    def __init__(self, port: int, login: str, password: str) -> None:
        self.port = port
        word = base64.b64encode(f"{login}:{password}".encode()).decode()
        self.authorization = f"Basic {word}"
        self._headers = {"Authorization": self.authorization, "Content-Type": "application/json"}

    def is_open(self) -> bool:
        return self._ask("GET", "/health")[0] == 200

    def post(self, path: str, body: object) -> None:
        status, answer = self._ask("POST", path, json.dumps(body).encode())
        if status != 201:
            raise RuntimeError(f"POST {path} answered {status}: {answer[:300]!r}")

    def template(self) -> bytes:
        headers = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())
        body = '{"textMessage":{"text":"Your code is {id}"},"phoneNumbers":["+{number}"]}'
        return (
            f"POST /3rdparty/v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"User-Agent: bench\r\nAccept: */*\r\n{headers}\r\n{body}"
        ).encode()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            line.request(method, path, body, self._headers)
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()


def _version() -> str:
    shown = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or "unknown"
