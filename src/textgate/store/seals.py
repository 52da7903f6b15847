"""What is sealed in a database, and the proof that the keys at hand are those that sealed it.

The table ``vault`` has one row. Its ``proof`` holds, between blanks, a word sealed with each key
that may have sealed something: usually one; two while secrets are being sealed anew.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from textgate.store.accounts import ACCOUNT
from textgate.store.base import Row
from textgate.store.channels import CHANNEL
from textgate.store.ingresses import INGRESS
from textgate.store.scripts import VERSION
from textgate.store.table import Table
from textgate.store.vault import Vault, WrongKey, key_of

Ask = Callable[[str, Sequence[Any]], list[Row]]

STEP = 50
"""Rows that one step of sealing anew looks at. One may hold a script of 100 KiB."""

_WORD = "textgate"
_TABLES: tuple[tuple[Table[Any], tuple[str, ...]], ...] = (
    (ACCOUNT, ("id",)),
    (CHANNEL, ("account_id", "id")),
    (INGRESS, ("account_id", "id")),
    (VERSION, ("account_id", "channel_id", "n")),
)
"""Each table with sealed columns, and its primary key."""


def sealed_with(ask: Ask) -> list[str]:
    """Return the names of the keys that this database is sealed with; none if it is new."""
    return [key_of(one) for one in _proof(ask)]


def check(ask: Ask, vault: Vault) -> list[str]:
    """Return the same. Raises ``WrongKey`` unless ``vault`` has each of them."""
    if any(vault.open(one) != _WORD for one in _proof(ask)):
        raise WrongKey("the proof in the database is damaged")
    return sealed_with(ask)


def prove(ask: Ask, vault: Vault) -> Vault:
    """Return the vault that seals as this database expects. Raises ``WrongKey``.

    A first key that the database does not know yet opens only: all processes seal with one that
    the others have, until :func:`renew_step` has been called.
    """
    if names := check(ask, vault):
        return vault.preferring(names)
    ask("INSERT INTO vault (id, proof) VALUES (1, ?)", [vault.seal(_WORD)])
    return vault


def renew_step(ask: Ask, vault: Vault) -> bool:
    """Seal some of what is not sealed with the first key; whether there may be more.

    Each call is for a transaction of its own. Broken off anywhere, the next one goes on, and both
    keys are asked for until the last has been made.
    """
    proof = _proof(ask)
    if vault.sealing not in map(key_of, proof):
        _set_proof(ask, [*proof, vault.seal(_WORD)])
        return True
    for table, key in _TABLES:
        if _renew_some(ask, vault, table, key):
            return True
    if len(proof) > 1:
        _set_proof(ask, [one for one in proof if key_of(one) == vault.sealing])
    return False


def _renew_some(ask: Ask, vault: Vault, table: Table[Any], key: tuple[str, ...]) -> bool:
    columns = table.sealed
    # NULL is neither equal nor different: a column without a value is none to seal.
    stale = " OR ".join(f"substr({column}, 1, ?) <> ?" for column in columns)
    rows = ask(
        f"SELECT {', '.join((*key, *columns))} FROM {table.name} WHERE {stale} LIMIT ?",
        [*(len(vault.prefix), vault.prefix) * len(columns), STEP],
    )
    assign = ", ".join(f"{column} = ?" for column in columns)
    match = " AND ".join(f"{column} = ?" for column in key)
    for row in rows:
        found, values = row[: len(key)], row[len(key) :]
        anew = [None if value is None else vault.seal(vault.open(value)) for value in values]
        ask(f"UPDATE {table.name} SET {assign} WHERE {match}", [*anew, *found])
    return bool(rows)


def _proof(ask: Ask) -> list[str]:
    rows = ask("SELECT proof FROM vault WHERE id = 1", [])
    return str(rows[0][0]).split() if rows else []


def _set_proof(ask: Ask, proof: Iterable[str]) -> None:
    ask("UPDATE vault SET proof = ? WHERE id = 1", [" ".join(proof)])
