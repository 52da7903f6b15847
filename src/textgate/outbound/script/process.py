"""One Deno process: started, watched, and ended for sure."""

import asyncio
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from textgate.domain.script import Program
from textgate.outbound.script import launch
from textgate.outbound.script.modules import import_map

_RUNNER = Path(__file__).parent / "runner"
_KEPT_STDERR = 8192
"""Bytes; what is beyond is read and dropped."""
_MIB = 1024 * 1024
_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


class Process(asyncio.SubprocessProtocol):
    """A running Deno. ``heard`` gets what it says, ``gone`` is called once, when it has ended."""

    def __init__(self, heard: Callable[[bytes], None], gone: Callable[[], None]) -> None:
        self._heard, self._gone = heard, gone
        self._transport: asyncio.SubprocessTransport | None = None
        self._input: asyncio.WriteTransport | None = None
        self._stderr = bytearray()
        self._folder: Path | None = None
        self._unwanted = False
        self.ended = asyncio.Event()

    async def start(
        self, deno: Path, program: Program, internal: frozenset[str], *, memory_mb: int
    ) -> None:
        """Start it. Raises OSError."""
        folder = self._folder = _folder()
        try:
            imports = _lay_out(folder, program, internal)
            await asyncio.get_running_loop().subprocess_exec(
                lambda: self,
                *(sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(deno)),
                *("run", "--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm"),
                *("--no-code-cache", "--quiet", "--import-map", str(imports)),
                f"--v8-flags=--max-old-space-size={memory_mb * 3 // 4}",
                str(folder / "runner.ts"),
                env={},
                cwd=folder,
                start_new_session=True,
            )
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """End it, however far its start has come."""
        self._unwanted = True
        self.kill()
        if self._transport is None:
            self._end()

    def limit_memory(self, memory_mb: int) -> None:
        """Let it take so much more than it has now. What V8 reserves, but does not use, counts as
        little for this as for ``memory``; an allocation beyond fails within the script."""
        pid = self.pid
        if pid is None or sys.platform != "linux":
            return
        with suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
                if line.startswith("VmData:"):
                    most = int(line.split()[1]) * 1024 + memory_mb * _MIB
                    resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))

    def tidy(self) -> None:
        """Remove its files, when it has read them."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def pid(self) -> int | None:
        """Its number while it runs."""
        transport = self._transport
        if transport is None or transport.get_returncode() is not None:
            return None
        return transport.get_pid()

    def memory(self) -> int:
        """MiB that are its own: without the program's pages, which all such processes share.

        0 where that cannot be told.
        """
        try:
            _, resident, shared, *_ = Path(f"/proc/{self.pid}/statm").read_bytes().split()
        except (OSError, ValueError):
            return 0
        return (int(resident) - int(shared)) * _PAGE // _MIB

    def cpu(self) -> float | None:
        """Seconds of processor time that it has used; None where that cannot be told."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_bytes()
            fields = text.rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS
        except (OSError, ValueError, IndexError):
            return None

    def last_words(self) -> str:
        """The beginning of what it wrote to standard error: for the log, not for users."""
        return self._stderr.decode("utf-8", "replace")

    def write(self, data: bytes) -> None:
        """Say something to it; nothing happens if it has ended."""
        if self._input is not None and not self._input.is_closing():
            self._input.write(data)

    def kill(self) -> None:
        """End it now, and whatever it may have started."""
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # not yet the leader of its group

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By their words: uvloop's are of no class of asyncio's.
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._input = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        if self._unwanted:
            self.kill()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self._heard(data)
        elif len(self._stderr) < _KEPT_STDERR:
            self._stderr += data[: _KEPT_STDERR - len(self._stderr)]

    def connection_lost(self, _: Exception | None) -> None:
        if self._transport is not None:
            self._transport.close()
        self._end()

    def _end(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            self.tidy()
            self._gone()


def _folder() -> Path:
    """A folder to work in: private, and gone again as soon as what is in it has been read."""
    return Path(tempfile.mkdtemp(prefix="textgate-script-")).resolve()


def _lay_out(folder: Path, program: Program, internal: frozenset[str]) -> Path:
    """Put there what is read at the start; return the import map."""
    for file in _RUNNER.glob("*.ts"):
        shutil.copyfile(file, folder / file.name)
    imports = folder / "imports.json"
    imports.write_bytes(import_map(program, internal=internal, runner=folder))
    return imports
