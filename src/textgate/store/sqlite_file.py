"""The file of an embedded database: opened, prepared, and served by one process only."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from textgate.domain.errors import Conflict, Unavailable
from textgate.store.migrate import NEWEST, migrate
from textgate.store.seals import Ask, prove, renew_step
from textgate.store.vault import Vault, WrongKey

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


def prepare(path: Path, vault: Vault) -> Vault:
    """Create the file if need be and bring its schema up to date.

    Returns the vault that seals as this database expects; raises ``Unavailable`` if its secrets
    were sealed with a key that ``vault`` does not have.
    """
    with _one_by_one(path), contextlib.closing(_patient(path)) as connection:
        if connection.pragma("user_version") == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        with connection, _told(path):
            if migrate(connection.pragma("user_version"), connection.execute, "WITHOUT ROWID"):
                connection.execute(f"PRAGMA user_version = {NEWEST}")
            vault = prove(asking(connection), vault)
    path.chmod(0o600)
    return vault


def renew_seals(path: Path, vault: Vault) -> None:
    """Seal with the first key what an older version wrote, or what was sealed with another key.

    To be called before anybody works on the file. Raises as :func:`prepare`.
    """
    prepare(path, vault)
    with contextlib.closing(_patient(path)) as connection:
        connection.transaction_mode = "IMMEDIATE"  # a reader that turns writer may find a rival
        connection.execute("PRAGMA secure_delete = ON")  # what was plain is overwritten
        more = True
        while more:
            with connection, _told(path):
                more = renew_step(asking(connection), vault)


def _patient(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(10_000)
    return connection


@contextlib.contextmanager
def _one_by_one(path: Path) -> Iterator[None]:
    """Keep other processes from preparing a file in this folder meanwhile."""
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def ask_file(path: Path, look: Callable[[Ask], list[str]]) -> list[str]:
    """Return what ``look`` finds in the file; nothing if it is not there, or is an older one."""
    if not path.exists():
        return []
    with contextlib.suppress(apsw.Error):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        with contextlib.closing(connection):
            connection.set_busy_timeout(2_000)
            return look(asking(connection))
    return []


def asking(connection: apsw.Connection) -> Ask:
    """Return what executes a statement on ``connection`` and gives its rows."""
    return lambda sql, values: connection.execute(sql, values).fetchall()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except WrongKey as wrong:
        raise Unavailable(
            f"{path} cannot be used: {wrong.message}; set master_key (TEXTGATE_MASTER_KEY) to the"
            " right one, or put its file master-key back into the data folder"
        ) from None


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
