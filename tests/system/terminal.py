"""``textgate phone`` as a process of its own, and what it tells in lines of JSON."""

import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from system_world import environment

from textgate.testing.receiver import Call
from textgate.testing.server import Server

WAIT_S = 30.0
Line = dict[str, Any]


class Terminal:
    """A running ``textgate phone --json``."""

    def __init__(self, folder: Path, *options: str, **environ: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "phone.log"
        self.killed = False
        self._news = threading.Condition()
        self._lines: list[Line] = []
        command = [sys.executable, "-m", "textgate", "phone", "--json", "--data", "phone"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *options],
                cwd=folder,
                env=environment() | environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> list[Line]:
        with self._news:
            return list(self._lines)

    def told(self, kind: str, **wanted: Any) -> list[Line]:
        """Lines of a kind with these members."""
        return [
            line
            for line in self.lines
            if line["kind"] == kind and all(line[name] == value for name, value in wanted.items())
        ]

    def wait_for(self, kind: str, *, within_s: float = WAIT_S, **wanted: Any) -> Line:
        """Return the first line of a kind with these members, as soon as there is one."""
        self.wait_until(lambda: bool(self.told(kind, **wanted)), within_s)
        return self.told(kind, **wanted)[0]

    def wait_until(self, holds: Callable[[], bool], within_s: float = WAIT_S) -> None:
        with self._news:
            if not self._news.wait_for(holds, within_s):
                said = "\n".join(map(json.dumps, self._lines[-30:]))
                raise TimeoutError(f"{said}\n{self.log}")

    def type(self, line: str) -> None:
        """What somebody types into it."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    @property
    def log(self) -> str:
        """The end of what it said on standard error."""
        return self._log.read_text("utf-8", "replace")[-4_000:]

    def kill(self) -> None:
        """End it at once, as when the battery is taken out."""
        self.killed = True
        self.process.kill()
        self._close()

    def end(self) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self._close()

    def _close(self) -> None:
        self.process.wait(20)
        self._reader.join(20)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line = json.loads(text)
            with self._news:
                self._lines.append(line)
                self._news.notify_all()


@contextmanager
def terminal(folder: Path, *options: str, **environ: str) -> Iterator[Terminal]:
    """Run it for the time of the block; it must end well."""
    running = Terminal(folder, *options, **environ)
    try:
        yield running
        if not running.killed:
            assert running.end() == 0, running.log
    finally:
        if running.process.poll() is None:
            running.kill()


@contextmanager
def phone_of(server: Server, folder: Path, *options: str) -> Iterator[Terminal]:
    """A phone of the server's account, from when it listens."""
    account = {"TEXTGATE_LOGIN": server.login, "TEXTGATE_PASSWORD": server.password}
    quick = ("--send-ms", "150-300", "--deliver-ms", "150-300")
    with terminal(folder, "--server", server.url, *quick, *options, **account) as phone:
        phone.wait_for("connected")
        yield phone


def is_signed(call: Call, key: str) -> bool:
    """Check the signature of the original (A §4.5)."""
    moment = call.headers["X-Timestamp"]
    assert abs(int(moment) - time.time()) < 60
    expected = hmac.new(key.encode(), call.body + moment.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(call.headers["X-Signature"], expected)
