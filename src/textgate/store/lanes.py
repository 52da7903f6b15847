"""Claiming due work, lane by lane: the same shape for recipients and for deliveries.

A lane is a channel or a webhook. Work of one lane never stands before that of another: the lanes
that have work are found by stepping from one to the next in an index, and each is asked for as
much as its taker has room for, however long its queue is.
"""

from textgate.domain.times import Milliseconds

LANES = """
    WITH RECURSIVE lanes (lane) AS (
      SELECT min(lane) FROM {table} WHERE due_at IS NOT NULL
      UNION ALL
      SELECT (SELECT min(lane) FROM {table} WHERE due_at IS NOT NULL AND lane > lanes.lane)
      FROM lanes WHERE lane IS NOT NULL)
    SELECT lane, (SELECT min(due_at) FROM {table} WHERE lane = lanes.lane AND due_at IS NOT NULL)
    FROM lanes WHERE lane IS NOT NULL"""

TAKE = """
    UPDATE {table} SET {lost} attempt = attempt + 1, due_at = :lease_until, holder = :holder
    WHERE ({key}) IN (
      SELECT {key} FROM {table} WHERE lane = :lane AND due_at <= :now
      ORDER BY due_at LIMIT :limit {skip_locked})
    RETURNING {columns}"""

Due = list[tuple[str, Milliseconds]]
"""Each lane that has work, and when its first is due."""

RELEASE = """
    UPDATE {table} SET attempt = attempt - 1, due_at = :since, holder = NULL
    WHERE {match} AND attempt = :attempt AND holder IS NOT NULL"""

END_LEASES = """
    UPDATE {table} SET {lost} due_at = :now, holder = NULL, base = base + 1
    WHERE due_at IS NOT NULL AND holder IS NOT NULL"""
"""The end of a process is nobody's attempt: most of what it held had not begun, so ``base`` goes
up with the take, and the retries are as many as before."""
