"""Connections kept for the next call, and calls that wait for a connection."""

import asyncio
import time
from collections import deque
from contextlib import suppress
from math import inf

from textgate.outbound.connection import IDLE_REPEATABLE_S, IDLE_S, Call, Connection
from textgate.outbound.dial import Unreachable, dial
from textgate.outbound.guard import Guard
from textgate.outbound.reply import FailureKind
from textgate.outbound.url import Url

_CLOSE_S = 2.0
_FARTHEST_S = 3600.0
_GRACE_S = 0.05
"""A dial outlasts the call that it is for, so that the call ends first, and calls it off."""


class Pools:
    """All connections of a client: one pool for each host and port, one limit for all."""

    def __init__(self, guard: Guard, *, most: int, most_each: int) -> None:
        self.guard = guard
        self.loop = asyncio.get_running_loop()
        self.most_each = most_each
        self.is_closed = False
        self.open = 0
        self.starving: dict[Pool, None] = {}
        """Pools with calls that wait because all connections are taken."""
        self.due = inf
        """When the next deadline is looked at."""
        self._most = most
        self._pools: dict[tuple[str, int], Pool] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    def pool(self, url: Url) -> "Pool":
        """Return the pool for the URL's host and port."""
        key = (url.host, url.port)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(self, url)
        return pool

    def tidy(self) -> None:
        """Forget pools without a connection and a call; nobody may hold one."""
        self._pools = {key: pool for key, pool in self._pools.items() if pool.open or pool.waiting}

    def has_room(self, pool: "Pool") -> bool:
        """Whether the pool may open a connection. If not, an idle one may have been closed, and
        the pool is asked again when it is gone."""
        if pool.open >= self.most_each:
            pool.evict()
            return False
        if self.open < self._most:
            return True
        self.starving[pool] = None
        idle = [other for other in self._pools.values() if other.idle]
        if idle:
            min(idle, key=lambda other: other.idle[0].idle_since).evict()
        return False

    def freed(self) -> None:
        """There is one connection less."""
        self.open -= 1
        for pool in list(self.starving):
            if self.open >= self._most:
                break
            del self.starving[pool]
            pool.fill()
        if self.is_closed and not self.open:
            self._emptied.set()

    def watch(self, deadline: float) -> None:
        """Look at all deadlines no later than ``deadline``, which is before ``due``.

        One timer for all calls. Most have the same timeout, so it rings about once in that time
        and looks at some hundred connections; a timer for each call costs a microsecond each.
        """
        if self._timer is not None:
            self._timer.cancel()
        self.due = deadline
        after = min(max(deadline - time.perf_counter(), 0.001), _FARTHEST_S)
        self._timer = self.loop.call_later(after, self._ring)

    def _ring(self) -> None:
        now = time.perf_counter()
        self._timer, self.due = None, inf
        earliest = min([pool.expire(now) for pool in self._pools.values()], default=inf)
        if earliest < self.due:
            self.watch(earliest)

    async def close(self, detail: str) -> None:
        """Fail every call with ``detail``, close every connection, within 2 s."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for pool in self._pools.values():
            pool.close(detail)
        if self.open:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), _CLOSE_S)


class Pool:
    """The connections to one host and port."""

    def __init__(self, pools: Pools, url: Url) -> None:
        self.place = url.place
        self.open = 0
        """Connections, those being dialled included."""
        self.idle: list[Connection] = []
        """The one used last is at the end."""
        self.waiting: deque[Call] = deque()
        self.pools = pools
        self._url = url
        self._connections: set[Connection] = set()
        self._dials: dict[asyncio.Task[Connection], bool] = {}
        """What is being dialled, and whether that can still be called off."""

    def submit(self, call: Call) -> None:
        """Start a call as soon as there is a connection for it."""
        idle = self.idle
        while idle:
            connection = idle[-1]
            if not call.repeatable and call.started - connection.idle_since > IDLE_S:
                break
            if connection.is_quiet():
                idle.pop()
                connection.start(call)
                return
            connection.abort()
        self.waiting.append(call)
        self.fill()

    def withdraw(self, call: Call) -> None:
        """End a call whose caller has gone."""
        connection = call.connection
        if connection is None:
            with suppress(ValueError):
                self.waiting.remove(call)
            self._call_off()
        elif connection.call is call:
            connection.abort()

    def fill(self) -> None:
        """Dial for the calls that wait, as far as the limits allow."""
        pools = self.pools
        while len(self._dials) < len(self.waiting) and not pools.is_closed and pools.has_room(self):
            self.open += 1
            pools.open += 1
            call = self.waiting[len(self._dials)]
            left = call.deadline - time.perf_counter()
            task = pools.loop.create_task(self._dial(left + _GRACE_S))
            task.add_done_callback(self._dialled)
            self._dials[task] = True

    async def _dial(self, timeout: float) -> Connection:  # noqa: ASYNC109 - a dial has its own
        """Open a connection. Raises Unreachable, TimeoutError."""
        async with asyncio.timeout(timeout):
            dialled = await dial(self.pools.guard, self._url)
        task = asyncio.current_task()
        assert task is not None
        if task in self._dials:
            self._dials[task] = False
        try:
            loop = self.pools.loop
            return (await loop.create_connection(lambda: Connection(self), sock=dialled))[1]
        except BaseException:
            dialled.close()
            raise

    def _dialled(self, task: asyncio.Task[Connection]) -> None:
        """Give a new connection, or the news that there is none, to who has waited longest."""
        self._dials.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if not task.cancelled() and error is None:
            connection = task.result()
            if self.pools.is_closed:
                connection.abort()
            if not connection.is_over:
                self._connections.add(connection)
                self._hand_over(connection, time.perf_counter(), is_new=True)
                return
            error = Unreachable(FailureKind.BROKEN, f"{self.place} did not wait for the request")
        # Each dial that fails ends a call, so that no far side can keep us dialling; one that was
        # called off, or was too slow, was for a call that has ended already.
        if error is not None and not isinstance(error, TimeoutError) and self.waiting:
            if not isinstance(error, Unreachable):
                error = Unreachable(FailureKind.CONNECT, f"{self.place} cannot be reached")
            call = self.waiting.popleft()
            call.fail(error.kind, error.detail, sent=call.repeated)
        self._freed()

    def release(self, connection: Connection, now: float) -> None:
        if self.waiting or self.pools.starving:
            self._hand_over(connection, now, is_new=False)
        else:
            self._keep(connection, now)

    def _hand_over(self, connection: Connection, now: float, *, is_new: bool) -> None:
        # A call that is repeated has just been lost with a kept connection: not again.
        call = next((each for each in self.waiting if is_new or not each.repeated), None)
        starving = self.pools.starving
        if not is_new and not connection.is_quiet():
            connection.abort()
        elif starving and (
            call is None or (not is_new and any(not each.open for each in starving))
        ):
            connection.abort()  # no host is left without any connection
        elif call is not None:
            self.waiting.remove(call)
            connection.start(call)
        else:
            self._keep(connection, now)

    def _keep(self, connection: Connection, now: float) -> None:
        connection.idle_since = now
        connection.deadline = deadline = now + IDLE_REPEATABLE_S
        self.idle.append(connection)
        if deadline < self.pools.due:
            self.pools.watch(deadline)

    def forget(self, connection: Connection) -> None:
        if connection.idle_since:
            self.idle.remove(connection)
            connection.idle_since = 0.0

    def closed(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._freed()

    def repeat(self, call: Call) -> None:
        self.waiting.appendleft(call)
        self.fill()

    def evict(self) -> None:
        """Close the connection that was idle for longest, if any is."""
        if self.idle:
            self.idle[0].abort()

    def expire(self, now: float) -> float:
        """End what is late; return the earliest deadline that is left."""
        for connection in [each for each in self._connections if each.deadline <= now]:
            connection.expire()
        for call in [each for each in self.waiting if each.deadline <= now]:
            self.waiting.remove(call)
            call.fail_late(sent=call.repeated)
        self._call_off()
        return min(
            min((each.deadline for each in self._connections), default=inf),
            min((each.deadline for each in self.waiting), default=inf),
        )

    def close(self, detail: str) -> None:
        """Fail every call, close every connection."""
        for call in self.waiting:
            call.fail(FailureKind.BROKEN, detail, sent=call.repeated)
        self.waiting.clear()
        self._call_off()
        for connection in list(self._connections):
            if connection.call is not None:
                connection.call.fail(FailureKind.BROKEN, detail, sent=True)
            connection.abort()

    def _call_off(self) -> None:
        """Dial no more than there are calls."""
        surplus = len(self._dials) - len(self.waiting)
        if surplus > 0:
            under_way = [
                task for task, can_be_called_off in self._dials.items() if can_be_called_off
            ]
            for task in under_way[-surplus:]:
                del self._dials[task]
                task.cancel()

    def _freed(self) -> None:
        self.open -= 1
        self.pools.freed()
        self.fill()
