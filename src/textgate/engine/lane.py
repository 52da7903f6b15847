"""The work of one channel or one webhook, as this process holds it."""

import asyncio
import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from textgate.domain.pace import Breaker, Pace
from textgate.store.base import Job

J = TypeVar("J", bound=Job)
_order = count()


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
    timer: "asyncio.Future[None] | None" = None
    more: bool = False
    """Whether the store has due work that was left there for want of room."""

    def push(self, job: J) -> None:
        heapq.heappush(self.waiting, (-job.priority, next(_order), job))

    def pop(self) -> J:
        return heapq.heappop(self.waiting)[2]

    def drop(self, job: J) -> bool:
        """Remove the waiting work that stands for the same thing as ``job``."""
        for place, (_, _, mine) in enumerate(self.waiting):
            if mine.key == job.key:
                del self.waiting[place]
                heapq.heapify(self.waiting)
                return True
        return False

    @property
    def limit(self) -> int:
        return 1 if self.breaker.suspect else self.capacity

    @property
    def free(self) -> bool:
        return bool(self.waiting) and self.in_flight < self.limit
