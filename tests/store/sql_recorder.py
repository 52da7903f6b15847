"""A plugin for pytest: writes down what SQLite is given, and which verbs of the nouns nobody used.

``TEXTGATE_TEST_SQL`` names the file of JSON: ``statements``, each once, and ``unused``, as
``Noun.verb``.
"""

import inspect
import json
import os
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import apsw

import textgate.store.sqlite  # noqa: F401  (it knows every noun)
from textgate.store.noun import Noun

_seen: set[str] = set()
_used: set[str] = set()


def _note(_: apsw.Cursor, sql: str, __: Any) -> bool:
    _seen.add(sql)
    return True


def _watch(connection: apsw.Connection) -> None:
    connection.exec_trace = _note


def _nouns(base: type[Noun] = Noun) -> Iterator[type[Noun]]:
    for noun in base.__subclasses__():
        yield noun
        yield from _nouns(noun)


def _verbs(noun: type[Noun]) -> dict[str, Callable[..., Any]]:
    found = inspect.getmembers(noun, inspect.isfunction)
    return {name: verb for name, verb in found if not name.startswith("_")}


def _noted(verb: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(verb)
    def noting(self: Noun, *values: Any, **named: Any) -> Any:
        _used.add(f"{type(self).__name__}.{verb.__name__}")
        return verb(self, *values, **named)

    return noting


def pytest_configure() -> None:
    apsw.connection_hooks.append(_watch)
    for noun in list(_nouns()):
        for name, verb in _verbs(noun).items():
            if name in vars(noun):
                setattr(noun, name, _noted(verb))


def pytest_sessionfinish() -> None:
    every = {
        f"{noun.__name__}.{name}"
        for noun in _nouns()
        if not noun.__subclasses__()  # a noun of its own, and not what several share
        for name in _verbs(noun)
    }
    found = {"statements": sorted(_seen), "unused": sorted(every - _used)}
    Path(os.environ["TEXTGATE_TEST_SQL"]).write_text(json.dumps(found), encoding="utf-8")
