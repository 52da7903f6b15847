"""Where Deno is, and whether it runs here."""

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path

from textgate.domain.errors import Unavailable
from textgate.outbound.script.modules import internal_modules

SETTING = "TEXTGATE_DENO"
OLDEST = (2, 9)
"""What the runner needs: file descriptors that are none of Deno's own numbers."""
_PACKAGE = "install the Python package `deno` beside Textgate"
INSTALL = f"{_PACKAGE}, or Deno itself on the PATH, or name it in {SETTING}"
"""What to do where there is none that runs."""
_VERSION_SECONDS = 10.0
"""The first start after an installation reads 100 MB from the disk."""


class Deno:
    """The Deno of this machine: the one set, else the PyPI package's, else the one on PATH."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._found: Path | None = None
        self._proven: tuple[Path, int] | None = None
        self._internal: tuple[Path, frozenset[str]] | None = None

    @property
    def path(self) -> Path:
        """The program. Raises Unavailable, which says what to install."""
        # A Deno that is missing is looked for again: it may be installed while the server runs.
        if self._found is None or not self._found.is_file():
            self._found = self._look()
        return self._found

    def _look(self) -> Path:
        if self._path is not None:
            if not _is_program(self._path):
                raise Unavailable(
                    f"scripts need Deno, and {SETTING} names no program that can run: name one, or"
                    f" leave it out and {_PACKAGE}"
                )
            return self._path.absolute()
        if (packaged := _packaged()) is not None:
            return packaged
        if (named := shutil.which("deno")) is not None:
            return Path(named).absolute()
        raise Unavailable(f"scripts need Deno, which is missing here: {INSTALL}")

    async def program(self) -> Path:
        """Return the program, once it has told its version. Raises Unavailable as ``version`` does.

        What is no Deno may end without a word, which would look like a check that found nothing.
        """
        path = self.path
        seen = path, path.stat().st_ctime_ns  # another one when it is replaced
        if self._proven != seen:
            await self.version()
            self._proven = seen
        return path

    async def internal_modules(self) -> frozenset[str]:
        """Return the names of its own modules, which no script may import. Raises Unavailable."""
        path = self.path
        if self._internal is None or self._internal[0] != path:
            try:
                self._internal = path, await asyncio.to_thread(internal_modules, path)
            except (OSError, ValueError) as error:
                raise Unavailable(f"Deno cannot be read on this machine: {error}") from None
        return self._internal[1]

    async def version(self) -> str:
        """Start it and return its version, within 10 s.

        Raises Unavailable if it is missing, does not run here or is too old.
        """
        path = self.path
        try:
            said = await _first_line(path)
        except (OSError, TimeoutError) as error:
            why = "it does not answer" if isinstance(error, TimeoutError) else error.strerror
            raise Unavailable(f"Deno does not run on this machine ({why}): {INSTALL}") from None
        words = said.split()
        version = words[1] if len(words) > 1 and words[0] == "deno" else ""
        parts = version.split(".")
        if len(parts) < 3 or not all(part.isdigit() for part in parts[:2]):
            why = "it does not tell its version"
            raise Unavailable(f"Deno does not run on this machine ({why}): {INSTALL}")
        if (int(parts[0]), int(parts[1])) < OLDEST:
            needed = ".".join(map(str, OLDEST))
            raise Unavailable(
                f"Deno {version} is too old, scripts need {needed} or newer: {INSTALL}"
            )
        return version


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _packaged() -> Path | None:
    try:
        from deno import find_deno_bin

        path = Path(find_deno_bin())
    except (ImportError, OSError):
        return None
    return path if _is_program(path) else None


async def _first_line(path: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        path,
        "--version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_VERSION_SECONDS):
            said = await process.stdout.read(200)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return said.decode("utf-8", "replace").partition("\n")[0]
