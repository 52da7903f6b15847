"""A real server whose database is somebody else's too: another server's, or locked for long."""

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from textgate.testing.server import Server, start_server

MESSAGES = "/3rdparty/v1/messages"
MESSAGE = {"textMessage": {"text": "Hello"}, "phoneNumbers": ["+12025550101"]}


@contextmanager
def locked(server: Server) -> Iterator[None]:
    """Another process's write, under way."""
    with closing(sqlite3.connect(server.data / "textgate.db", isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 5000")
        other.execute("BEGIN IMMEDIATE")
        yield


def client(server: Server) -> httpx.Client:
    return httpx.Client(
        base_url=server.url, auth=(server.login, server.password), trust_env=False, timeout=20
    )


def finding(server: Server, name: str) -> dict[str, Any]:
    checks = map(json.loads, server.command("doctor", "--json").splitlines())
    [found] = [check for check in checks if check["check"] == name]
    return dict(found)


# --- one server for one database ---


def test_a_second_server_on_the_same_database_is_refused_wherever_its_data_folder_is(
    tmp_path: Path,
) -> None:
    with start_server(tmp_path) as server:
        file = server.data / "textgate.db"
        link = tmp_path / "link.db"
        link.symlink_to(file)
        for spelt in (file, link):
            words = ["--port", "0", "--data", "other", "--database-url", f"sqlite:///{spelt}"]
            second = subprocess.run(
                [sys.executable, "-m", "textgate", "serve", *words],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert (second.returncode, second.stdout) == (1, "")
            assert second.stderr == f"another textgate serves the data in {spelt}\n"
        lock = file.with_name("textgate.db.lock")
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_doctor_tells_whether_a_server_works_on_the_database(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        file = server.data / "textgate.db"
        served = finding(server, "server")
        assert (served["level"], served["said"]) == ("ok", f"a server works on {file} now")
        server.stop()
        unserved = finding(server, "server")
        assert (unserved["level"], unserved["said"]) == ("ok", f"no server works on {file}")
        server.start()
