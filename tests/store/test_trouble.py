"""What goes wrong around a write ends it, not the store."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from store_rows import ACCOUNT, DELIVERY, EVENT, Taker, like

from textgate.domain.errors import Conflict, Unavailable
from textgate.domain.event import CallJob
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock
from textgate.testing.vault import VAULT

ANSWERED_S = 5.0
"""A test that waits for an answer gives up after this."""


class Trouble:
    """Makes SQLite fail at a statement; what was asked for last comes first, None is no failure."""

    def __init__(self) -> None:
        self.at: dict[str, list[Exception | None]] = {}

    def watch(self, connection: apsw.Connection) -> None:
        connection.exec_trace = self._meet

    def _meet(self, _: apsw.Cursor, sql: str, __: object) -> bool:
        if (waiting := self.at.get(sql)) and (problem := waiting.pop()):
            raise problem
        return True


@pytest.fixture
def trouble() -> Iterator[Trouble]:
    """Asked for before ``store``, so that it sees the connections opened."""
    trouble = Trouble()
    apsw.connection_hooks.append(trouble.watch)
    yield trouble
    apsw.connection_hooks.remove(trouble.watch)


def add(n: int) -> Callable[[Tx], None]:
    row = like(ACCOUNT, id=f"a{n}", login=f"L{n}")
    return lambda tx: tx.accounts.add(row)


def add_and_fail(tx: Tx) -> None:
    tx.accounts.add(like(ACCOUNT, id="bad", login="BAD"))
    raise Conflict("no")


async def logins(store: SqliteStore) -> list[str]:
    return sorted(a.login for a in await store.read(lambda tx: tx.accounts.all()))


async def answers(store: SqliteStore, *works: Callable[[Tx], object]) -> list[object]:
    """What each of writes asked for at once returned or raised."""
    async with asyncio.timeout(ANSWERED_S):
        return await asyncio.gather(*map(store.write, works), return_exceptions=True)


# --- a lock of somebody else ---


def lock(path: Path) -> apsw.Connection:
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    return other


async def test_a_write_waits_for_a_lock_only_so_long_and_a_later_one_is_made(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = SqliteStore(tmp_path / "textgate.db", clock, VAULT, patience_s=0.2)
    other = lock(tmp_path / "textgate.db")
    for n in (1, 2):  # time and again
        began = time.monotonic()
        [refused] = await answers(store, add(n))
        assert isinstance(refused, Unavailable)
        assert 0.2 <= time.monotonic() - began < 4
    other.execute("ROLLBACK")
    assert await answers(store, add(3)) == [None]
    assert await logins(store) == ["L3"]
    await store.close()


async def test_a_store_is_closed_soon_though_the_database_is_locked(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = SqliteStore(tmp_path / "textgate.db", clock, VAULT)
    other = lock(tmp_path / "textgate.db")
    writing = asyncio.ensure_future(store.write(add(1)))
    await asyncio.sleep(0)
    began = time.monotonic()
    await store.close()
    assert time.monotonic() - began < 4
    with pytest.raises(Unavailable):
        await writing
    other.close()


async def test_a_group_that_is_run_again_waits_for_a_lock_taken_in_between(
    trouble: Trouble, store: SqliteStore
) -> None:
    trouble.at["BEGIN IMMEDIATE"] = [apsw.BusyError(), None]
    found = await answers(store, add(1), add_and_fail, add(2))
    assert trouble.at["BEGIN IMMEDIATE"] == []
    assert [type(one) for one in found] == [type(None), Conflict, type(None)]
    assert await logins(store) == ["L1", "L2"]


# --- one stray exception ---


@pytest.mark.parametrize("wrong", [apsw.IOError, RuntimeError])
@pytest.mark.parametrize(
    "sql", ["BEGIN IMMEDIATE", 'pragma "data_version"', "SAVEPOINT unit", "COMMIT", "ROLLBACK"]
)
async def test_a_statement_that_fails_fails_its_writes_and_the_next_are_made(
    trouble: Trouble, store: SqliteStore, sql: str, wrong: type[Exception]
) -> None:
    trouble.at[sql] = [wrong("stray")]
    first, _, second = await answers(store, add(1), add_and_fail, add(2))
    assert trouble.at[sql] == [], "it was never met"
    assert (type(first), type(second)) == (Unavailable, Unavailable)
    assert await logins(store) == []
    found = await answers(store, add(1), add_and_fail, add(2))
    assert [type(one) for one in found] == [type(None), Conflict, type(None)]
    assert await logins(store) == ["L1", "L2"]


async def test_a_failed_commit_that_cannot_be_undone_at_once_is_undone_later(
    trouble: Trouble, store: SqliteStore
) -> None:
    trouble.at = {"COMMIT": [apsw.IOError()], "ROLLBACK": [apsw.IOError()]}
    [first] = await answers(store, add(1))
    assert isinstance(first, Unavailable)
    await answers(store, add(2))  # meets the open transaction, and ends it
    assert await answers(store, add(3)) == [None]
    assert "L1" not in await logins(store)


async def test_work_is_handed_over_only_after_its_commit(
    trouble: Trouble, store: SqliteStore
) -> None:
    taker, job = Taker(), CallJob(EVENT, DELIVERY)
    store.intake = taker
    trouble.at["COMMIT"] = [apsw.IOError()]
    [refused] = await answers(store, lambda tx: tx.hand_over(job))
    assert isinstance(refused, Unavailable)
    assert taker.taken == []
    assert await answers(store, lambda tx: tx.hand_over(job)) == [None]
    assert taker.taken == [job]


async def test_a_reader_that_could_not_end_its_snapshot_does_not_fail_the_next_read(
    trouble: Trouble, store: SqliteStore
) -> None:
    for _ in range(4):  # more than there are readers
        trouble.at["ROLLBACK"] = [apsw.IOError()]
        with pytest.raises(apsw.IOError):
            await logins(store)
    assert [await logins(store) for _ in range(4)] == [[]] * 4


async def test_what_follows_a_commit_may_fail_without_harm_to_what_else_follows(
    store: SqliteStore,
) -> None:
    done = []

    def follow(act: Callable[[], object]) -> Callable[[Tx], None]:
        return lambda tx: tx.afterwards(lambda: (act(), None)[1])

    works = [follow(lambda: done.append(1)), follow(lambda: 1 / 0), follow(lambda: done.append(2))]
    assert await answers(store, *works, add(1)) == [None] * 4
    assert done == [1, 2]
    assert await answers(store, add(2)) == [None]


async def test_a_write_may_raise_what_no_future_takes(store: SqliteStore) -> None:
    def run_out(tx: Tx) -> None:
        next(iter(()))

    first, second = await answers(store, run_out, add(1))
    assert isinstance(first, RuntimeError)
    assert second is None
