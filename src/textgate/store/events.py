"""Events."""

from textgate.domain.event import Event
from textgate.domain.identity import ENTROPY_BYTES, make_id
from textgate.domain.times import Milliseconds
from textgate.store.noun import Noun
from textgate.store.table import Table

EVENT = Table("event", Event)
# Ids sort by time: the index ends the search where the young ones begin.
SETTLED = """
    SELECT id FROM event WHERE account_id = :account AND id < :first_kept
    AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.account_id = event.account_id
    AND d.event_id = event.id
    AND (d.state IN ('pending', 'held') OR d.finished_at >= :before))
    ORDER BY id LIMIT :limit"""


class Events(Noun):
    """What happened, in the order of the commits."""

    def add(self, event: Event) -> None:
        self._tx.run(EVENT.insert, EVENT.values(event))

    def get(self, account_id: str, event_id: str) -> Event | None:
        row = self._tx.one(
            f"{EVENT.select} WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": event_id},
        )
        return EVENT.read(row) if row else None

    def after(self, account_id: str, after: str, limit: int) -> list[Event]:
        """Return the next events after an id ('' for the beginning), oldest first."""
        rows = self._tx.all(
            f"{EVENT.select} WHERE account_id = :account AND id > :after ORDER BY id LIMIT :limit",
            {"account": account_id, "after": after, "limit": limit},
        )
        return [EVENT.read(row) for row in rows]

    def last_id(self, account_id: str) -> str:
        row = self._tx.one(
            "SELECT max(id) FROM event WHERE account_id = :account", {"account": account_id}
        )
        return row[0] if row and row[0] else ""

    def of_message(self, account_id: str, message_id: str) -> list[Event]:
        rows = self._tx.all(
            f"{EVENT.select} WHERE account_id = :account AND message_id = :id ORDER BY id",
            {"account": account_id, "id": message_id},
        )
        return [EVENT.read(row) for row in rows]

    def remove_settled(self, account_id: str, before: Milliseconds, limit: int) -> int:
        """Remove up to ``limit`` events that no webhook still awaits: they, and the end of the last
        of their deliveries, are older than ``before``."""
        ids = self._tx.all(
            SETTLED,
            {
                "account": account_id,
                "first_kept": make_id(before, bytes(ENTROPY_BYTES)),
                "before": before,
                "limit": limit,
            },
        )
        for (event_id,) in ids:
            values = {"account": account_id, "event": event_id}
            for table, column in (
                ("call_attempt", "event_id"),
                ("delivery", "event_id"),
                ("event", "id"),
            ):
                self._tx.run(
                    f"DELETE FROM {table} WHERE account_id = :account AND {column} = :event",
                    values,
                )
        return len(ids)
