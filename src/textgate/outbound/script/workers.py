"""The processes that run scripts: one for each script version, kept warm."""

import asyncio
from collections.abc import Mapping

from textgate import telemetry
from textgate.domain.errors import Unavailable
from textgate.domain.script import Program
from textgate.outbound.http import Http
from textgate.outbound.script.calls import Call, Interrupted
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.run import Ended, EndReason, Returned, Run, Threw
from textgate.outbound.script.worker import Worker

_MOST_CALLS = 10_000
"""Calls of one process, before it is replaced."""
_IDLE_SECONDS = 300.0
_ROOM_SECONDS = 5.0
"""How long a call waits for another script's process to make room."""
_MOST_AT_ONCE = 256
"""Calls of one version that are in its process; further ones wait, within their time."""
_MOST_TOGETHER = 2
"""How often a call is run beside others, before it is run alone."""
_MOST_ALONE = 4
"""Processes in which calls of one version are run alone at the same time."""
_CLOSE_SECONDS = 5.0
_NO_TURN = "other calls of the script left no time for this one; try again later"


class _Version:
    """What the calls of one version share."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.starting = asyncio.Lock()
        self.seats = asyncio.Semaphore(_MOST_AT_ONCE)
        self.alone = asyncio.Semaphore(_MOST_ALONE)
        self.runs = 0


class Workers:
    """At most ``total`` processes at once. Belongs to one event loop. Close it in the end.

    Calls of one version are in one process at the same time. If that process ends under them, each
    is run once more: what it fetched before is given to it again and not sent again. The one whose
    code ran last is then alone in a process, and so is each whose second process ends as well. Who
    ends a process in which it is alone is to blame, and nobody else has lost anything.
    """

    def __init__(
        self,
        deno: Deno,
        *,
        total: int,
        memory_mb: int,
        most_calls: int = _MOST_CALLS,
        idle_seconds: float = _IDLE_SECONDS,
        room_seconds: float = _ROOM_SECONDS,
    ) -> None:
        """``memory_mb`` is what one process may take beyond what all share; it is replaced after
        ``most_calls`` calls, and closed when none came for ``idle_seconds``. A call waits
        ``room_seconds`` for other processes to make room."""
        self._deno, self._memory_mb = deno, memory_mb
        self._most_calls, self._idle_seconds = most_calls, idle_seconds
        self._room_seconds = room_seconds
        self._room = asyncio.Semaphore(total)
        self._waiting = 0
        self._versions: dict[str, _Version] = {}
        self._workers: dict[Worker, None] = {}
        """All that have a process, by when they were last used."""
        self._closed = False

    async def run(
        self,
        key: str,
        program: Program,
        payload: bytes,
        *,
        secrets: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109 - not a scope: the process is ended at it
        http: Http,
    ) -> Run:
        """Call the default export with ``payload`` (JSON) and ``{secrets}``, once.

        ``key`` names the script version: runs with the same key share a process. ``timeout`` is in
        seconds and covers all of it. Each request goes through ``http``. Never raises for what the
        script does.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        call = Call(payload, secrets, http, deadline)
        version = self._versions.setdefault(key, _Version())
        version.runs += 1
        end: Returned | Threw | Ended
        try:
            async with asyncio.timeout_at(deadline):
                async with version.seats:
                    end = await self._run(version, program, call)
        except TimeoutError:
            if call.is_waiting and not call.has_sent:
                end = Ended(EndReason.UNAVAILABLE, _NO_TURN)
            else:
                end = Ended(EndReason.TIMEOUT, f"the script did not finish within {timeout:g} s")
        finally:
            version.runs -= 1
            call.close()
            self._tidy(key)
        return call.run(end)

    async def _run(
        self, version: _Version, program: Program, call: Call
    ) -> Returned | Threw | Ended:
        interrupted: Interrupted | None = None
        try:
            for _ in range(_MOST_TOGETHER):
                worker = await self._shared(version, program)
                end = await worker.run(call)
                if not isinstance(end, Interrupted):
                    return end
                interrupted = end
                call.begin()
                if end.is_suspect:
                    break
                call.has_lost_time = True
            async with version.alone:
                worker = await self._start(program, is_alone=True)
                try:
                    end = await worker.run(call)
                finally:
                    self._keep(version, worker)
        except Unavailable as error:
            if interrupted is None:
                return Ended(EndReason.UNAVAILABLE, error.message)
            # Only what has sent nothing may be tried again as if it had not been run.
            reason = EndReason.CRASH if call.has_sent else EndReason.UNAVAILABLE
            return Ended(reason, f"{interrupted.detail}, and cannot be run again: {error.message}")
        return Ended(end.reason, end.detail) if isinstance(end, Interrupted) else end

    async def _shared(self, version: _Version, program: Program) -> Worker:
        """Return the process of a version, started if need be. Raises Unavailable."""
        async with version.starting:
            worker = version.worker
            if worker is not None:
                await worker.prove()
            if worker is None or not worker.is_usable:
                if worker is not None:
                    worker.retire()
                version.worker = worker = await self._start(program, is_alone=False)
            self._workers[worker] = self._workers.pop(worker)  # to the end: it is used last
            return worker

    def _keep(self, version: _Version, worker: Worker) -> None:
        """After its one call, let a process serve its version if that has none."""
        current = version.worker
        if worker.is_usable and (current is None or not current.is_usable):
            worker.is_alone = False
            version.worker = worker
        else:
            worker.retire()

    async def _start(self, program: Program, *, is_alone: bool) -> Worker:
        if self._closed:
            raise Unavailable("Textgate is stopping")
        await self._make_room()
        worker = Worker(
            memory_mb=self._memory_mb,
            most_calls=self._most_calls,
            idle_seconds=self._idle_seconds,
            gone=self._on_gone,
            free=self._on_free,
        )
        worker.is_alone = is_alone
        self._workers[worker] = None
        telemetry.SCRIPT_PROCESSES.set(len(self._workers))
        await worker.start(self._deno, program)
        return worker

    async def _make_room(self) -> None:
        """Wait for a process less, if there are as many as may be. Raises Unavailable."""
        if self._room.locked():
            self._close_an_idle_one()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._room_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable("too many scripts run at once; try again later") from None
        finally:
            self._waiting -= 1

    def _close_an_idle_one(self) -> None:
        for worker in self._workers:
            if worker.is_idle:
                worker.close()
                return

    def _on_free(self, _: Worker) -> None:
        if self._waiting:
            self._close_an_idle_one()

    def _on_gone(self, worker: Worker) -> None:
        del self._workers[worker]
        self._room.release()
        telemetry.SCRIPT_PROCESSES.set(len(self._workers))
        if worker.ended_for is not None:
            telemetry.SCRIPT_ENDS.inc(worker.ended_for)
        for key in [key for key, each in self._versions.items() if each.worker is worker]:
            self._tidy(key)

    def _tidy(self, key: str) -> None:
        """Forget a version that nobody uses and that has no process."""
        version = self._versions.get(key)
        if version is None or version.runs:
            return
        if version.worker is None or version.worker.ended.is_set():
            del self._versions[key]

    async def drop(self, key: str) -> None:
        """End the process of a version that is not needed any more, once it is idle."""
        version = self._versions.get(key)
        if version is not None and version.worker is not None:
            version.worker.retire()

    async def close(self) -> None:
        """End every process; runs under way come back as ended."""
        self._closed = True
        workers = list(self._workers)
        for worker in workers:
            worker.close()
        waits = [asyncio.ensure_future(worker.ended.wait()) for worker in workers]
        if waits:
            _, late = await asyncio.wait(waits, timeout=_CLOSE_SECONDS)
            for wait in late:
                wait.cancel()
