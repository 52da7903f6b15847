"""SQLite: one file, WAL, ``synchronous=FULL``, and many writes in one commit.

The work of a write runs on the event loop, where its Python would have to hold the interpreter
lock anyway; only the commit, which waits for the disk, runs in a thread. Handing each statement to
a thread costs a switch of the lock for each (docs/decisions/0003-store.md has the figures).
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw

from textgate.domain.errors import Unavailable
from textgate.domain.times import Clock
from textgate.store.base import Intake, Tx
from textgate.store.sqlite_file import connect, prepare
from textgate.store.sqlite_tx import SqliteTx

T = TypeVar("T")

GROUP_LIMIT = 256
"""Writes in one commit: bounds how long the event loop is kept."""
QUEUE_LIMIT = 20_000
"""Writes waiting; beyond it callers are refused rather than memory filled."""
READERS = 3
BUSY_RETRY_S = 0.005

NOT_NOW = (apsw.BusyError, apsw.CantOpenError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError)
"""Errors that speak of the disk and not of the work."""


class _Write:
    """One unit waiting for its commit."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[Tx], Any], future: "asyncio.Future[Any]") -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def finish(self) -> None:
        if self.future.done():  # the caller went away; what is committed stays
            return
        if self.error is None:
            self.future.set_result(self.result)
        elif isinstance(self.error, NOT_NOW):
            self.future.set_exception(_unavailable(self.error))
        else:
            self.future.set_exception(self.error)


class SqliteStore:
    """See ``Store``. Must be made on the running event loop that uses it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        prepare(path)
        self.intake: Intake | None = None
        self._loop = asyncio.get_running_loop()
        self._tx = SqliteTx(connect(path), clock)
        self._tx.go_on()
        self._waiting: deque[_Write] = deque()
        self._group: list[_Write] = []
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._generations: dict[str, int] = {}
        self._foreign = 0
        self._data_version = -1
        self._commits: SimpleQueue[bool] = SimpleQueue()
        self._committer = threading.Thread(target=self._commit_for_ever, name="commit", daemon=True)
        self._committer.start()
        self._path = path
        self._clock = clock
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._local = threading.local()

    # Writing: queue → group on the loop → commit in the thread → answers on the loop.

    async def write(self, work: Callable[[Tx], T]) -> T:
        if len(self._waiting) >= QUEUE_LIMIT:
            raise Unavailable("too many writes are waiting; try again in a moment")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(_Write(work, future))
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._loop.call_soon(self._run_group)
        return await future

    def _run_group(self) -> None:
        if not self._waiting:
            self._busy = False
            self._idle.set()
            return
        tx = self._tx
        try:
            tx.run("BEGIN IMMEDIATE")
        except apsw.BusyError:  # another process writes; look again soon, without blocking the loop
            self._loop.call_later(BUSY_RETRY_S, self._run_group)
            return
        except apsw.Error as problem:
            self._fail_all(problem)
            return
        self._notice_foreign_writes()
        tx.tick()
        tx.intake = self.intake
        take = min(len(self._waiting), GROUP_LIMIT)
        self._group = [self._waiting.popleft() for _ in range(take)]
        failed = None if self._run_plain() else self._run_guarded()
        if failed is None:
            self._commits.put(True)
        else:
            self._loop.call_soon(self._committed, failed)

    def _run_plain(self) -> bool:
        """Run the group without savepoints; False if one failed after it had changed something."""
        tx = self._tx
        for write in self._group:
            before = tx.connection.total_changes()
            later = len(tx.later)
            try:
                write.result = write.work(tx)
            except BaseException as problem:
                if tx.connection.total_changes() != before or not tx.connection.in_transaction:
                    return False
                del tx.later[later:]
                write.error = problem
        return True

    def _run_guarded(self) -> apsw.Error | None:
        """Run the group again from the start, each unit in a savepoint of its own.

        Returns what ended the whole transaction, if something did.
        """
        tx = self._tx
        if tx.connection.in_transaction:  # SQLite itself ends it when the disk is full
            tx.run("ROLLBACK")
        tx.forget()
        tx.later.clear()
        try:
            tx.run("BEGIN IMMEDIATE")
            for write in self._group:
                self._run_unit(write)
        except apsw.Error as problem:
            return problem
        return None

    def _run_unit(self, write: _Write) -> None:
        """Raises only what ended the whole transaction."""
        tx = self._tx
        write.error = write.result = None
        later = len(tx.later)
        tx.run("SAVEPOINT unit")
        try:
            write.result = write.work(tx)
        except BaseException as problem:
            if not tx.connection.in_transaction and isinstance(problem, apsw.Error):
                raise
            tx.run("ROLLBACK TO unit")
            tx.forget()
            del tx.later[later:]
            write.error = problem
        tx.run("RELEASE unit")

    def _commit_for_ever(self) -> None:
        while self._commits.get():
            try:
                self._tx.connection.execute("COMMIT")
                problem = None
            except apsw.Error as error:
                problem = error
            self._loop.call_soon_threadsafe(self._committed, problem)

    def _committed(self, problem: apsw.Error | None) -> None:
        tx = self._tx
        group, self._group = self._group, []
        later, tx.later = tx.later, []
        withdrawn, tx.withdrawn = tx.withdrawn, {}
        touched, tx.touched = tx.touched, set()
        soonest, tx.soonest = tx.soonest, None
        if problem is not None:
            if tx.connection.in_transaction:
                tx.run("ROLLBACK")
            tx.forget()
            for write in group:
                write.error = write.error or _unavailable(problem)
            if self.intake is not None:
                for job in withdrawn.values():
                    self.intake.take(job)
        else:
            for noun in touched:
                self._generations[noun] = self._generations.get(noun, 0) + 1
            for act in later:
                act()
            if self.intake is not None and soonest is not None:
                self.intake.poke(soonest)
        for write in group:
            write.finish()
        self._run_group()

    def _fail_all(self, problem: apsw.Error) -> None:
        group = list(self._waiting)
        self._waiting.clear()
        for write in group:
            write.error = _unavailable(problem)
            write.finish()
        self._run_group()

    def _notice_foreign_writes(self) -> None:
        """Another process (the command line) may have changed what we remember."""
        version = self._tx.connection.pragma("data_version")
        if version != self._data_version:
            self._data_version = version
            self._foreign += 1
            self._tx.forget()

    def generation(self, noun: str) -> int:
        return self._foreign + self._generations.get(noun, 0)

    # Reading: a few threads, each with a connection and a snapshot of its own.

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._loop.run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Tx], T]) -> T:
        tx: SqliteTx | None = getattr(self._local, "tx", None)
        if tx is None:
            tx = self._local.tx = SqliteTx(connect(self._path), self._clock)
            tx.run("PRAGMA query_only = ON")
        tx.tick()
        tx.forget()
        tx.run("BEGIN")
        try:
            return work(tx)
        finally:
            tx.run("ROLLBACK")

    async def close(self) -> None:
        """Finish the waiting writes, then close the file."""
        await self._idle.wait()
        self._commits.put(False)
        await self._loop.run_in_executor(None, self._committer.join)
        self._readers.shutdown(wait=True)
        # All into the one file, so that a copy of it is whole.
        self._tx.all("PRAGMA wal_checkpoint(TRUNCATE)")
        self._tx.connection.close()


def _unavailable(problem: apsw.Error) -> Unavailable:
    if isinstance(problem, apsw.FullError):
        return Unavailable("the disk is full")
    return Unavailable(f"the database cannot take writes now: {type(problem).__name__}")
