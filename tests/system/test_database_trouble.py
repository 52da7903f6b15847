"""A real server whose database is somebody else's too: another server's, or locked for long."""

import json
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
from system_world import DELIVERED, MESSAGES, add_simulator, client, environment, message_to, until

from textgate.testing.server import Server, start_server

PROCESS_END_S = 1.0
"""What an interpreter may take to end, on a busy machine."""
MESSAGE = message_to(DELIVERED)


@contextmanager
def locked(server: Server) -> Iterator[None]:
    """Another process's write, under way."""
    with closing(sqlite3.connect(server.data / "textgate.db", isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 5000")
        other.execute("BEGIN IMMEDIATE")
        yield


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
                env=environment(),
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


# --- a lock that is kept ---


def test_while_the_database_is_locked_callers_are_told_so_and_later_all_is_well(
    tmp_path: Path,
) -> None:
    with start_server(tmp_path) as server, client(server) as api:
        add_simulator(api)
        with locked(server):
            health = api.get("/health")
            assert (health.status_code, health.json()["status"]) == (503, "fail")
            assert api.get("/health/live").status_code == 200
            began = time.monotonic()
            refused = api.post(MESSAGES, json=MESSAGE)
            assert time.monotonic() - began < 8
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
        assert api.get("/health").status_code == 200
        assert api.post(MESSAGES, json=MESSAGE).status_code == 202


def test_a_stop_ends_in_time_though_the_database_is_locked_and_loses_no_message(
    tmp_path: Path,
) -> None:
    environ = {"TEXTGATE_STOP_TIMEOUT": "2s"}
    with (
        start_server(tmp_path, environ=environ) as server,
        client(server) as api,
        ThreadPoolExecutor(1) as caller,
    ):
        add_simulator(api, rate=1)
        sent = [api.post(MESSAGES, json=MESSAGE).json()["id"] for _ in range(5)]
        with locked(server):
            waiting = caller.submit(api.post, MESSAGES, json=MESSAGE)
            assert api.get("/health").status_code == 503  # by now the other's write waits too
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 2 + 1 + PROCESS_END_S
            assert waiting.result().status_code == 503
        server.start()
        until(
            lambda: all(state_of(api, one) == "Delivered" for one in sent),
            said=server.log.read_text,
        )


def state_of(api: httpx.Client, message: str) -> str:
    return str(api.get(f"{MESSAGES}/{message}").json()["state"])
