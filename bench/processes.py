"""CPU time and memory of a peer's processes, from /proc."""

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a set of processes with all their children and threads."""

    cpu_seconds: float
    peak_rss_bytes: int
    processes: int


def family(roots: Iterable[int]) -> list[int]:
    """``roots`` and every living descendant of them."""
    found: list[int] = []
    ahead = list(roots)
    while ahead:
        pid = ahead.pop()
        if pid in found:
            continue
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                ahead += [int(word) for word in children.read_text().split()]
    return found


def usage(roots: Iterable[int]) -> Usage:
    """User and system time so far, children that ended included, and the sum of peak RSS."""
    ticks = memory = living = 0
    for pid in family(roots):
        with suppress(OSError):
            # The name in field 2 may hold blanks; the fields after it do not.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
            memory += _memory(pid, "VmHWM")
            living += 1
    return Usage(ticks / TICKS, memory, living)


def rss(pid: int) -> int:
    """Bytes of memory that a process has now."""
    return _memory(pid, "VmRSS")


def _memory(pid: int, line: str) -> int:
    for found in Path(f"/proc/{pid}/status").read_text().splitlines():
        if found.startswith(line + ":"):
            return int(found.split()[1]) * 1024
    return 0


def stop(process: subprocess.Popen[bytes], *, within_s: float = 15) -> None:
    """Ask a process we started to end, and end it when it does not."""
    process.terminate()
    try:
        process.wait(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(
    ready: Callable[[], bool], *, what: str, within_s: float = 30, every_s: float = 0.05
) -> None:
    """Ask ``ready()`` until it is true; OSError counts as not yet. Raises TimeoutError."""
    limit = time.monotonic() + within_s
    while True:
        with suppress(OSError):
            if ready():
                return
        if time.monotonic() > limit:
            raise TimeoutError(f"{what} within {within_s:g} s")
        time.sleep(every_s)
