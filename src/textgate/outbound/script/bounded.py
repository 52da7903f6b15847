"""A program that is run once, on something that may be hostile, within limits."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec

_LOOK_SECONDS = 0.05
_CHUNK = 65_536
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Limits(msgspec.Struct, frozen=True):
    """When a program is ended."""

    seconds: float
    memory_mb: int
    """Resident; looked at 20 times a second, where the system tells it (Linux)."""
    output: int
    """Bytes, of its output and its errors together."""


class Broken(StrEnum):
    """The limit that a program broke."""

    TIME = "time"
    MEMORY = "memory"
    OUTPUT = "output"


class Ran(msgspec.Struct, frozen=True):
    """What came of it."""

    status: int
    """As of ``subprocess``: negative for a signal."""
    output: bytes
    """With its errors in between, up to the limit."""
    broken: Broken | None


async def run(
    command: Sequence[str | Path],
    given: bytes,
    *,
    folder: Path,
    environment: Mapping[str, str],
    limits: Limits,
) -> Ran:
    """Run ``command`` with ``given`` as its input, in a process group of its own.

    All of the group has ended when this returns, also if it is cancelled. OSError: it cannot start.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    output = bytearray()
    broken: Broken | None = None
    feeding = asyncio.ensure_future(_feed(process, given))
    reading = asyncio.ensure_future(_read(process, output, limits.output))
    watching = asyncio.ensure_future(_watch(process.pid, limits.memory_mb))
    try:
        async with asyncio.timeout(limits.seconds):
            await asyncio.wait((reading, watching), return_when=asyncio.FIRST_COMPLETED)
            broken = watching.result() if watching.done() else reading.result()
            if broken is None:
                await process.wait()
    except TimeoutError:
        broken = Broken.TIME
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for task in (feeding, reading, watching):
            task.cancel()
        await asyncio.wait((feeding, reading, watching))
        await process.wait()
    assert process.returncode is not None
    return Ran(process.returncode, bytes(output), broken)


async def _feed(process: asyncio.subprocess.Process, given: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError):  # it ended before it had read all
        process.stdin.write(given)
        await process.stdin.drain()
        process.stdin.close()


async def _read(
    process: asyncio.subprocess.Process, output: bytearray, limit: int
) -> Broken | None:
    assert process.stdout is not None
    while chunk := await process.stdout.read(_CHUNK):
        output += chunk[: limit - len(output)]
        if len(output) >= limit:
            return Broken.OUTPUT
    return None


async def _watch(process_id: int, memory_mb: int) -> Broken:
    """Return when the process has grown too large."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if _resident(process_id) > memory_mb << 20:
            return Broken.MEMORY


def _resident(process_id: int) -> int:
    """Return how many bytes are in memory; 0 if this is not Linux, or it has just ended."""
    try:
        words = Path(f"/proc/{process_id}/statm").read_text("ascii").split()
    except OSError:
        return 0
    return int(words[1]) * _PAGE if words else 0
