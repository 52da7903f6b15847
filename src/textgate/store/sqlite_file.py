"""The file of an embedded database: opened, prepared, and served by one process only."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from textgate.domain.errors import Conflict
from textgate.store.migrate import NEWEST, migrate

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 0",
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA temp_store = MEMORY",
)


def connect(path: Path) -> apsw.Connection:
    """Open the file with the settings that every connection has."""
    connection = apsw.Connection(str(path), statementcachesize=200)
    for pragma in SQLITE_PRAGMAS:
        connection.execute(pragma)
    return connection


def prepare(path: Path) -> None:
    """Create the file if need be and bring its schema up to date."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(10_000)
    if connection.pragma("user_version") == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE") if not connection.in_transaction else None
        if migrate(connection.pragma("user_version"), connection.execute, "WITHOUT ROWID"):
            connection.execute(f"PRAGMA user_version = {NEWEST}")
    connection.close()
    path.chmod(0o600)


def lock_of(database: Path) -> Path:
    """Return the file beside ``database``, wherever links lead, that its server holds locked."""
    file = database.resolve()
    return file.with_name(f"{file.name}.lock")


@contextlib.contextmanager
def sole_server(database: Path) -> Iterator[None]:
    """One engine only may work on a database: it ends the leases of the one before.

    Raises ``Conflict`` if another process serves it, ``OSError`` if its folder cannot be used.
    """
    descriptor = os.open(lock_of(database), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Conflict(f"another textgate serves the data in {database}") from None
    else:
        yield
    finally:
        os.close(descriptor)


def is_served(database: Path) -> bool:
    """Whether a process serves ``database`` now. Looks only; raises ``OSError`` if it may not."""
    try:
        descriptor = os.open(lock_of(database), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
