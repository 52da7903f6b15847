"""Kannel: bearerbox and smsbox, an HTTP SMSC, the spool store, and a report for each message.

Its nearest equal to our path: /cgi-bin/sendsms answers 202 once bearerbox has written the message
to its store; the SMSC is an HTTP provider (system-type "generic"); a report with dlr-mask 8 ("the
SMSC took it", our sms:sent) is stored in turn and fetched to the caller's dlr-url.

Tuned in its favour (docs/benchmarks.md has the trials): no log below "panic", no access log, no
throughput limit, as much in flight to provider and webhook as did best.
Left alone: immediate-sendsms-reply stays off, or the 202 would come before anything is stored.
"""

import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.peers import FarSide, Peer, Running, free_port
from bench.processes import stop, wait_until
from bench.toolchain import Missing

CONFIG = """\
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = bench
admin-allow-ip = 127.0.0.1
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
smsbox-max-pending = {tuning.box_pending}
log-level = 4
dlr-storage = internal
store-type = {tuning.store}
store-location = "{store}"
{tuning.core}

group = smsc
smsc = http
smsc-id = sink
system-type = generic
port = {inbound}
connect-allow-ip = 127.0.0.1
send-url = "{provider}?from=%P&to=%p&text=%b&id=%I"
status-success-regex = "ok"
max-pending-submits = {tuning.submits}

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {send}
sendsms-interface = 127.0.0.1
max-pending-requests = {tuning.requests}
http-request-retry = 3
log-level = 4

group = sendsms-user
username = bench
password = bench
"""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What can be turned; the values are those that did best (docs/benchmarks.md)."""

    store: str = "spool"
    submits: int = 10  # to the provider at a time; Kannel's own default
    requests: int = 512  # to the webhook at a time; Kannel's own default
    box_pending: int = 500  # reports with smsbox at a time; its default is 100
    in_memory: bool = False  # the store on a memory file system: no disk has a part in it
    core: str = ""  # further lines for the core group


SPOOL = Tuning()
MEMORY = Path("/dev/shm")


def kannel(name: str = "kannel", tuning: Tuning = SPOOL) -> Peer:
    """The peer. Raises Missing when Kannel is not installed."""
    if _program("bearerbox") is None or _program("smsbox") is None:
        raise Missing("Kannel is not installed; on Debian or Ubuntu: apt-get install kannel")
    if tuning.in_memory and not MEMORY.is_dir():
        raise Missing(f"no memory file system at {MEMORY} here")
    return Peer(
        name=name,
        provider_marker="&to=",
        provider_answer="ok",
        provider_type="text/plain",
        hook_marker="?id=",
        run=partial(_run, tuning),
    )


def _program(name: str) -> str | None:
    # The package puts both where only root's PATH looks.
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@contextmanager
def _run(tuning: Tuning, folder: Path, far: FarSide) -> Iterator[Running]:
    ports = {name: free_port() for name in ("admin", "box", "inbound", "send")}
    status = f"http://127.0.0.1:{ports['admin']}/status.txt?password=bench"
    config = folder / "kannel.conf"
    with ExitStack() as stack:
        store = _store(tuning, folder, stack)
        provider = far.provider.url("/provider")
        config.write_text(CONFIG.format(tuning=tuning, store=store, provider=provider, **ports))
        bearerbox = stack.enter_context(_box("bearerbox", config, folder))
        wait_until(lambda: "running" in _get(status), what="bearerbox runs")
        smsbox = stack.enter_context(_box("smsbox", config, folder))
        wait_until(lambda: "smsbox:" in _get(status), what="smsbox is known to bearerbox")
        wait_until(lambda: "(online" in _get(status), what="the SMSC is online")
        yield Running(
            pids=(bearerbox, smsbox),
            port=ports["send"],
            template=_template(ports["send"], far.hook.url("/hook")),
            facts={"version": _version(), "tuning": repr(tuning)},
        )


def _store(tuning: Tuning, folder: Path, stack: ExitStack) -> Path:
    """Where the store lies: a folder for the spool, a file to be made for the other."""
    if tuning.in_memory:
        place = tempfile.TemporaryDirectory(dir=MEMORY, prefix="bench-kannel-")
        folder = Path(stack.enter_context(place))
    store = folder / tuning.store
    if tuning.store == "spool":
        store.mkdir()
    return store


@contextmanager
def _box(name: str, config: Path, folder: Path) -> Iterator[int]:
    program = _program(name)
    assert program is not None
    # -v 4: nothing below "panic" on the terminal; without it every step is written out.
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-v", "4", str(config)], stdout=log, stderr=log, cwd=folder
        )
    try:
        yield process.pid
    finally:
        stop(process)


def _template(port: int, hook: str) -> bytes:
    # Written percent-encoded, as it stands on the wire; %25d and %25p are Kannel's own
    # placeholders for the report's status and the number.
    report = f"{hook}?id=".replace(":", "%3A").replace("/", "%2F").replace("?", "%3F")
    report = report.replace("=", "%3D") + "{id}%26status%3D%25d%26to%3D%25p"
    query = (
        "username=bench&password=bench&from=12345&to=%2B{number}&text=Your+code+is+{id}"
        f"&dlr-mask=8&dlr-url={report}"
    )
    return (
        f"GET /cgi-bin/sendsms?{query} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
    ).encode()


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body.decode("utf-8", "replace")


def _version() -> str:
    program = _program("bearerbox")
    assert program is not None
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return next(iter((shown.stdout + shown.stderr).splitlines()), "unknown")
