"""The desk at which scripts are handed in: everything that saving one owes."""

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from textgate.domain.errors import NotFound, RateLimited, Unavailable
from textgate.domain.script import MAX_SOURCE, Finding, Program, ScriptRefused
from textgate.outbound.http import Http
from textgate.outbound.script.check import DECLARATIONS, check
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.reader import read_apart
from textgate.outbound.script.reading import Reading, Source
from textgate.outbound.script.remote import fetch_all

AT_ONCE = 2
"""Processes that read or check."""
MAX_WAITING = 16
"""Scripts in hand, with those that wait."""
KEPT_SECONDS = 600.0
"""So long the result of a script is remembered, and what became of a check."""
_KEPT_PROGRAMS = 32
_KEPT_CHECKS = 128
_OWNERS_CHECKS = 8
_OWNERS_AT_ONCE = 4


class Stage(StrEnum):
    """How far a check has come."""

    READING = "reading"
    FETCHING = "fetching"
    CHECKING = "checking"
    DONE = "done"


@dataclass(slots=True)
class _Work:
    """A script in hand, for all who wait for it."""

    stage: Stage = Stage.READING
    ended: float | None = None
    task: asyncio.Task[Program] = field(init=False)


@dataclass(frozen=True, slots=True)
class Check:
    """A check that goes on beside the request that asked for it."""

    id: str
    owner: str
    began: float
    _work: _Work
    _clock: Callable[[], float]

    @property
    def stage(self) -> Stage:
        return self._work.stage

    @property
    def elapsed_ms(self) -> float:
        ended = self._work.ended
        return ((self._clock() if ended is None else ended) - self.began) * 1000

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Empty while it goes on, and for a script that may be saved."""
        error = self._error()
        return error.findings if isinstance(error, ScriptRefused) else ()

    @property
    def problem(self) -> str | None:
        """Why there was no check at all."""
        error = self._error()
        return error.message if isinstance(error, Unavailable) else None

    @property
    def program(self) -> Program | None:
        """What ``Desk.prepare`` would return, once it is known."""
        task = self._work.task
        return task.result() if task.done() and self._error() is None else None

    def _error(self) -> ScriptRefused | Unavailable | None:
        task = self._work.task
        if not task.done():
            return None
        if task.cancelled():
            return Unavailable("the server is stopping")
        error = task.exception()
        if error is None or isinstance(error, ScriptRefused | Unavailable):
            return error
        raise error


class Desk:
    """Reads, fetches, checks. Belongs to one event loop. Close it in the end."""

    def __init__(
        self,
        deno: Deno,
        http: Http,
        *,
        hosts: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``hosts``: where remote modules may come from, see ``specifiers.refusal``."""
        self._deno, self._http, self._hosts = deno, http, frozenset(hosts)
        self._clock = clock
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._works: dict[str, _Work] = {}
        self._programs: OrderedDict[str, tuple[float, Program]] = OrderedDict()
        self._checks: OrderedDict[str, Check] = OrderedDict()

    async def prepare(self, source: str) -> Program:
        """Return what will run. Raises ``ScriptRefused``, or ``Unavailable`` without Deno.

        Who gives up does not end it for others who wait for the same source.
        """
        work = self._work(source)
        try:
            return await asyncio.shield(work.task)
        except ScriptRefused as refused:
            raise ScriptRefused(refused.findings) from None  # its field is the caller's to name
        except asyncio.CancelledError:
            if work.task.cancelled():
                raise Unavailable("the server is stopping") from None
            raise

    def begin(self, owner: str, source: str) -> Check:
        """Begin to prepare a script. Raises RateLimited for too many of one owner, Unavailable
        for too many of all."""
        self._forget()
        theirs = [check for check in self._checks.values() if check.owner == owner]
        if sum(check.stage is not Stage.DONE for check in theirs) >= _OWNERS_AT_ONCE:
            raise RateLimited("your other scripts are still being checked", retry_after_s=2)
        work = self._work(source)
        if len(theirs) >= _OWNERS_CHECKS:
            del self._checks[next(check.id for check in theirs if check.stage is Stage.DONE)]
        check = Check(secrets.token_urlsafe(16), owner, self._clock(), work, self._clock)
        self._checks[check.id] = check
        return check

    def check(self, owner: str, check_id: str) -> Check:
        """Return a check that ``owner`` began within the last minutes. Raises NotFound."""
        self._forget()
        found = self._checks.get(check_id)
        if found is None or found.owner != owner:
            raise NotFound("there is no such check, or it was long ago")
        return found

    def declarations(self) -> str:
        """Return the text that Authgear's module of types stands for here, for an editor."""
        return DECLARATIONS

    async def close(self) -> None:
        """End every check."""
        tasks = [work.task for work in self._works.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _work(self, source: str) -> _Work:
        """Return the work on this very source: that under way, a remembered one, or a new one."""
        key = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        if (work := self._works.get(key)) is not None:
            return work
        if len(self._works) >= MAX_WAITING:
            raise Unavailable("too many scripts are being checked; try again in a moment")
        self._works[key] = work = _Work()
        work.task = asyncio.ensure_future(self._prepare(key, source, work))
        work.task.add_done_callback(lambda _: self._done(key))
        return work

    def _done(self, key: str) -> None:
        work = self._works.pop(key)
        work.stage, work.ended = Stage.DONE, self._clock()
        with suppress(asyncio.CancelledError, ScriptRefused, Unavailable):
            work.task.result()  # nobody may be waiting for it; anything else is logged

    async def _prepare(self, key: str, source: str, work: _Work) -> Program:
        self._forget()
        if (kept := self._programs.get(key)) is not None:
            return kept[1]
        deno = await self._deno.program()
        async with self._gate:
            script = await _read(source)
        self._insist(script)
        work.stage = Stage.FETCHING
        remote = await fetch_all(script.specifiers, self._http, hosts=self._hosts)
        work.stage = Stage.CHECKING
        async with self._gate:
            findings = await check(deno, script, remote)
        if findings:
            raise ScriptRefused(findings)
        program = Program(source, remote.modules)
        self._programs[key] = self._clock() + KEPT_SECONDS, program
        return program

    def _insist(self, script: Reading) -> None:
        found = [*script.findings, *script.forbidden(self._hosts)]
        if found:
            raise ScriptRefused(tuple(sorted(found, key=lambda one: (one.line, one.column))))

    def _forget(self) -> None:
        now = self._clock()
        while self._programs and (
            len(self._programs) > _KEPT_PROGRAMS or next(iter(self._programs.values()))[0] <= now
        ):
            self._programs.popitem(last=False)
        while self._checks and (
            len(self._checks) >= _KEPT_CHECKS
            or next(iter(self._checks.values())).began + KEPT_SECONDS <= now
        ):
            self._checks.popitem(last=False)


async def _read(source: str) -> Reading:
    """Read the script itself. Raises ScriptRefused for its size, or if it cannot be read."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise _refused("the script holds half a character (a lone surrogate)") from None
    if size > MAX_SOURCE:
        raise _refused(
            f"the script is {size} bytes long, and at most {MAX_SOURCE} bytes"
            f" ({MAX_SOURCE // 1024} KiB) of UTF-8 are taken"
        )
    readings = await read_apart([Source(source)])
    if readings is None:
        raise _refused("the script cannot be read in a reasonable time: it is nested too deeply")
    return readings[0]


def _refused(message: str) -> ScriptRefused:
    return ScriptRefused((Finding(0, 0, None, message),))
