"""Where Deno is, and whether it runs here."""

from pathlib import Path


class Deno:
    """The Deno of this machine: the one set, else the PyPI package's, else the one on PATH."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
