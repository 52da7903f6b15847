"""The ``textgate`` command as a process: what a person or a script sees of it."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 30
COLOURLESS = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "NO_COLOR")


@dataclass
class Command:
    """Runs ``textgate …`` in a folder of its own, without the settings of the caller."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(
        self, *words: str, stdin: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self._words(words),
            cwd=self.folder,
            env=self._environ(variables),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start it; it is killed at the end of the test if it still runs."""
        process = subprocess.Popen(
            self._words(words),
            cwd=self.folder,
            env=self._environ(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def _words(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "textgate", *words]

    def _environ(self, variables: dict[str, str]) -> dict[str, str]:
        hidden = ("TEXTGATE_", *COLOURLESS)
        kept = {name: v for name, v in os.environ.items() if not name.startswith(hidden)}
        return kept | {"COLUMNS": "80"} | self.environ | variables
