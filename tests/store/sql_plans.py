"""How SQLite goes about what a verb asks: the plans of the very statements that it runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore


async def plans(store: SqliteStore, work: Callable[[Tx], object]) -> list[str]:
    """Do ``work`` and return the plan of each statement of it, in their order."""
    return await store.write(lambda tx: _plans(tx, work))


def _plans(tx: Tx, work: Callable[[Tx], object]) -> list[str]:
    found: list[str] = []
    ask = {name: getattr(tx, name) for name in ("all", "one", "run")}

    def explained(name: str) -> Callable[..., Any]:
        def explain(sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
            rows = ask["all"](f"EXPLAIN QUERY PLAN {sql}", values)
            found.append("; ".join(row[-1] for row in rows))
            return ask[name](sql, values)

        return explain

    for name in ask:
        setattr(tx, name, explained(name))
    try:
        work(tx)
    finally:
        for name in ask:
            delattr(tx, name)
    return found
