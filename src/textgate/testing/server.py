"""A real server as a process, on a free port of the loopback, with its data in a given folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 60.0
_POLL_S = 0.02
_LOG_SHOWN = 4_000


@dataclass(frozen=True, slots=True)
class Credentials:
    """What ``textgate account add`` printed."""

    login: str
    password: str


class Server:
    """A running ``textgate serve``. As a context manager it is stopped at the end."""

    def __init__(self, folder: Path, environ: Mapping[str, str], port: int) -> None:
        self.folder, self.port = folder, port
        self.data = folder / "data"
        self.log = folder / "server.log"
        """Standard output and standard error of all starts, in one file."""
        self.url = f"http://127.0.0.1:{port}"
        self._environ = _environ(self.data, port, environ)
        self._process: subprocess.Popen[bytes] | None = None
        self.login, self.password = "", ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self.kill()

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Start and wait until it answers; RuntimeError with the end of its log if it does not."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "textgate", "serve"]
            self._process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
                command,
                cwd=self.folder,  # a textgate.toml of the caller's folder does not count
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self.kill()
            raise

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """Ask it to stop (SIGTERM) and return its exit code; None when it was not running.

        TimeoutExpired if it does not end in time; it then runs on.
        """
        if self._process is None:
            return None
        self._process.terminate()
        code = self._process.wait(timeout_s)
        self._process = None
        return code

    def kill(self) -> None:
        """End it at once (SIGKILL), as a power cut would; nothing if it is not running."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop it if it still runs, and start again: same data, same port."""
        self.stop()
        self.start()

    def add_account(self) -> Credentials:
        """Add an account by the command line, with or without the server running."""
        said = self.command("account", "add", "--json")
        return Credentials(**json.loads(said))

    def command(self, *arguments: str) -> str:
        """Run ``textgate …`` on this server's data; RuntimeError with what it said if it fails."""
        command = [sys.executable, "-m", "textgate", *arguments]
        done = subprocess.run(  # noqa: S603  (our own command, no shell)
            command,
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            spoken = f"{done.stdout}{done.stderr}"[-_LOG_SHOWN:]
            raise RuntimeError(f"textgate {' '.join(arguments)}: exit {done.returncode}\n{spoken}")
        return done.stdout

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process

    def _wait_until_healthy(self) -> None:
        process, until = self._running(), time.monotonic() + START_TIMEOUT_S
        while not _healthy(self.url):
            if process.poll() is not None:
                raise RuntimeError(
                    f"ended with {process.returncode} at the start\n{self._spoken()}"
                )
            if time.monotonic() > until:
                raise RuntimeError(f"not healthy after {START_TIMEOUT_S:g} s\n{self._spoken()}")
            time.sleep(_POLL_S)

    def _spoken(self) -> str:
        return self.log.read_text("utf-8", "replace")[-_LOG_SHOWN:]


def start_server(
    folder: Path, *, environ: Mapping[str, str] | None = None, port: int | None = None
) -> Server:
    """Start a server with one account (no channels) and return it once it is healthy.

    ``environ`` holds further ``TEXTGATE_*`` settings; those of the calling process do not count.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder, environ or {}, free_port() if port is None else port)
    account = server.add_account()
    server.login, server.password = account.login, account.password
    server.start()
    return server


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environ(data: Path, port: int, more: Mapping[str, str]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TEXTGATE_")}
    own = {
        "TEXTGATE_DATA": str(data),
        "TEXTGATE_HOST": "127.0.0.1",
        "TEXTGATE_PORT": str(port),
        "TEXTGATE_LOG_FORMAT": "json",
    }
    return inherited | own | dict(more)


# A proxy of the environment must not see calls to the loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _healthy(url: str) -> bool:
    try:
        with _opener.open(f"{url}/health", timeout=2) as answer:
            healthy: bool = answer.status == 200
            return healthy
    except (urllib.error.URLError, OSError):
        return False
