"""Keeping a result that the database cannot take just now."""

from collections.abc import Callable
from typing import TypeVar

from textgate.domain.errors import Unavailable
from textgate.domain.times import Clock
from textgate.store.base import Store, Tx

T = TypeVar("T")

AGAIN_MS = 500


async def insist(store: Store, clock: Clock, work: Callable[[Tx], T]) -> T:
    """Write what an attempt came to; repeat while the database is locked or full.

    The attempt cannot be made undone, so its result is worth waiting for. Bounded by whoever runs
    this: the dispatcher ends what is overdue, and a stop ends all.
    """
    while True:
        try:
            return await store.write(work)
        except Unavailable:
            await clock.sleep(AGAIN_MS)
