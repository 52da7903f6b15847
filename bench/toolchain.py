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


class Loading:
    """A load generator with its connections open, waiting for the word to begin."""

    def __init__(
        self,
        tools: Tools,
        template: Path,
        *,
        port: int,
        messages: int,
        first: int,
        connections: int,
        seconds: int,
    ) -> None:
        """Prepare a closed loop over ``messages`` numbers from ``first``, ``seconds`` at most."""
        options = {
            "--port": port,
            "--template": template,
            "--messages": messages,
            "--first": first,
            "--connections": connections,
            "--seconds": seconds,
        }
        words = [str(tools.load), *(str(word) for option in options.items() for word in option)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the load generator ended with {self._process.wait()}")

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("begin\n")
        self._process.stdin.flush()

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def findings(self) -> Load:
        """Wait for the end and read what was seen."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"the load generator ended with {self._process.returncode}")
        return Load(**json.loads(output))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
