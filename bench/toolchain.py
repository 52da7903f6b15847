"""The native halves of the benchmark: compiled at bench time, started and asked from here."""

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / "build"


class Missing(Exception):
    """Something is not installed here. The message says what, and how to get it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The compiled programs."""

    load: Path
    sink: Path


def compile_tools(folder: Path = BUILD) -> Tools:
    """Compile load.c and sink.c into ``folder``. Raises Missing without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing(
            "no C compiler (cc) here; on Debian or Ubuntu: apt-get install build-essential"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("load", "sink"):
        source = HERE / "native" / f"{name}.c"
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(folder / name), str(source)]
        subprocess.run(command, check=True)
    return Tools(folder / "load", folder / "sink")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a sink has met since it started or was reset. Times are CLOCK_MONOTONIC, in ns."""

    requests: int
    distinct: int
    unmarked: int
    first_ns: int
    last_ns: int
    last_new_ns: int


@dataclass(frozen=True, slots=True)
class Sink:
    """A running far side."""

    port: int
    pid: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def counts(self) -> Counts:
        return self._ask("GET", "/__count")

    def reset(self) -> None:
        self._ask("POST", "/__reset")

    def _ask(self, method: str, path: str) -> Counts:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            line.request(method, path)
            return Counts(**json.loads(line.getresponse().read()))
        finally:
            line.close()


@contextmanager
def sink(tools: Tools, *, marker: str, answer: str, content_type: str) -> Iterator[Sink]:
    """Run a far side; a request's identity is what follows ``marker`` in it."""
    options = ["--marker", marker, "--answer", answer, "--type", content_type]
    process = subprocess.Popen([tools.sink, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Sink(json.loads(process.stdout.readline())["port"], process.pid)
    finally:
        process.terminate()
        process.wait(timeout=10)


@dataclass(frozen=True, slots=True)
class Load:
    """What the load generator saw. Latencies in microseconds, of the 2xx answers alone."""

    sent: int
    accepted: int
    broken: int
    unanswered: int
    reopened: int
    statuses: dict[str, int]
    started_ns: int
    elapsed_seconds: float
    latency_us: dict[str, int]
    cpu_seconds: float


def start_load(
    tools: Tools,
    template: Path,
    *,
    port: int,
    messages: int,
    first: int,
    connections: int,
    seconds: int,
) -> subprocess.Popen[str]:
    """Start a closed loop over ``messages`` numbers from ``first``; ends within ``seconds``."""
    options = {
        "--port": port,
        "--template": template,
        "--messages": messages,
        "--first": first,
        "--connections": connections,
        "--seconds": seconds,
    }
    words = [str(word) for option in options.items() for word in option]
    return subprocess.Popen([tools.load, *words], stdout=subprocess.PIPE, text=True)


def finish_load(process: subprocess.Popen[str]) -> Load:
    """Wait for a load to end and read its findings."""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return Load(**json.loads(output))
