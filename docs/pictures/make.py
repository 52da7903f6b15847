"""Draws the pictures of the documents from the running program (README.md in this folder)."""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich import terminal_theme
from rich.console import Console
from rich.text import Text

from textgate.testing.server import start_server

HERE = Path(__file__).parent
COLUMNS = 102
WINDOW = "1280,1000"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_TIMEOUT_S = 90
# The picture asks no other server for its letters: a monospaced font is on every machine.
FONTS = re.compile(r"@font-face \{.*?\}\n", re.DOTALL)


def on_a_terminal(*command: str) -> str:
    """What a command writes when a person watches, colours included; CalledProcessError."""
    ours, theirs = pty.openpty()
    shown = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(COLUMNS)}
    process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
        command, env=os.environ | shown, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL
    )
    os.close(theirs)
    said = b""
    while part := _read(ours):
        said += part
    os.close(ours)
    if code := process.wait():
        raise subprocess.CalledProcessError(code, command, said)
    return said.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # the other end of a terminal is closed
        return b""


def draw_demo(file: Path) -> None:
    """The output of ``textgate demo`` as a picture of a terminal."""
    said = on_a_terminal(sys.executable, "-m", "textgate", "demo")
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text("$ textgate demo", style="bold"))
        for line in said.splitlines():
            console.print(Text.from_ansi(line), soft_wrap=True)
        drawn = console.export_svg(
            title="textgate demo", theme=terminal_theme.MONOKAI, unique_id="demo"
        )
    file.write_text(FONTS.sub("", drawn) + "\n", "utf-8")


def photograph_openapi(file: Path, browser: str) -> None:
    """The page at ``/docs`` as a browser shows it."""
    with tempfile.TemporaryDirectory() as folder, start_server(Path(folder) / "server") as server:
        subprocess.run(  # noqa: S603  (no shell; the browser was looked up by its name)
            [
                browser,
                "--headless",
                "--no-sandbox",  # it opens our own page only, and may have to run as root
                "--hide-scrollbars",
                f"--window-size={WINDOW}",
                "--virtual-time-budget=8000",
                f"--user-data-dir={folder}/browser",
                f"--screenshot={file}",
                f"{server.url}/docs",
            ],
            check=True,
            timeout=BROWSER_TIMEOUT_S,
            stderr=subprocess.DEVNULL,
        )


def main() -> None:
    """Draw all that can be drawn here."""
    draw_demo(HERE / "demo.svg")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"openapi.png was left as it is: none of {', '.join(BROWSERS)} is here")
    photograph_openapi(HERE / "openapi.png", browser)


if __name__ == "__main__":
    main()
