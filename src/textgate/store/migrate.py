"""Numbered migrations: each file of ``migrations/`` runs once, in order, in one transaction."""

from collections.abc import Callable, Iterator
from importlib.resources import files

from textgate.domain.errors import Unavailable


def migrations() -> Iterator[tuple[int, str]]:
    """Yield (number, SQL) in order."""
    folder = files("textgate.store") / "migrations"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            yield int(file.name[:4]), file.read_text(encoding="utf-8")


NEWEST = max(number for number, _ in migrations())


def migrate(current: int, execute: Callable[[str], object], clustered: str) -> list[int]:
    """Run what is newer than ``current`` and return the numbers run.

    The caller has begun a transaction and records the new number in it. Raises ``Unavailable``
    if the database is newer than this program.
    """
    if current > NEWEST:
        raise Unavailable(
            f"the database has schema {current}, this program knows up to {NEWEST}: "
            "start the newer program that wrote it"
        )
    done = []
    for number, sql in migrations():
        if number > current:
            execute(sql.replace("{clustered}", clustered))
            done.append(number)
    return done
