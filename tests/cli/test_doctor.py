"""``textgate doctor``: each thing that can be wrong is found, and a cure is named."""

import json
import os
import re
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from textgate_command import Command

from textgate.store.migrate import NEWEST
from textgate.store.sqlite_file import prepare
from textgate.store.vault import Vault
from textgate.testing.receiver import Answer, Receiver
from textgate.testing.server import free_port

KEY, OTHER_KEY = "the-master-key-of-this-installation", "the-master-key-of-another-installation"


@pytest.fixture
def data(textgate: Command) -> Path:
    """A data folder as it should be, and a free port."""
    folder = textgate.folder / "data"
    folder.mkdir(mode=0o700)
    textgate.environ |= {"TEXTGATE_DATA": str(folder), "TEXTGATE_PORT": str(free_port())}
    return folder


def found(textgate: Command, *words: str, code: int = 0, **variables: str) -> dict[str, Any]:
    done = textgate("doctor", "--json", *words, **variables)
    assert done.returncode == code, done.stdout + done.stderr
    checks = {check.pop("check"): check for check in map(json.loads, done.stdout.splitlines())}
    assert all(check["cure"] for check in checks.values() if check["level"] != "ok")
    return checks


def test_a_sound_installation_passes_every_check(textgate: Command, data: Path) -> None:
    checks = found(textgate)
    assert {check["level"] for check in checks.values()} == {"ok"}
    assert "SQLite" in checks["program"]["said"]
    assert "libcurl" in checks["program"]["said"]
    assert re.fullmatch(r"Deno \d+\.\d+\.\d+ runs custom scripts", checks["scripts"]["said"])
    assert checks.keys() >= {"settings", "data folder", "disk space", "database", "clock", "port"}


def test_in_a_pipe_it_prints_plain_lines(textgate: Command, data: Path) -> None:
    data.chmod(0o755)
    done = textgate("doctor", FORCE_COLOR="1")
    assert done.returncode == 1
    assert f"fail  data folder: {data} has mode 0755" in done.stdout
    assert f"      → chmod 700 {data}\n" in done.stdout
    assert "\x1b" not in done.stdout


def test_it_changes_nothing(textgate: Command) -> None:
    environ = {"TEXTGATE_DATA": "not-there", "TEXTGATE_PORT": str(free_port())}
    checks = found(textgate, **environ)
    assert "the first start creates it" in checks["data folder"]["said"]
    assert list(textgate.folder.iterdir()) == []


def test_a_wrong_setting_is_a_finding(textgate: Command) -> None:
    checks = found(textgate, code=1, TEXTGATE_MODE="open")
    assert checks["settings"]["level"] == "fail"
    assert "TEXTGATE_MODE = 'open': must be one of" in checks["settings"]["said"]
    assert "port" not in checks


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("#!/bin/sh\nexit 1\n", "Deno does not run on this machine (it does not tell its version)"),
        ("#!/bin/sh\necho deno 1.41.3\n", "Deno 1.41.3 is too old"),
    ],
    ids=["another program", "an old one"],
)
def test_a_deno_that_cannot_run_scripts_is_a_warning(
    textgate: Command, data: Path, program: str, said: str
) -> None:
    deno = textgate.folder / "deno"
    deno.write_text(program)
    deno.chmod(0o755)
    scripts = found(textgate, TEXTGATE_DENO=str(deno))["scripts"]
    assert scripts["level"] == "warn"
    assert said in scripts["said"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_that_cannot_be_written_is_found(textgate: Command, data: Path) -> None:
    data.chmod(0o500)
    assert found(textgate, code=1)["data folder"]["level"] == "fail"


def test_a_file_that_is_no_database_is_found(textgate: Command, data: Path) -> None:
    (data / "textgate.db").write_bytes(b"this is not a database, whatever its name says" * 100)
    database = found(textgate, code=1)["database"]
    assert "does not open" in database["said"]
    assert "backup" in database["cure"]


@pytest.mark.parametrize(
    ("schema", "level", "said"),
    [
        (0, "fail", "was not made by Textgate"),
        (NEWEST, "ok", "is current"),
        (NEWEST + 1, "fail", f"has schema {NEWEST + 1}, this program knows up to {NEWEST}"),
    ],
)
def test_a_database_of_another_schema_is_found(
    textgate: Command, data: Path, schema: int, level: str, said: str
) -> None:
    with sqlite3.connect(data / "textgate.db") as other:
        other.execute("CREATE TABLE thing (id)")
        other.execute(f"PRAGMA user_version = {schema}")
    other.close()
    database = found(textgate, code=level == "fail")["database"]
    assert (database["level"], said in database["said"]) == (level, True)


def sealed(data: Path) -> None:
    """Make a database of this version, sealed with ``KEY``."""
    prepare(data / "textgate.db", Vault(KEY))


def test_the_master_key_that_sealed_the_database_is_well(textgate: Command, data: Path) -> None:
    assert "the first start makes it" in found(textgate)["master key"]["said"]
    sealed(data)
    assert found(textgate, TEXTGATE_MASTER_KEY=KEY)["master key"]["level"] == "ok"
    file = data / "master-key"
    file.write_text(KEY)
    file.chmod(0o600)
    assert found(textgate)["master key"] == {"level": "ok", "said": f"it is in {file}", "cure": ""}


def test_a_master_key_that_others_can_read_is_found(textgate: Command, data: Path) -> None:
    file = data / "master-key"
    file.write_text(KEY)
    file.chmod(0o640)
    key = found(textgate, code=1)["master key"]
    assert (key["level"], key["cure"]) == ("fail", f"chmod 600 {file}")


def test_a_master_key_that_is_gone_or_another_is_found(textgate: Command, data: Path) -> None:
    sealed(data)
    assert "is gone" in found(textgate, code=1)["master key"]["said"]
    key = found(textgate, code=1, TEXTGATE_MASTER_KEY=OTHER_KEY)["master key"]
    assert "sealed with another master key" in key["said"]
    (data / "master-key").touch(mode=0o600)
    assert "must be text" in found(textgate, code=1)["master key"]["said"]


def test_a_database_that_waits_to_be_sealed_anew_is_a_warning(
    textgate: Command, data: Path
) -> None:
    sealed(data)
    key = found(textgate, TEXTGATE_MASTER_KEY=f"{OTHER_KEY} {KEY}")["master key"]
    assert (key["level"], "restart textgate serve" in key["cure"]) == ("warn", True)


def test_a_clock_behind_the_database_is_found(textgate: Command, data: Path) -> None:
    file = data / "textgate.db"
    sqlite3.connect(file).close()
    os.utime(file, (time.time() + 7200, time.time() + 7200))
    assert "ahead of it" in found(textgate, code=1)["clock"]["said"]


def test_a_port_of_another_program_is_found(textgate: Command, data: Path) -> None:
    with Receiver() as other:
        checks = found(textgate, code=1, TEXTGATE_PORT=str(other.port))
        assert "is taken by something else" in checks["port"]["said"]


def test_a_program_that_does_not_speak_http_is_found(textgate: Command, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        assert found(textgate, code=1, TEXTGATE_PORT=str(port))["port"]["level"] == "fail"


def test_a_textgate_that_is_not_well_is_found(textgate: Command, data: Path) -> None:
    ill = json.dumps({"status": "fail", "version": "0", "releaseId": 1}).encode()
    with Receiver(choose=lambda _: Answer(503, body=ill)) as other:
        checks = found(textgate, code=1, TEXTGATE_PORT=str(other.port))
        assert "is not well" in checks["port"]["said"]


def test_an_address_of_another_machine_is_found(textgate: Command, data: Path) -> None:
    port = found(textgate, code=1, TEXTGATE_HOST="192.0.2.1")["port"]
    assert (port["level"], "a host of this machine" in port["cure"]) == ("fail", True)


def test_listening_openly_without_tls_is_a_warning(textgate: Command, data: Path) -> None:
    checks = found(textgate, TEXTGATE_HOST="0.0.0.0")
    assert checks["exposure"]["level"] == "warn"
    assert checks["public_url"]["level"] == "warn"
    behind = found(textgate, TEXTGATE_HOST="0.0.0.0", TEXTGATE_TRUSTED_PROXIES="127.0.0.1")
    assert behind["exposure"]["level"] == "ok"


@pytest.mark.parametrize(
    ("listens", "level", "said"),
    [
        ({}, "ok", "they send their events to http://127.0.0.1:"),
        ({"TEXTGATE_HOST": "localhost"}, "ok", "http://127.0.0.1:"),
        ({"TEXTGATE_HOST": "0.0.0.0"}, "warn", "no use to a phone on another one"),
        ({"TEXTGATE_TRUSTED_PROXIES": "127.0.0.1"}, "warn", "no use to a phone on another one"),
        ({"TEXTGATE_PUBLIC_URL": "https://sms.example.com"}, "ok", "https://sms.example.com"),
        ({"TEXTGATE_PUBLIC_URL": "http://sms.example.com"}, "warn", "https:// addresses only"),
    ],
)
def test_whether_phones_send_their_events_is_said(
    textgate: Command, data: Path, listens: dict[str, str], level: str, said: str
) -> None:
    check = found(textgate, **listens)["phones"]
    assert check["level"] == level
    assert said in check["said"]
    assert ("TEXTGATE_PUBLIC_URL" in check["cure"]) is (level == "warn")


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("https://sms.example.com", "ok"),
        ("http://sms.example.com", "warn"),
        ("https://localhost", "warn"),
        ("https://192.168.1.5", "warn"),
        ("https://[fd00::1]:8443", "warn"),
    ],
)
def test_a_public_address_that_others_cannot_use_is_a_warning(
    textgate: Command, data: Path, url: str, level: str
) -> None:
    assert found(textgate, TEXTGATE_PUBLIC_URL=url)["public_url"]["level"] == level


def test_a_certificate_is_compared_with_the_public_address(
    textgate: Command, data: Path, tls: tuple[Path, Path]
) -> None:
    textgate.environ |= {"TEXTGATE_TLS_CERT": str(tls[0]), "TEXTGATE_TLS_KEY": str(tls[1])}
    assert found(textgate)["certificate"]["level"] == "ok"
    wrong = found(textgate, code=1, TEXTGATE_PUBLIC_URL="https://sms.example.com")["certificate"]
    assert "not valid for 'sms.example.com'" in wrong["said"]
