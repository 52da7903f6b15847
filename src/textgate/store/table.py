"""One table and the struct whose fields are its columns."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from textgate.store.base import Row
from textgate.store.vault import Vault

T = TypeVar("T", bound=msgspec.Struct)


class Table(Generic[T]):
    """Writes and reads rows; columns that hold JSON or lists of words are converted here."""

    def __init__(
        self, name: str, type_: type[T], *, words: Iterable[str] = (), sealed: Iterable[str] = ()
    ) -> None:
        """``words``: fields stored as text joined by blanks. ``sealed``: those stored sealed; for
        such a table :meth:`values` and :meth:`read` want the vault."""
        self.name = name
        self.sealed = tuple(sealed)
        self.type = type_
        self.columns = tuple(type_.__struct_fields__)
        self.select = f"SELECT {', '.join(self.columns)} FROM {name}"
        marks = ", ".join("?" * len(self.columns))
        self.insert = f"INSERT INTO {name} ({', '.join(self.columns)}) VALUES ({marks})"
        hints = get_type_hints(type_)
        wordy = frozenset(words)
        self._decode = [
            (column, decoder)
            for column in self.columns
            if (decoder := _decoder(hints[column], column in wordy)) is not None
        ]
        self._encode = [
            (index, " ".join if column in wordy else to_json)
            for index, column in enumerate(self.columns)
            if column in wordy or _is_json(hints[column])
        ]

    def values(self, row: T, vault: Vault | None = None) -> Row:
        """Return ``row`` as the values of the INSERT."""
        values = msgspec.structs.astuple(row)
        if not self._encode and not self.sealed:
            return values
        changed = list(values)
        for index, encode in self._encode:
            if changed[index] is not None:
                changed[index] = encode(changed[index])
        for column in self.sealed:
            index = self.columns.index(column)
            if changed[index] is not None:
                changed[index] = _needed(vault).seal(changed[index])
        return tuple(changed)

    def read(self, row: Row, vault: Vault | None = None) -> T:
        """Return the struct of one selected row."""
        fields = dict(zip(self.columns, row, strict=True))
        for column in self.sealed:
            if fields[column] is not None:
                fields[column] = _needed(vault).open(fields[column])
        for column, decode in self._decode:
            if fields[column] is not None:
                fields[column] = decode(fields[column])
        return self.type(**fields)


def _needed(vault: Vault | None) -> Vault:
    assert vault is not None, "a table with sealed columns"
    return vault


def to_json(value: Any) -> str:
    """Return a value as a column of JSON holds it."""
    return msgspec.json.encode(value).decode()


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _bare(hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint


def _is_json(hint: Any) -> bool:
    bare = _bare(hint)
    structured = isinstance(bare, type) and issubclass(bare, msgspec.Struct)
    return structured or get_origin(bare) in (dict, list, tuple)


def _decoder(hint: Any, wordy: bool) -> Callable[[Any], Any] | None:
    hint = _bare(hint)
    if wordy:
        return _split
    if _is_json(hint):
        return msgspec.json.Decoder(hint).decode
    if hint is bool or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        found: Callable[[Any], Any] = hint
        return found
    return None
