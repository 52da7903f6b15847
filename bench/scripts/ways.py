"""Three ways to post the same message to the same far side.

- direct: the host makes the request, and there is no script.
- worker: the script runs in Textgate's warm worker, and the host makes its request.
- process: a Deno process for each message, as Authgear's own script service starts it: script and
  input are written to files, Deno may read these two, write a third and call the far side, and
  what it wrote is read back. In its favour: its runner is written once, so that Deno has it
  compiled already; its permissions are given and not asked for; its types module is an empty one.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Incomplete
from bench.toolchain import Sink
from textgate.config import Settings
from textgate.domain.authgear import Payload, encode
from textgate.domain.script import Program
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient, Reply
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.desk import Desk
from textgate.outbound.script.run import Returned
from textgate.outbound.script.workers import Workers

HERE = Path(__file__).parent
MARKER = '"to":"'
ANSWER = '{"code":"ok"}'
AT_ONCE = 10
"""Of the service's processes (its default)."""
TIMEOUT_S = 30
TYPES = "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts"

Send = Callable[[bytes], Awaitable[None]]
"""Sends one message, given as JSON. Raises Incomplete if it was not taken."""


def messages(first: int, count: int) -> list[bytes]:
    """Payloads as an SMS provider gets them, each to its own number."""
    return [
        encode(
            Payload(
                to=f"+4479{n:08d}",
                body=f"{n % 1_000_000:06d} is your code for the Harbour Shop\n",
                app_id="harbour-shop",
                template_name="verification_sms.txt",
                language_tag="en",
                template_variables={"app_name": "Harbour Shop", "code": f"{n % 1_000_000:06d}"},
            )
        )
        for n in range(first, first + count)
    ]


@dataclass(frozen=True, slots=True)
class Stage:
    """What the ways share: the far side, the host's client, and the script."""

    far: Sink
    http: HttpClient
    deno: Deno
    program: Program


@asynccontextmanager
async def stage(far: Sink) -> AsyncIterator[Stage]:
    """Prepare the script as a channel does when it is saved."""
    http, deno = HttpClient(Guard(allow_loopback=True), user_agent="textgate-bench"), Deno()
    source = (HERE / "send.ts").read_text("utf-8").replace("FAR_SIDE", far.url("/provider"))
    try:
        program = await Desk(deno, http, hosts=()).prepare(source)
        yield Stage(far, http, deno, program)
    finally:
        await http.close()


@asynccontextmanager
async def direct(on: Stage) -> AsyncIterator[Send]:
    """The host alone."""
    headers, url = [("Content-Type", "application/json")], on.far.url("/provider")

    async def send(payload: bytes) -> None:
        reply = await on.http.request("POST", url, headers=headers, body=payload, timeout=TIMEOUT_S)
        if not isinstance(reply, Reply) or reply.status != 200:
            raise Incomplete(f"directly: {reply}")

    yield send


@asynccontextmanager
async def worker(on: Stage) -> AsyncIterator[Send]:
    """The script as a channel runs it."""
    settings = Settings()
    workers = Workers(on.deno, total=settings.script_workers, memory_mb=settings.script_memory)

    async def send(payload: bytes) -> None:
        run = await workers.run(
            "bench", on.program, payload, secrets={}, timeout=TIMEOUT_S, http=on.http
        )
        if not isinstance(run.end, Returned) or run.end.value != ANSWER.encode():
            raise Incomplete(f"in the worker: {run}")

    try:
        yield send
    finally:
        await workers.close()


@asynccontextmanager
async def process(on: Stage) -> AsyncIterator[Send]:
    """A process for each call, ``AT_ONCE`` at most."""
    slots = asyncio.Semaphore(AT_ONCE)
    with tempfile.TemporaryDirectory(prefix="bench-process-") as name:
        folder = Path(name)
        imports = folder / "imports.json"
        imports.write_text(json.dumps({"imports": {TYPES: "data:application/typescript,"}}))

        async def send(payload: bytes) -> None:
            async with slots:
                place = Path(tempfile.mkdtemp(dir=folder))
                script, given, got = (place / n for n in ("script.ts", "input.json", "output.json"))
                script.write_text(on.program.source)
                given.write_bytes(payload)
                code, said = await _deno(on, folder, script, given, got)
                if code or json.loads(got.read_bytes()) != json.loads(ANSWER):
                    raise Incomplete(f"in a process: exit {code}\n{said.decode()[-1500:]}")
                for file in (script, given, got):
                    file.unlink()
                place.rmdir()

        yield send


async def _deno(on: Stage, folder: Path, script: Path, given: Path, got: Path) -> tuple[int, bytes]:
    options = (
        *("--quiet", "--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm"),
        f"--import-map={folder / 'imports.json'}",
        f"--allow-read={script},{given}",
        f"--allow-write={got}",
        f"--allow-net=127.0.0.1:{on.far.port}",
    )
    child = await asyncio.create_subprocess_exec(
        *(on.deno.path, "run", *options, HERE / "run_once.ts", script, given, got),
        cwd=folder,
        env={"DENO_DIR": str(folder / "deno"), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await child.communicate()
    return child.returncode or 0, said


Way = Callable[[Stage], AbstractAsyncContextManager[Send]]
BY_SCRIPT: dict[str, Way] = {"worker": worker, "process": process}
