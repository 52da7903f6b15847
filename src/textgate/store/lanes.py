"""Claiming due work, lane by lane: the same for recipients and for deliveries.

A lane is a channel or a webhook. Work of one lane never stands before that of another: the lanes
that have work are found by stepping from one to the next in an index, and each is asked for as
much as its taker has room for, however long its queue is.
"""

from collections.abc import Mapping

from textgate.domain.times import Milliseconds
from textgate.store.base import LEASE_MS, Row
from textgate.store.noun import Noun

Due = list[tuple[str, Milliseconds]]
"""Each lane that has work, and when its first is due."""


class Statements:
    """The SQL of one table whose rows are work."""

    def __init__(self, table: str, key: str, columns: tuple[str, ...], lost: str = "") -> None:
        """``key``: the columns of the primary key. ``lost``: what else to set, as ``x = …,``, when
        work is taken over from somebody who did not report."""
        match = " AND ".join(f"{column} = :{column}" for column in key.split(", "))
        self.owed = f"SELECT count(*) FROM {table} WHERE due_at IS NOT NULL"
        self.lanes = f"""
            WITH RECURSIVE lanes (lane) AS (
              SELECT min(lane) FROM {table} WHERE due_at IS NOT NULL
              UNION ALL
              SELECT (SELECT min(lane) FROM {table} WHERE due_at IS NOT NULL AND lane > lanes.lane)
              FROM lanes WHERE lane IS NOT NULL)
            SELECT lane,
              (SELECT min(due_at) FROM {table} WHERE lane = lanes.lane AND due_at IS NOT NULL)
            FROM lanes WHERE lane IS NOT NULL"""
        self.take = f"""
            UPDATE {table} SET {lost} attempt = attempt + 1, due_at = :lease_until, holder = :holder
            WHERE ({key}) IN (
              SELECT {key} FROM {table} WHERE lane = :lane AND due_at <= :now
              ORDER BY due_at LIMIT :limit)
            RETURNING {", ".join(columns)}"""
        self.release = f"""
            UPDATE {table} SET attempt = attempt - 1, due_at = :since, holder = NULL
            WHERE {match} AND attempt = :attempt AND holder IS NOT NULL"""
        # What a phone has in hand (its lane bears its name) is not ended with our process.
        # The end of a process is nobody's attempt: most of what it held had not begun, so `base`
        # goes up with the take, and the retries are as many as before.
        self.end_leases = f"""
            UPDATE {table} SET {lost} due_at = :now, holder = NULL, base = base + 1
            WHERE due_at IS NOT NULL AND holder IS NOT NULL AND holder <> lane"""


class Lanes(Noun):
    """A table whose rows are work that stands in lanes."""

    work: Statements

    def owed(self) -> int:
        """Return how many rows are still to be worked off."""
        row = self._tx.one(self.work.owed)
        return row[0] if row else 0

    def lanes(self) -> Due:
        return [(lane, at) for lane, at in self._tx.all(self.work.lanes)]

    def take_rows(self, lane: str, limit: int) -> list[Row]:
        """Lease up to ``limit`` due rows of a lane, counting the take; in no order."""
        return self._tx.all(
            self.work.take,
            {
                "lane": lane,
                "now": self._tx.now,
                "lease_until": self._tx.now + LEASE_MS,
                "holder": self._tx.holder,
                "limit": limit,
            },
        )

    def release_row(self, key: Mapping[str, object], attempt: int, since: Milliseconds) -> None:
        """Give back a row that was taken and not begun; the oldest is taken again first."""
        since = min(since, self._tx.now)
        self._tx.run(self.work.release, {**key, "attempt": attempt, "since": since})
        self._tx.due(self._tx.now)

    def end_leases(self) -> int:
        """Make taken work due now: who held it is gone (one process owns an embedded file)."""
        return self._tx.run(self.work.end_leases, {"now": self._tx.now})
