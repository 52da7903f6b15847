"""Who is still to be told of what, and the calls that were made."""

from textgate.domain.event import CallAttempt, CallJob, Delivery, DeliveryState
from textgate.domain.times import Milliseconds
from textgate.store.lanes import Lanes, Statements
from textgate.store.table import Table

DELIVERY = Table("delivery", Delivery)
CALL_ATTEMPT = Table("call_attempt", CallAttempt)

_ADD_DELIVERY = f"{DELIVERY.insert} ON CONFLICT (account_id, event_id, lane) DO NOTHING"
_END = """
    UPDATE delivery SET state = ?, due_at = ?, holder = NULL, finished_at = ?
    WHERE account_id = ? AND lane = ? AND event_id = ? AND attempt = ? AND state = 'pending'"""


def _among(states: tuple[DeliveryState, ...]) -> str:
    """The condition for these states."""
    condition = f"state IN ({', '.join(repr(str(state)) for state in states)})"
    if set(states) <= {DeliveryState.DEAD, DeliveryState.HELD}:
        # In the words of the index `delivery_stuck`: neither database would infer that it serves.
        condition += " AND state IN ('dead', 'held')"
    return condition


class Deliveries(Lanes):
    """Who is still to be told of what: the work of calling stands on these rows.

    A lane is one webhook's key and belongs to one account. Statements about a whole lane name
    the lane alone: with the account beside it, SQLite takes the primary key and walks through all
    deliveries of the account.
    """

    work = Statements("delivery", "account_id, event_id, lane", DELIVERY.columns)

    def add(self, delivery: Delivery) -> bool:
        return bool(self._tx.run(_ADD_DELIVERY, DELIVERY.values(delivery)))

    def get(self, account_id: str, lane: str, event_id: str) -> Delivery | None:
        row = self._tx.one(
            f"{DELIVERY.select} WHERE account_id = :account AND lane = :lane AND event_id = :event",
            {"account": account_id, "lane": lane, "event": event_id},
        )
        return DELIVERY.read(row) if row else None

    def of_event(self, account_id: str, event_id: str) -> list[Delivery]:
        rows = self._tx.all(
            f"{DELIVERY.select} WHERE account_id = :account AND event_id = :event ORDER BY lane",
            {"account": account_id, "event": event_id},
        )
        return [DELIVERY.read(row) for row in rows]

    def page(
        self,
        account_id: str,
        lane: str,
        *,
        before: str | None,
        states: tuple[DeliveryState, ...] = (),
        limit: int,
    ) -> list[Delivery]:
        """Return the deliveries of a webhook, newest event first, before an event id."""
        where = "WHERE lane = :lane"
        values: dict[str, object] = {"lane": lane, "limit": limit}
        if before:
            where += " AND event_id < :before"
            values["before"] = before
        if states:
            where += f" AND {_among(states)}"
        rows = self._tx.all(
            f"{DELIVERY.select} {where} ORDER BY event_id DESC LIMIT :limit", values
        )
        return [DELIVERY.read(row) for row in rows]

    def end(
        self,
        job: CallJob,
        state: DeliveryState,
        due_at: Milliseconds | None,
        finished_at: Milliseconds | None,
    ) -> bool:
        """End or move taken work; False if the lease was lost to a later take."""
        d = job.delivery
        values = (state, due_at, finished_at, d.account_id, d.lane, d.event_id, d.attempt)
        return self._tx.run(_END, values) > 0

    def add_attempt(self, attempt: CallAttempt) -> None:
        self._tx.run(
            f"{CALL_ATTEMPT.insert} ON CONFLICT (account_id, event_id, lane, attempt) DO NOTHING",
            CALL_ATTEMPT.values(attempt),
        )

    def attempts(self, account_id: str, lane: str, event_id: str) -> list[CallAttempt]:
        rows = self._tx.all(
            f"{CALL_ATTEMPT.select} WHERE account_id = :account AND lane = :lane"
            " AND event_id = :event ORDER BY attempt",
            {"account": account_id, "lane": lane, "event": event_id},
        )
        return [CALL_ATTEMPT.read(row) for row in rows]

    def replay(
        self,
        account_id: str,
        lane: str,
        *,
        event_id: str | None = None,
        states: tuple[DeliveryState, ...] = (DeliveryState.DEAD,),
        limit: int = 1000,
    ) -> int:
        """Make deliveries due again from the start of the schedule; return how many."""
        where = f"lane = :lane AND {_among(states)}"
        values: dict[str, object] = {"lane": lane, "now": self._tx.now, "limit": limit}
        if event_id is not None:
            where += " AND account_id = :account AND event_id = :event"
            values |= {"account": account_id, "event": event_id}
        changed = self._tx.run(
            "UPDATE delivery SET state = 'pending', due_at = :now, holder = NULL, base = attempt,"
            " finished_at = NULL WHERE (account_id, lane, event_id) IN (SELECT account_id, lane,"
            f" event_id FROM delivery WHERE {where} ORDER BY event_id LIMIT :limit)",
            values,
        )
        if changed:
            self._tx.due(self._tx.now)
        return changed

    def hold(self, account_id: str, lane: str) -> None:
        """Stop calling: what is owed waits until the webhook is enabled again."""
        self._tx.run(
            "UPDATE delivery SET state = 'held', due_at = NULL, holder = NULL"
            # What is pending is due: its index spares a look at all that is delivered.
            " WHERE lane = :lane AND state = 'pending' AND due_at IS NOT NULL",
            {"lane": lane},
        )

    def drop(self, account_id: str, lane: str) -> None:
        """The webhook is gone: so is what was owed to it, and its history."""
        self._tx.run(
            "DELETE FROM call_attempt WHERE (account_id, event_id, lane)"
            " IN (SELECT account_id, event_id, lane FROM delivery WHERE lane = :lane)",
            {"lane": lane},
        )
        self._tx.run("DELETE FROM delivery WHERE lane = :lane", {"lane": lane})

    def take(self, lane: str, limit: int) -> list[CallJob]:
        """Lease up to ``limit`` due deliveries of a lane, counting the attempt."""
        jobs = []
        for delivery in map(DELIVERY.read, self.take_rows(lane, limit)):
            event = self._tx.events.get(delivery.account_id, delivery.event_id)
            if event is not None:
                jobs.append(CallJob(event, delivery))
        jobs.sort(key=_age)
        return jobs

    def release(self, job: CallJob) -> None:
        """Give back work that was taken and not begun; the oldest is taken again first."""
        d = job.delivery
        key = {"account_id": d.account_id, "event_id": d.event_id, "lane": d.lane}
        self.release_row(key, d.attempt, d.created_at)


def _age(job: CallJob) -> str:
    return job.event.id
