"""The commands as scripts see them: help, versions, exit codes, and no colours in a pipe."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from textgate_command import Command

COMMANDS = [
    (),
    ("serve",),
    ("demo",),
    ("account",),
    ("account", "add"),
    ("account", "list"),
    ("account", "password"),
    ("account", "remove"),
    ("send",),
    ("listen",),
    ("events",),
    ("events", "tail"),
    ("doctor",),
]
NEEDED_FOR_HELP = {"cli", "domain"}
"""Parts of the house; every other one waits until a command needs it."""
NOT_NEEDED_FOR_HELP = {
    *("apsw", "argon2", "asyncio", "certifi", "cryptography", "http", "httptools", "idna", "jwt"),
    *("phonenumbers", "prometheus_client", "pycurl", "rich", "sqlite3", "ssl", "starlette"),
    *("structlog", "urllib.request", "uvicorn", "uvloop"),
}
"""What takes long to load."""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_its_exit_codes(
    textgate: Command, words: tuple[str, ...]
) -> None:
    done = textgate(*words, "--help", FORCE_COLOR="1")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    said = " ".join(done.stdout.split())
    assert "0 it worked, 1 it failed or was refused, 2 wrong usage or a wrong setting" in said
    assert "3 the server cannot be reached" in said
    assert "\x1b" not in done.stdout


def test_help_is_quick_as_it_loads_nothing_that_it_does_not_need(textgate: Command) -> None:
    done = textgate("--help", PYTHONPROFILEIMPORTTIME="1")
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert {"textgate.cli.commands", "typer"} <= loaded, "the list of what was loaded is not read"
    assert loaded & NOT_NEEDED_FOR_HELP == set()
    ours = {name.split(".")[1] for name in loaded if name.startswith("textgate.")}
    assert ours == NEEDED_FOR_HELP


def test_the_version_is_one_line(textgate: Command) -> None:
    from textgate import __version__

    assert textgate("--version").stdout == f"textgate {__version__}\n"


def test_without_a_command_the_help_is_shown_as_wrong_usage(textgate: Command) -> None:
    done = textgate()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sned",), "No such command 'sned'. Did you mean 'send'?"),
        (("serve", "--prot", "1"), "No such option: --prot"),
        (("serve", "--port", "http"), "wrong setting: --port = 'http': must be a whole number"),
        (("serve", "--config", "gone.toml"), "wrong setting: --config = 'gone.toml': must be"),
        (("account", "list", "--database-url", "postgresql://me:pw@db/x"), "SQLite only"),
        (("send", "+4915112345678"), "Missing argument"),
        (("send", "+4915112345678", "hi"), "which account? set --user (or TEXTGATE_LOGIN)"),
        (("send", "1", "hi", "--user", "a", "--password", "b", "--server", "here"), "--server"),
        (("listen", "--answer", "99"), "--answer '99': must be statuses from 200 to 599"),
        (("listen", "--secret", "whsec_%"), "--secret: whsec_ must be followed by base64"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else None,
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    textgate: Command, words: tuple[str, ...], said: str
) -> None:
    done = textgate(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_one_line_whatever_the_source(textgate: Command) -> None:
    done = textgate("serve", TEXTGATE_JWT_SECRET="short-secret")
    said = "wrong setting: TEXTGATE_JWT_SECRET = •••: must have at least 32 bytes\n"
    assert (done.returncode, done.stderr) == (2, said)
    (textgate.folder / "textgate.toml").write_text("retention = '1s'\n")
    done = textgate("serve")
    said = "wrong setting: retention in textgate.toml = '1s': must be from 1h to 3650d\n"
    assert (done.returncode, done.stderr) == (2, said)
    done = textgate("serve", "--mode", "open")
    said = "wrong setting: --mode = 'open': must be one of: private, public\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_every_flag_of_serve_is_a_setting_of_the_same_name(textgate: Command) -> None:
    from textgate.reading import READERS

    said = textgate("serve", "--help").stdout
    flags = {line.split()[0] for line in said.splitlines() if line.startswith("  --")}
    settings = {"--" + name.replace("_", "-") for name in READERS}
    assert flags - settings == {"--config", "--json"}
    assert {"--host", "--port", "--data", "--tls-cert", "--allow-addresses"} <= flags


def test_on_a_terminal_the_help_has_colours() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "textgate", "--help"],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"},
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            said += part
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[" in said


def test_the_example_in_the_page_on_settings_says_what_the_command_says(
    textgate: Command,
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    blocks = re.findall(r"^```console\n\$ (.+)\n([^`]+)^```", page, re.MULTILINE)
    assert blocks
    for line, expected in blocks:
        *variables, name, command = line.split()
        assert name == "textgate"
        done = textgate(command, **dict(variable.split("=") for variable in variables))
        assert done.stdout + done.stderr == expected
