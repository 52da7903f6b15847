"""What waits for phones and what they have in hand: the rows of ``recipient`` whose lane is one.

A recipient is *offered* to the phone of its lane: due at the time at which it moves on, and held by
nobody. It is *in hand* once the phone has fetched it: held by its lane, with a try that was begun.
``provider_ref`` is the message's id as soon as the phone has reported on it.
"""

from typing import Literal

from textgate.domain.lifecycle import State
from textgate.domain.message import Recipient
from textgate.domain.times import Milliseconds
from textgate.store.noun import Noun
from textgate.store.recipients import RECIPIENT

_UNREPORTED = "r.provider_ref IS NULL AND r.state IN ('Pending', 'Processed')"
_OFFERED = (
    f"r.lane = :device AND r.due_at IS NOT NULL AND {_UNREPORTED}"
    " AND (r.holder IS NULL OR r.holder <> r.lane)"
)
_IN_HAND = "r.holder = :device AND r.holder = r.lane"
_OF_MESSAGE = "JOIN message m ON m.account_id = r.account_id AND m.id = r.message_id"
_NOT_LATER = "(m.schedule_at IS NULL OR m.schedule_at <= :now)"
_TRIES = (
    "FROM send_attempt WHERE account_id = :account AND message_id = :id AND n = :n"
    " AND channel_id = :device"
)


class PhoneQueues(Noun):
    """The queues of all phones; ids of phones are unique over all accounts."""

    def offered(
        self, device_id: str, order: Literal["lifo", "fifo"], limit: int
    ) -> list[tuple[str, Milliseconds | None]]:
        """Return the first messages that the phone has not fetched, and for when they are
        scheduled (A §3.6: earliest schedule, highest priority, then by age)."""
        direction = "DESC" if order == "lifo" else "ASC"
        rows = self._tx.all(
            "SELECT DISTINCT m.id, m.schedule_at, coalesce(m.schedule_at, 0) AS starts,"
            f" m.priority, m.created_at FROM recipient r {_OF_MESSAGE}"
            f" WHERE {_OFFERED} AND r.deadline > :now"
            f" ORDER BY starts, m.priority DESC, m.created_at {direction}, m.id {direction}"
            " LIMIT :limit",
            {"device": device_id, "now": self._tx.now, "limit": limit},
        )
        return [(message_id, schedule_at) for message_id, schedule_at, *_ in rows]

    def in_hand(self, device_id: str) -> list[Recipient]:
        """Return what the phone has fetched and not finished."""
        columns = ", ".join(f"r.{column}" for column in RECIPIENT.columns)
        rows = self._tx.all(
            f"SELECT {columns} FROM recipient r WHERE {_IN_HAND}", {"device": device_id}
        )
        return [RECIPIENT.read(row) for row in rows]

    def busy_with(self, device_id: str, reported_since: Milliseconds) -> int:
        """Return how many messages whose time has come are in hand: not reported on, or only
        since ``reported_since``."""
        return self._count(
            f"SELECT count(DISTINCT r.message_id) FROM recipient r {_OF_MESSAGE}"
            f" WHERE {_IN_HAND} AND {_NOT_LATER} AND r.state IN ('Pending', 'Processed')"
            " AND (r.provider_ref IS NULL OR r.updated_at > :since)",
            {"device": device_id, "now": self._tx.now, "since": reported_since},
        )

    def waits(self, device_id: str) -> bool:
        """Whether there is something that the phone has not fetched."""
        found = self._tx.one(
            f"SELECT 1 FROM recipient r WHERE {_OFFERED} LIMIT 1", {"device": device_id}
        )
        return found is not None

    def unfinished(self, device_id: str, limit: int) -> int:
        """Return how many numbers the phone has still to reach, ``limit`` at most."""
        return self._count(
            "SELECT count(*) FROM (SELECT 1 FROM recipient r WHERE r.lane = :device"
            " AND r.due_at IS NOT NULL LIMIT :limit) AS owed",
            {"device": device_id, "limit": limit},
        )

    def pending(self, device_id: str, limit: int) -> int:
        """Return how many messages whose time has come the phone has not reported on; counts no
        further than ``limit``."""
        return self._count(
            f"SELECT count(*) FROM (SELECT DISTINCT r.message_id FROM recipient r {_OF_MESSAGE}"
            f" WHERE r.lane = :device AND r.due_at IS NOT NULL AND {_UNREPORTED}"
            f" AND {_NOT_LATER} LIMIT :limit) AS pending",
            {"device": device_id, "now": self._tx.now, "limit": limit},
        )

    def oldest_pending(self, device_id: str) -> Milliseconds | None:
        """Return since when the oldest of them could have been sent."""
        row = self._tx.one(
            "SELECT min(CASE WHEN m.schedule_at IS NULL THEN m.created_at ELSE m.schedule_at END)"
            f" FROM recipient r {_OF_MESSAGE} WHERE r.lane = :device AND r.due_at IS NOT NULL"
            f" AND {_UNREPORTED} AND {_NOT_LATER}",
            {"device": device_id, "now": self._tx.now},
        )
        return row[0] if row else None

    def last_ends(self, device_id: str, since: Milliseconds, limit: int) -> list[State]:
        """Return how the last numbers ended that the phone reported on since then."""
        rows = self._tx.all(
            "SELECT state FROM recipient WHERE lane = :device AND provider_ref = message_id"
            " AND updated_at > :since AND due_at IS NULL ORDER BY updated_at DESC LIMIT :limit",
            {"device": device_id, "since": since, "limit": limit},
        )
        return [State(state) for (state,) in rows]

    def recent(self, account_id: str, limit: int) -> list[tuple[str, Milliseconds]]:
        """Return the account's phones that were heard of last, and when."""
        rows = self._tx.all(
            "SELECT id, last_seen FROM device WHERE account_id = :account"
            " ORDER BY last_seen DESC, id LIMIT :limit",
            {"account": account_id, "limit": limit},
        )
        return [(device_id, last_seen) for device_id, last_seen in rows]

    def put_back(
        self, recipient: Recipient, *, due_at: Milliseconds, holder: str | None, uncertain: bool
    ) -> bool:
        """End the take of ``recipient`` as if it had not been; False if it is over already.

        Since when the phone has it does not change by it.
        """
        done = self._tx.run(
            "UPDATE recipient SET attempt = attempt - 1, due_at = :due, holder = :holder,"
            " uncertain = :uncertain WHERE account_id = :account AND message_id = :id AND n = :n"
            " AND attempt = :attempt AND due_at IS NOT NULL",
            {
                "due": due_at,
                "holder": holder,
                "uncertain": uncertain,
                "account": recipient.account_id,
                "id": recipient.message_id,
                "n": recipient.n,
                "attempt": recipient.attempt,
            },
        )
        return done > 0

    def tried(self, recipient: Recipient, device_id: str, *, open_only: bool = False) -> bool:
        """Whether this phone has fetched it once; ``open_only``: and has not ended it."""
        still_open = " AND outcome IS NULL" if open_only else ""
        found = self._tx.one(f"SELECT 1 {_TRIES}{still_open} LIMIT 1", _which(recipient, device_id))
        return found is not None

    def in_doubt(self, recipient: Recipient) -> bool:
        """Whether some try of it, by whatever way, may have gone out and never told."""
        found = self._tx.one(
            "SELECT 1 FROM send_attempt WHERE account_id = :account AND message_id = :id"
            " AND n = :n AND (outcome IS NULL OR outcome = 'unknown') LIMIT 1",
            {"account": recipient.account_id, "id": recipient.message_id, "n": recipient.n},
        )
        return found is not None

    def end_try(
        self,
        recipient: Recipient,
        device_id: str,
        outcome: str,
        reason: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Complete what began when the phone fetched it."""
        self._tx.run(
            "UPDATE send_attempt SET outcome = :outcome, reason = :reason, detail = :detail,"
            " elapsed_ms = :now - started_at WHERE account_id = :account AND message_id = :id"
            " AND n = :n AND channel_id = :device AND outcome IS NULL",
            {
                **_which(recipient, device_id),
                "outcome": outcome,
                "reason": reason,
                "detail": detail,
                "now": self._tx.now,
            },
        )

    def _count(self, sql: str, values: dict[str, object]) -> int:
        row = self._tx.one(sql, values)
        return row[0] if row else 0


def _which(recipient: Recipient, device_id: str) -> dict[str, object]:
    return {
        "account": recipient.account_id,
        "id": recipient.message_id,
        "n": recipient.n,
        "device": device_id,
    }
