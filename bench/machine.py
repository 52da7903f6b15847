"""The machine a measurement was made on: figures without it mean little."""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def describe(folder: Path) -> dict[str, str | int | float]:
    """Processor, cores, kernel; the file system that ``folder`` is on, and what a sync costs."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": (file_system := _file_system(folder)),
        "journal": _journal(folder) if file_system == "ext4" else "not asked",
        "fdatasync_us": round(_sync_us(folder), 1),
        "commit": _commit(),
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


@dataclass(frozen=True, slots=True)
class Busy:
    """CPU seconds of the whole machine since it started: used by anyone, and in all."""

    used: float
    total: float


def busy() -> Busy:
    """From the first line of /proc/stat; time stolen by the hypervisor counts as used."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]  # idle and iowait
    return Busy((sum(fields) - idle) / TICKS, sum(fields) / TICKS)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[2] == wanted:
            return line.partition(" - ")[2].split()[0]
    return "unknown"


def _journal(folder: Path) -> str:
    """Whether an ext4 has one. Without it the kernel walks past every inode that was freed in the
    last minutes before it makes a file (ext4's recently_deleted): ever slower under churn."""
    device = folder.stat().st_dev
    link = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    journals = Path("/proc/fs/jbd2").glob(f"{link.resolve().name}-*")
    return "present" if any(journals) else "none"


def _sync_us(folder: Path, times: int = 100) -> float:
    """Median microseconds of appending 4 KiB and fdatasync: the price of a durable commit."""
    spent = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            begun = time.perf_counter()
            os.write(file.fileno(), b"\0" * 4096)
            os.fdatasync(file.fileno())
            spent.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(spent)


def _commit() -> str:
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
