"""``textgate serve``: what is printed at a start, and how it stops."""

import json
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import httpx
import pytest
from textgate_command import Command

from textgate.testing.server import free_port

START_LINES = 7


def started(textgate: Command, *words: str) -> tuple[subprocess.Popen[str], str]:
    """A server that has announced itself, and its first line."""
    process = textgate.start("serve", *words)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    return process, line


def stopped(process: subprocess.Popen[str]) -> str:
    """Stop it as a service manager does; what else it had printed."""
    process.send_signal(signal.SIGTERM)
    said, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, complaints
    return said


@pytest.fixture
def here(textgate: Command) -> str:
    port = str(free_port())
    textgate.environ |= {"TEXTGATE_PORT": port}
    return f"http://127.0.0.1:{port}"


def started_first(textgate: Command) -> tuple[subprocess.Popen[str], list[str], tuple[str, str]]:
    """A server on new data, what it has said, and the account that it has named."""
    process, first = started(textgate)
    assert process.stdout is not None
    lines = [first] + [process.stdout.readline() for _ in range(START_LINES - 1)]
    said = "".join(lines)
    [login] = re.findall(r"^  login     (\S+)$", said, re.MULTILINE)
    [password] = re.findall(r"^  password  (\S+)   \(shown this once\)$", said, re.MULTILINE)
    return process, lines, (login, password)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not on PATH: its line was NOT tried")
def test_the_curl_line_of_the_first_start_works(textgate: Command, here: str) -> None:
    process, lines, account = started_first(textgate)
    done = subprocess.run(
        ["bash", "-c", lines[-1]], capture_output=True, text=True, check=True, timeout=20
    )
    message = json.loads(done.stdout)
    assert message["recipients"][0]["phoneNumber"] == "+12025550101"
    answer = httpx.get(f"{here}/3rdparty/v1/messages/{message['id']}", auth=account)
    assert answer.status_code == 200
    assert stopped(process) == ""


def test_the_first_start_prints_an_account_and_a_curl_line_and_a_later_one_its_address(
    textgate: Command, here: str
) -> None:
    process, lines, (login, password) = started_first(textgate)
    assert lines[0] == f"Textgate is ready on {here}\n"
    assert lines[-1].strip().startswith(f"curl -u {login}:{password} ")
    assert stopped(process) == ""
    folder = textgate.folder / "textgate-data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(not stat.S_IMODE(file.stat().st_mode) & 0o077 for file in folder.iterdir()), (
        "a file in the data folder can be read by others"
    )

    process, first = started(textgate)
    assert first == f"{here}\n"
    answer = httpx.get(f"{here}/3rdparty/v1/devices", auth=(login, password))
    assert answer.status_code == 200
    assert stopped(process) == "", "a later start prints the address only"


def test_for_a_program_the_start_is_one_line_of_json(textgate: Command) -> None:
    process, line = started(textgate, "--json", "--port", "0", "--data", "elsewhere")
    first = json.loads(line)
    assert first.keys() == {"url", "data", "login", "password"}
    assert httpx.get(f"{first['url']}/health").status_code == 200
    assert stopped(process) == ""
    process, line = started(textgate, "--json", "--port", "0", "--data", "elsewhere")
    assert json.loads(line).keys() == {"url", "data"}
    stopped(process)


def test_https_is_served_without_a_proxy(textgate: Command, tls: tuple[Path, Path]) -> None:
    words = ("--json", "--port", "0", "--tls-cert", str(tls[0]), "--tls-key", str(tls[1]))
    process, line = started(textgate, *words)
    first = json.loads(line)
    assert first["url"].startswith("https://")
    account = ("--user", first["login"], "--password", first["password"])
    words = ("send", "+12025550101", "Hello", "--wait", "--server", first["url"], *account)
    done = textgate(*words, "--ca-file", str(tls[0]))
    assert done.returncode == 0, done.stderr
    unknown = textgate(*words)
    assert unknown.returncode == 3, "its authority is not known without --ca-file"
    stopped(process)


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("account", "list")])
def test_data_that_cannot_be_used_is_told_in_one_line(
    textgate: Command, words: tuple[str, ...]
) -> None:
    nowhere = textgate(*words, "--data", "/proc/textgate")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (1, 1)
    assert "/proc/textgate" in nowhere.stderr

    (textgate.folder / "textgate-data").mkdir(mode=0o700)
    file = textgate.folder / "textgate-data" / "textgate.db"
    file.write_bytes(b"this is not a database, whatever its name says" * 100)
    broken = textgate(*words)
    assert broken.returncode == 1
    assert "textgate-data/textgate.db cannot be used" in broken.stderr
    assert "Traceback" not in broken.stderr
