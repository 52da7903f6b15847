"""The work of one channel or one webhook, as this process holds it."""

import asyncio
import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from textgate.domain.pace import Breaker, Pace
from textgate.domain.times import Milliseconds
from textgate.store.base import BEGIN_WITHIN_MS, LEASE_MS, Job

J = TypeVar("J", bound=Job)
_order = count()


STALE_MS = LEASE_MS - BEGIN_WITHIN_MS
AHEAD_MS = 20_000
"""So much work is kept waiting in memory as can be begun in this time: well within the lease."""
MEASURE_MS = 1_000
WAITING_MOST = 10_000


@dataclass(slots=True, eq=False)
class Lane(Generic[J]):
    """Waiting work in order of priority, and how much of it may be under way."""

    name: str
    capacity: int
    """At most so many at once, while the far side is well."""
    pace: Pace = field(default_factory=Pace)
    breaker: Breaker = field(default_factory=Breaker)
    waiting: list[tuple[int, int, J]] = field(default_factory=list)
    in_flight: int = 0
    ready: bool = False
    """Whether the limits are those of its channel or webhook; until then nothing begins."""
    preparing: bool = False
    timer: "asyncio.Future[None] | None" = None
    more: bool = False
    """Whether the store has due work that was left there for want of room."""
    begun: int = 0
    """Since ``measured_at``."""
    measured_at: Milliseconds = 0
    speed: float = 0.0
    """Begun in a millisecond, as last measured."""

    def push(self, job: J) -> None:
        heapq.heappush(self.waiting, (-job.priority, next(_order), job))

    def pop(self) -> J:
        return heapq.heappop(self.waiting)[2]

    @property
    def first(self) -> J:
        return self.waiting[0][2]

    def drop(self, job: J) -> bool:
        """Remove the waiting work that stands for the same thing as ``job``."""
        for place, (_, _, mine) in enumerate(self.waiting):
            if mine.key == job.key:
                del self.waiting[place]
                heapq.heapify(self.waiting)
                return True
        return False

    def take_stale(self, now: Milliseconds) -> list[J]:
        """Remove and return what has waited too long for its lease."""
        stale = [job for _, _, job in self.waiting if job.lease_until - now < STALE_MS]
        if stale:
            self.waiting = [e for e in self.waiting if e[2].lease_until - now >= STALE_MS]
            heapq.heapify(self.waiting)
        return stale

    def begin(self, now: Milliseconds) -> None:
        """Count a start."""
        self.in_flight += 1
        self.begun += 1
        span = now - self.measured_at
        if span >= MEASURE_MS:
            self.speed = self.begun / span
            self.begun, self.measured_at = 0, now

    @property
    def room(self) -> int:
        """How much more may wait here: what can be begun soon, by the speed seen."""
        speed = self.speed if self.pace.rate is None else min(self.speed, self.pace.rate / 1000)
        floor = self.capacity
        if self.pace.rate is not None:
            floor = min(floor, 1 + int(self.pace.rate * AHEAD_MS / 1000))
        return min(max(floor, int(speed * AHEAD_MS)), WAITING_MOST) - len(self.waiting)

    @property
    def limit(self) -> int:
        return 1 if self.breaker.suspect else self.capacity

    @property
    def free(self) -> bool:
        return bool(self.waiting) and self.in_flight < self.limit
