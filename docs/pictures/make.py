"""Draws the pictures of the documents from the running program (README.md in this folder)."""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from rich import terminal_theme
from rich.console import Console
from rich.text import Text

from textgate.testing.server import start_server

HERE = Path(__file__).parent
COLUMNS, LINES = 102, 40
WINDOW = "1280,1000"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_TIMEOUT_S = 90
# The picture asks no other server for its letters: a monospaced font is on every machine.
FONTS = re.compile(r"@font-face \{.*?\}\n", re.DOTALL)


def on_a_terminal(*command: str) -> str:
    """What a command writes when a person watches, colours included; CalledProcessError."""
    ours, theirs = pty.openpty()
    shown = {
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "COLUMNS": str(COLUMNS),
        "LINES": str(LINES),
    }
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
    draw(file, "textgate demo", on_a_terminal(sys.executable, "-m", "textgate", "demo"))


def draw(file: Path, command: str, said: str) -> None:
    """What a command said, as a picture of a terminal."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {command}", style="bold"))
        for line in said.splitlines():
            console.print(Text.from_ansi(line), soft_wrap=True)
        drawn = console.export_svg(title=command, theme=terminal_theme.MONOKAI, unique_id=file.stem)
    file.write_text(FONTS.sub("", drawn) + "\n", "utf-8")


def draw_phone(file: Path) -> None:
    """The live screen of ``textgate phone`` as it was at its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "incoming").write_text("+12025550161\tHow do I get to you?\n")
        with start_server(folder / "server") as server:
            account = (server.login, server.password)
            sending = threading.Thread(target=send_some, args=(server.url, account))
            sending.start()
            said = on_a_terminal(
                *(sys.executable, "-m", "textgate", "phone", "--count", "3", "--seed", "4"),
                *("--server", server.url, "--user", account[0], "--password", account[1]),
                *("--data", f"{name}/phones", "--incoming", f"{name}/incoming"),
                *("--sim", "+12025550142", "--battery", "71", "--failures", "0.2", "--for", "8"),
            )
            sending.join()
    screen = said.rpartition("\x1b[2K")[2].replace(f"{name}/phones", "textgate-phone")
    draw(file, "textgate phone --count 3", screen)


def send_some(url: str, account: tuple[str, str]) -> None:
    """Give the phones something to do, as soon as there are any."""
    with httpx.Client(base_url=url, auth=account, trust_env=False) as api:
        ends = time.monotonic() + BROWSER_TIMEOUT_S
        while len(api.get("/3rdparty/v1/devices").json()) < 3 and time.monotonic() < ends:
            time.sleep(0.1)
        for n in range(101, 107):
            wanted = {"textMessage": {"text": "Hello"}, "phoneNumbers": [f"+12025550{n}"]}
            api.post("/3rdparty/v1/messages", json=wanted).raise_for_status()


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
    draw_phone(HERE / "phone.svg")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"openapi.png was left as it is: none of {', '.join(BROWSERS)} is here")
    photograph_openapi(HERE / "openapi.png", browser)


if __name__ == "__main__":
    main()
