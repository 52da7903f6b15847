"""Gives work to its runner, lane by lane: what was born here comes from memory, the rest is
claimed from the store when its time comes or somebody's lease ends."""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog

from textgate import telemetry
from textgate.domain.errors import Unavailable
from textgate.domain.times import Clock, Milliseconds
from textgate.engine.alarm import Alarm
from textgate.engine.lane import STALE_MS, Lane
from textgate.store.base import Job, Store, Tx

J = TypeVar("J", bound=Job)

WAITING_IN_ALL = 20_000
LANES_REMEMBERED = 2_000
CLAIM = 200
"""At most so much of one lane in one claim: bounds the time of its write."""
LOOK_EVERY_MS = 1_000
"""The net beneath the alarms: other processes may have left work."""
LONGEST_MS = 66_000
"""No work takes longer by its own limits; what does is cancelled, well before its lease ends."""
OVERDUE = "overdue"
BREATH_MS = 5
"""At least so long between two claims."""
RELEASE_S, CANCEL_S = 0.3, 0.3
"""At a stop, whatever its bound: for the release of waiting work, and for what is cancelled."""

log = structlog.get_logger("textgate.engine")


class Runner(Protocol[J]):
    """What the dispatcher must know of one kind of work."""

    work: str
    capacity: int

    def lanes(self, tx: Tx) -> list[tuple[str, Milliseconds]]: ...

    def take(self, tx: Tx, lane: str, limit: int) -> list[J]: ...

    def release(self, tx: Tx, job: J) -> None: ...

    async def prepare(self, job: J, lane: Lane[J]) -> None:
        """Set the limits of a lane before its first work, ``job``, begins."""
        ...

    async def run(self, job: J, lane: Lane[J]) -> None:
        """Do the work and store what became of it. Raising leaves it to the lease's end.

        Cancelled with the message ``OVERDUE``, it has taken far longer than it may.
        """
        ...

    async def rest(self, job: J, lane: Lane[J]) -> None:
        """Put work elsewhere or off: its lane rests."""
        ...


class Dispatcher(Generic[J]):
    """All lanes of one kind of work."""

    def __init__(self, store: Store, clock: Clock, runner: Runner[J], *, in_flight: int) -> None:
        """``in_flight``: at most so many at once over all lanes."""
        self._store = store
        self._clock = clock
        self._runner = runner
        self._most = in_flight
        self._lanes: dict[str, Lane[J]] = {}
        self._waiting = 0
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[None], Milliseconds] = {}  # in the order of their starts
        self._turn: dict[Lane[J], None] = {}  # lanes that could go but for the limit over all
        self._alarm = Alarm(clock)
        self._stopping = False

    def room(self, lane: str) -> bool:
        """Whether work of ``lane`` born now would be begun here soon."""
        if self._stopping or self._waiting >= WAITING_IN_ALL:
            return False
        known = self._lanes.get(lane)
        return known is None or known.room > 0

    def accept(self, job: J) -> None:
        """Take leased work."""
        lane = self._lane(job.lane)
        lane.push(job)
        self._waiting += 1
        self._pump(lane)

    def withdraw(self, job: J) -> bool:
        lane = self._lanes.get(job.lane)
        if lane is None or not lane.drop(job):
            return False
        self._waiting -= 1
        return True

    def poke(self, at: Milliseconds) -> None:
        self._alarm.set(at)

    async def claim_for_ever(self) -> None:
        """Claim due work until stopped."""
        while not self._stopping:
            try:
                soonest = await self._claim()
            except Exception:
                _note("claim failed", self._runner.work)
                soonest = self._clock.now() + LOOK_EVERY_MS
            now = self._clock.now()
            self._measure(now)
            self._end_overdue(now)
            self._forget_idle()
            await self._clock.sleep(BREATH_MS)
            await self._alarm.wait(min(soonest, now + LOOK_EVERY_MS))

    def _measure(self, now: Milliseconds) -> None:
        work = self._runner.work
        resting = sum(lane.breaker.rests(now) for lane in self._lanes.values())
        telemetry.IN_MEMORY.set(self._waiting + self._in_flight, work)
        telemetry.RESTING.set(resting, work)

    def _end_overdue(self, now: Milliseconds) -> None:
        """One look a second at all that runs costs less than a timer for each."""
        for task, began_at in self._running.items():
            if now - began_at < LONGEST_MS:
                return
            task.cancel(OVERDUE)

    async def _claim(self) -> Milliseconds:
        """Take what is due and fits; return when to look again."""
        jobs, soonest = await self._store.write(self._take)
        for job in jobs:
            self.accept(job)
        return soonest

    def _take(self, tx: Tx) -> tuple[list[J], Milliseconds]:
        jobs: list[J] = []
        soonest = tx.now + LOOK_EVERY_MS
        for name, at in self._runner.lanes(tx):
            lane = self._lanes.get(name)
            if at > tx.now:
                soonest = min(soonest, at)
            elif lane is not None and lane.breaker.rests(tx.now):
                soonest = min(soonest, lane.breaker.resting_until)
            elif (limit := self._fits(lane, len(jobs))) > 0:
                taken = self._runner.take(tx, name, limit)
                jobs += taken
                self._lane(name).more = len(taken) == limit
            elif lane is not None:
                lane.more = True
        return jobs, soonest

    def _fits(self, lane: Lane[J] | None, taken: int) -> int:
        room = self._runner.capacity if lane is None else lane.room
        return min(CLAIM, room, WAITING_IN_ALL - self._waiting - taken)

    def _lane(self, name: str) -> Lane[J]:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, self._runner.capacity)
        return lane

    def _pump(self, lane: Lane[J]) -> None:
        """Begin as much of a lane as its limits allow."""
        while lane.free and not self._stopping:
            if not lane.ready:
                self._prepare_first(lane)
                return
            if self._in_flight >= self._most:
                self._turn[lane] = None
                return
            now = self._clock.now()
            wait = lane.pace.wait(now)
            if wait > 0:
                self._pump_later(lane, wait)
                return
            job = lane.pop()
            self._waiting -= 1
            if job.lease_until - now < STALE_MS:
                self._give_back([job, *lane.take_stale(now)])
                continue
            resting = lane.breaker.rests(now)
            if not resting:
                lane.pace.start(now)
            self._begin(lane, job, resting)
        if lane.more and len(lane.waiting) <= lane.limit:
            lane.more = False
            self._alarm.set(self._clock.now())

    def _prepare_first(self, lane: Lane[J]) -> None:
        if not lane.preparing:
            lane.preparing = True
            self._spawn(self._prepare(lane, lane.first))

    async def _prepare(self, lane: Lane[J], job: J) -> None:
        try:
            await self._runner.prepare(job, lane)
        except Exception:  # whoever runs the work will meet it again
            log.exception("a lane could not be prepared", work=self._runner.work)
        lane.ready = True
        self._pump(lane)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pump_later(self, lane: Lane[J], wait_ms: float) -> None:
        if lane.timer is None:
            lane.timer = asyncio.ensure_future(self._pump_after(lane, wait_ms))

    async def _pump_after(self, lane: Lane[J], wait_ms: float) -> None:
        await self._clock.sleep(max(1, round(wait_ms)))
        lane.timer = None
        self._pump(lane)

    def _give_back(self, jobs: list[J]) -> None:
        """Release work that has waited too long to be begun under its lease."""
        self._waiting -= len(jobs) - 1
        self._spawn(self._release(jobs))

    def _begin(self, lane: Lane[J], job: J, resting: bool) -> None:
        now = self._clock.now()
        lane.begin(now)
        self._in_flight += 1
        task = asyncio.create_task(self._run(lane, job, resting))
        self._running[task] = now
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]

    async def _run(self, lane: Lane[J], job: J, resting: bool) -> None:
        try:
            if resting:
                await self._runner.rest(job, lane)
            else:
                await self._runner.run(job, lane)
        except Exception:  # a fault of ours: the lease's end brings the work back
            _note("work failed", self._runner.work)
        finally:
            lane.in_flight -= 1
            self._in_flight -= 1
            self._turn.setdefault(lane)
            self._take_turns()

    def _take_turns(self) -> None:
        """Let the lane go next that has waited longest for the limit over all."""
        while self._turn and self._in_flight < self._most:
            lane = next(iter(self._turn))
            del self._turn[lane]
            self._pump(lane)

    def _forget_idle(self) -> None:
        """Keep no lane that has nothing to remember."""
        if len(self._lanes) > LANES_REMEMBERED:
            self._lanes = {
                name: lane
                for name, lane in self._lanes.items()
                if lane.waiting or lane.in_flight or lane.breaker.failures
            }

    async def stop(self, within_s: float) -> None:
        """Begin nothing more, let what is under way finish within the bound, release the rest.

        What the database does not take within the bound (``RELEASE_S`` at least) is left to the
        next start, which ends all leases.
        """
        self._stopping = True
        self._alarm.set(0)
        for lane in self._lanes.values():
            if lane.timer is not None:
                lane.timer.cancel()
        loop = asyncio.get_running_loop()
        ends = loop.time() + within_s
        try:
            async with asyncio.timeout(max(within_s, RELEASE_S)):
                # What was committed before this write has been handed over when it returns.
                await self._store.write(lambda tx: None)
                await self._release_waiting()
        except (TimeoutError, Unavailable):
            log.warning("work in memory could not be released", work=self._runner.work)
        under_way = {*self._tasks, *self._running}
        if under_way:
            _, under_way = await asyncio.wait(under_way, timeout=max(0.0, ends - loop.time()))
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=CANCEL_S)

    async def _release_waiting(self) -> None:
        waiting = [job for lane in self._lanes.values() for _, _, job in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        self._waiting = 0
        await self._release(waiting)

    async def _release(self, jobs: list[J]) -> None:
        for chunk in batched(jobs, CLAIM):
            await self._store.write(partial(_release_all, self._runner, chunk))


def _note(event: str, work: str) -> None:
    """Log what is being handled; a database that takes no writes now needs no traceback."""
    problem = sys.exc_info()[1]
    if isinstance(problem, Unavailable):
        log.warning(event, work=work, why=problem.message)
    else:
        log.exception(event, work=work)


def _release_all(runner: Runner[J], jobs: list[J], tx: Tx) -> None:
    for job in jobs:
        runner.release(tx, job)


def batched(jobs: list[J], size: int) -> Iterator[list[J]]:
    """Yield ``jobs`` in lists of at most ``size``."""
    for start in range(0, len(jobs), size):
        yield jobs[start : start + size]
