"""SQLite: one file, WAL, ``synchronous=FULL``, and many writes in one commit.

The work of a write runs on the event loop, where its Python would have to hold the interpreter
lock anyway; only the commit, which waits for the disk, runs in a thread. Handing each statement to
a thread costs a switch of the lock for each (docs/decisions/0003-store.md has the figures).
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw
import structlog

from textgate.domain.errors import Unavailable
from textgate.domain.times import Clock
from textgate.store.base import Intake, Tx
from textgate.store.sqlite_file import connect, prepare
from textgate.store.sqlite_tx import SqliteTx
from textgate.store.vault import Vault
from textgate.store.watching import Mailbox, Moves

T = TypeVar("T")

GROUP_LIMIT = 256
"""Writes in one commit: bounds how long the event loop is kept."""
QUEUE_LIMIT = 20_000
"""Writes waiting; beyond it callers are refused rather than memory filled."""
READERS = 3
BUSY_RETRY_S = 0.005
PATIENCE_S, PATIENCE_AT_END_S = 5.0, 0.3
"""How long another process may keep the lock before the waiting writes fail."""

NOT_NOW = (apsw.BusyError, apsw.CantOpenError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError)
"""Errors that speak of the disk and not of the work."""

log = structlog.get_logger("textgate.store")


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
        elif isinstance(self.error, StopIteration):  # no future takes it
            self.future.set_exception(RuntimeError("a write raised StopIteration"))
        else:
            self.future.set_exception(self.error)


class SqliteStore:
    """See ``Store``. Must be made on the running event loop that uses it."""

    def __init__(
        self, path: Path, clock: Clock, vault: Vault, *, patience_s: float = PATIENCE_S
    ) -> None:
        """``patience_s``: so long writes wait while another process keeps the lock.

        Raises ``Unavailable`` if the file is of a newer program or sealed with another key.
        """
        self._vault = prepare(path, vault)
        self.intake: Intake | None = None
        self._loop = asyncio.get_running_loop()
        self._tx = SqliteTx(connect(path), clock, self._vault)
        self._tx.go_on()
        self._waiting: deque[_Write] = deque()
        self._group: list[_Write] = []
        self._busy = False
        self._patience_s = patience_s
        self._refused_at: float | None = None
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
        """Run what waits, up to its commit. Whatever fails, the next group has its turn."""
        if not self._waiting:
            self._busy = False
            self._idle.set()
            return
        try:
            self._tx.run("BEGIN IMMEDIATE")
            self._refused_at = None
            self._run_waiting()
        except apsw.BusyError as problem:
            self._look_again(problem)
        except Exception as problem:
            unexpected = not isinstance(problem, apsw.Error)
            log.error("writes failed", problem=repr(problem), exc_info=unexpected)
            self._give_up(problem)

    def _look_again(self, problem: apsw.BusyError) -> None:
        """Another process writes: try again soon, without blocking the loop, but not for ever."""
        now = self._loop.time()
        if self._refused_at is None:
            self._refused_at = now
        self._waiting.extendleft(reversed(self._group))  # if the lock was lost between two runs
        self._group = []
        if now - self._refused_at < self._patience_s:
            self._loop.call_later(BUSY_RETRY_S, self._run_group)
            return
        log.error("writes failed: another process keeps the database locked")
        self._refused_at = None
        self._give_up(problem)

    def _give_up(self, problem: Exception) -> None:
        """End the group, or all that waits if none was made, like a commit that failed."""
        if not self._group:
            self._group = list(self._waiting)
            self._waiting.clear()
        self._loop.call_soon(self._committed, problem)

    def _run_waiting(self) -> None:
        tx = self._tx
        self._notice_foreign_writes()
        tx.tick()
        tx.intake = self.intake
        take = min(len(self._waiting), GROUP_LIMIT)
        self._group = [self._waiting.popleft() for _ in range(take)]
        if not self._run_plain():
            self._run_guarded()
        self._commits.put(True)

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

    def _run_guarded(self) -> None:
        """Run the group again from the start, each unit in a savepoint of its own.

        Raises what ended the whole transaction, if something did.
        """
        tx = self._tx
        if tx.connection.in_transaction:  # SQLite itself ends it when the disk is full
            tx.run("ROLLBACK")
        tx.forget()
        tx.later.clear()
        tx.run("BEGIN IMMEDIATE")
        for write in self._group:
            self._run_unit(write)

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
            problem: Exception | None = None
            try:
                self._tx.connection.execute("COMMIT")
            except Exception as error:
                problem = error
            self._loop.call_soon_threadsafe(self._committed, problem)

    def _committed(self, problem: Exception | None) -> None:
        """Answer the group and go on with the next, whatever else fails here."""
        group, self._group = self._group, []
        try:
            if problem is None:
                self._tell()
            else:
                for write in group:
                    write.error = write.error or _unavailable(problem)
                self._undo()
        except Exception:
            log.exception("what follows a commit failed")
        for write in group:
            write.finish()
        self._run_group()

    def _tell(self) -> None:
        """What was committed becomes known in this process."""
        tx = self._tx
        later, tx.later = tx.later, []
        tx.withdrawn = {}
        touched, tx.touched = tx.touched, set()
        soonest, tx.soonest = tx.soonest, None
        for noun in touched:
            self._generations[noun] = self._generations.get(noun, 0) + 1
        _do_all(later)
        if self.intake is not None and soonest is not None:
            self.intake.poke(soonest)

    def _undo(self) -> None:
        tx = self._tx
        withdrawn, tx.withdrawn = tx.withdrawn, {}
        tx.later, tx.touched, tx.soonest = [], set(), None
        tx.forget()
        if self.intake is not None:
            _do_all(partial(self.intake.take, job) for job in withdrawn.values())
        if tx.connection.in_transaction:  # if this fails, the next group meets it and ends here
            tx.run("ROLLBACK")

    def _notice_foreign_writes(self) -> None:
        """Another process (the command line) may have changed what we remember."""
        version = self._tx.connection.pragma("data_version")
        if version != self._data_version:
            self._data_version = version
            self._foreign += 1
            self._tx.forget()

    def generation(self, noun: str) -> int:
        return self._foreign + self._generations.get(noun, 0)

    @contextlib.contextmanager
    def watch(self, account_id: str, message_id: str) -> Iterator[asyncio.Event]:
        with self._tx.watchers.watch((account_id, message_id)) as event:
            if self._group:  # it has run, and may have moved the message before this watcher came
                self._tx.later.append(event.set)
            yield event

    def follow(self, account_id: str) -> AbstractContextManager[Moves]:
        return self._tx.followers.follow(account_id)

    def listen(self, device_id: str) -> AbstractContextManager[Mailbox]:
        return self._tx.mailboxes.listen(device_id)

    def heard(self, device_id: str) -> bool:
        return self._tx.mailboxes.heard(device_id)

    # Reading: a few threads, each with a connection and a snapshot of its own.

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._loop.run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Tx], T]) -> T:
        tx: SqliteTx | None = getattr(self._local, "tx", None)
        if tx is None:
            tx = SqliteTx(connect(self._path), self._clock, self._vault)
            tx.run("PRAGMA query_only = ON")
        self._local.tx = None  # a connection that does not get to its ROLLBACK is not used again
        tx.tick()
        tx.forget()
        tx.run("BEGIN")
        try:
            return work(tx)
        finally:
            tx.run("ROLLBACK")
            self._local.tx = tx

    def lose_patience(self) -> None:
        """From now on wait for another process's lock no longer than ``PATIENCE_AT_END_S``."""
        self._patience_s = min(self._patience_s, PATIENCE_AT_END_S)

    async def close(self) -> None:
        """Finish the waiting writes, then close the file.

        Another process's lock delays it by ``PATIENCE_AT_END_S`` at most: then they fail.
        """
        if not self._committer.is_alive():  # closed before
            return
        self.lose_patience()
        await self._idle.wait()
        self._commits.put(False)
        await self._loop.run_in_executor(None, self._committer.join)
        self._readers.shutdown(wait=True)
        # All into the one file, so that a copy of it is whole.
        self._tx.all("PRAGMA wal_checkpoint(TRUNCATE)")
        self._tx.connection.close()


def _do_all(acts: Iterable[Callable[[], None]]) -> None:
    """Do them all, also after one that raises: it is logged."""
    left = iter(acts)
    while True:
        try:
            for act in left:
                act()
        except Exception:
            log.exception("what follows a commit failed")
        else:
            return


def _unavailable(problem: Exception) -> Unavailable:
    if isinstance(problem, apsw.FullError):
        return Unavailable("the disk is full")
    return Unavailable(f"the database cannot take writes now: {type(problem).__name__}")
