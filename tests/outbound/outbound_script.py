"""Scripts to run in tests, and a bench to run them on."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from textgate.domain.script import Module, Program
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.run import Returned, Run
from textgate.outbound.script.workers import Workers

PROBE = """
const AsyncFunction = (async () => {}).constructor;
export default async (e: { code: string }, context: unknown) =>
  await new AsyncFunction("context", e.code)(context);
"""
"""Runs the code that it is called with: many attempts for the price of one process."""

ECHO = "export default (e: unknown) => e;"


def program(source: str, **modules: str) -> Program:
    """A script, and modules that are stored with it: by the last part of their URL."""
    return Program(
        source,
        {
            f"https://modules.example/{name}.ts": Module(code, "application/typescript", "")
            for name, code in modules.items()
        },
    )


class Bench:
    """Runs scripts; what is not said is ordinary."""

    def __init__(self, workers: Workers, http: HttpClient) -> None:
        self.workers, self.http = workers, http

    async def run(
        self,
        script: str | Program,
        payload: Any = None,
        *,
        key: str | None = None,
        secrets: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> Run:
        whole = program(script) if isinstance(script, str) else script
        return await self.workers.run(
            key or whole.source,
            whole,
            json.dumps(payload).encode(),
            secrets=secrets or {},
            timeout=timeout,
            http=self.http,
        )

    async def value(self, script: str | Program, payload: Any = None, **more: Any) -> Any:
        """What the script returns; it must not fail."""
        run = await self.run(script, payload, **more)
        assert isinstance(run.end, Returned), run
        return None if run.end.value is None else json.loads(run.end.value)

    async def probe(self, code: str, **more: Any) -> Any:
        """What a piece of code returns, in a process that all pieces share."""
        return await self.value(PROBE, {"code": code}, **more)


@asynccontextmanager
async def bench(
    *, deno: Deno | None = None, total: int = 8, memory_mb: int = 256, **limits: Any
) -> AsyncIterator[Bench]:
    """A bench that may call the loopback, and that leaves no process behind."""
    http = HttpClient(Guard(allow_loopback=True), user_agent="Textgate/test")
    workers = Workers(deno or Deno(), total=total, memory_mb=memory_mb, **limits)
    try:
        yield Bench(workers, http)
    finally:
        await workers.close()
        await http.close()


async def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a process of its own to have done something."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


def cpu_of(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children() -> set[int]:
    """The processes of scripts that this one has started and that still run.

    Others may be there: a server that the tests share.
    """
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent, *_ = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
            words = (stat.parent / "cmdline").read_bytes()
            if int(parent) == os.getpid() and state != "Z" and b"/textgate-script-" in words:
                found.add(int(stat.parent.name))
    return found
