"""A plugin for pytest: writes down each statement that SQLite is given, once.

``TEXTGATE_TEST_SQL`` names the file; a line of JSON for each statement.
"""

import json
import os
from pathlib import Path
from typing import Any

import apsw

_seen: set[str] = set()


def _note(_: apsw.Cursor, sql: str, __: Any) -> bool:
    _seen.add(sql)
    return True


def _watch(connection: apsw.Connection) -> None:
    connection.exec_trace = _note


def pytest_configure() -> None:
    apsw.connection_hooks.append(_watch)


def pytest_sessionfinish() -> None:
    lines = "".join(json.dumps(sql) + "\n" for sql in sorted(_seen))
    Path(os.environ["TEXTGATE_TEST_SQL"]).write_text(lines, encoding="utf-8")
