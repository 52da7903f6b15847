"""The numbers of messages, and the attempts to reach them."""

from textgate.domain.lifecycle import State
from textgate.domain.message import Receipt, Recipient, SendAttempt, SendJob
from textgate.domain.times import Milliseconds
from textgate.store.base import Row
from textgate.store.lanes import Lanes, Statements
from textgate.store.table import Table, to_json

RECIPIENT = Table("recipient", Recipient)
SEND_ATTEMPT = Table("send_attempt", SendAttempt)

# Values by place: for the statements of every message it is cheaper than by name.
_MOVE = """
    UPDATE recipient SET state = ?, lane = ?, route = ?, attempt = ?, base = ?, due_at = ?,
    uncertain = ?, holder = ?, provider_ref = ?, reason = ?, error = ?, updated_at = ?
    WHERE account_id = ? AND message_id = ? AND n = ? AND state = ? AND attempt = ?"""


class Recipients(Lanes):
    """The numbers of messages: the work of sending stands on their rows."""

    work = Statements(
        "recipient",
        "account_id, message_id, n",
        RECIPIENT.columns,
        # Whoever had it may have begun, and did not tell; but of what a phone is to drop its tries
        # say whether it ever had it.
        lost="uncertain = CASE WHEN holder IS NULL OR (holder = lane AND state = 'Cancelling')"
        " THEN uncertain ELSE 1 END,",
    )

    def add(self, recipient: Recipient) -> None:
        self._tx.run(RECIPIENT.insert, RECIPIENT.values(recipient))

    def of(self, account_id: str, message_id: str) -> list[Recipient]:
        rows = self._tx.all(
            f"{RECIPIENT.select} WHERE account_id = :account AND message_id = :id ORDER BY n",
            {"account": account_id, "id": message_id},
        )
        return [RECIPIENT.read(row) for row in rows]

    def one(self, account_id: str, message_id: str, n: int) -> Recipient | None:
        row = self._tx.one(
            f"{RECIPIENT.select} WHERE account_id = :account AND message_id = :id AND n = :n",
            {"account": account_id, "id": message_id, "n": n},
        )
        return RECIPIENT.read(row) if row else None

    def by_ref(self, lane: str, ref: str) -> Recipient | None:
        row = self._tx.one(
            f"{RECIPIENT.select} WHERE lane = :lane AND provider_ref = :ref",
            {"lane": lane, "ref": ref},
        )
        return RECIPIENT.read(row) if row else None

    def states(self, account_id: str, message_id: str) -> list[State]:
        """Return the states present among a message's recipients."""
        rows = self._tx.all(
            "SELECT DISTINCT state FROM recipient WHERE account_id = :account AND message_id = :id",
            {"account": account_id, "id": message_id},
        )
        return [State(state) for (state,) in rows]

    def move(self, old: Recipient, new: Recipient) -> bool:
        """Replace ``old`` by ``new``, if nobody was quicker: same state, same take."""
        values = (
            *(new.state, new.lane, new.route, new.attempt, new.base, new.due_at, new.uncertain),
            *(new.holder, new.provider_ref, new.reason, new.error, self._tx.now),
            *(old.account_id, old.message_id, old.n, old.state, old.attempt),
        )
        moved = self._tx.run(_MOVE, values) > 0
        if moved:
            self._tx.moved(old.account_id, old.message_id)
        return moved

    def overdue(self, limit: int) -> list[SendJob]:
        """Return what was to be sent by now and nobody has in hand; looks at all that is owed."""
        rows = self._tx.all(
            f"{RECIPIENT.select} WHERE due_at IS NOT NULL AND deadline <= :now"
            " AND holder IS NULL AND state <> 'Sent' LIMIT :limit",
            {"now": self._tx.now, "limit": limit},
        )
        return self._jobs(rows)

    def take(self, lane: str, limit: int) -> list[SendJob]:
        """Lease up to ``limit`` due recipients of a lane, counting the attempt."""
        return self._jobs(self.take_rows(lane, limit))

    def _jobs(self, rows: list[Row]) -> list[SendJob]:
        jobs = []
        for recipient in map(RECIPIENT.read, rows):
            message = self._tx.messages.get(recipient.account_id, recipient.message_id)
            if message is not None:
                jobs.append(SendJob(message, recipient))
        jobs.sort(key=_age)  # a RETURNING has no order
        return jobs

    def release(self, job: SendJob) -> None:
        """Give back work that was taken and not begun; the oldest is taken again first."""
        r = job.recipient
        key = {"account_id": r.account_id, "message_id": r.message_id, "n": r.n}
        self.release_row(key, r.attempt, job.message.created_at)

    def hurry(self, lane: str, limit: int) -> int:
        """Make up to ``limit`` recipients of a lane due now, whoever has them; return how many."""
        return self._tx.run(
            "UPDATE recipient SET due_at = :now WHERE (account_id, message_id, n) IN (SELECT"
            " account_id, message_id, n FROM recipient WHERE lane = :lane AND due_at > :now"
            " LIMIT :limit)",
            {"now": self._tx.now, "lane": lane, "limit": limit},
        )

    def add_attempt(self, attempt: SendAttempt) -> None:
        """Record a try."""
        self._tx.run(SEND_ATTEMPT.insert, SEND_ATTEMPT.values(attempt))

    def begin_attempt(self, recipient: Recipient, started_at: Milliseconds) -> None:
        """Record that its lane has begun a try of this take."""
        self.add_attempt(
            SendAttempt(
                account_id=recipient.account_id,
                message_id=recipient.message_id,
                n=recipient.n,
                attempt=recipient.attempt,
                channel_id=recipient.lane,
                started_at=started_at,
                elapsed_ms=None,
                outcome=None,
            )
        )

    def end_attempt(self, attempt: SendAttempt) -> None:
        """Complete a try that was recorded when it began."""
        self._tx.run(
            "UPDATE send_attempt SET elapsed_ms = :elapsed, outcome = :outcome, reason = :reason,"
            " code = :code, detail = :detail, trace = :trace WHERE account_id = :account"
            " AND message_id = :id AND n = :n AND attempt = :attempt",
            {
                "elapsed": attempt.elapsed_ms,
                "outcome": attempt.outcome,
                "reason": attempt.reason,
                "code": attempt.code,
                "detail": attempt.detail,
                "trace": None if attempt.trace is None else to_json(attempt.trace),
                "account": attempt.account_id,
                "id": attempt.message_id,
                "n": attempt.n,
                "attempt": attempt.attempt,
            },
        )

    def attempts(self, account_id: str, message_id: str) -> list[SendAttempt]:
        rows = self._tx.all(
            f"{SEND_ATTEMPT.select} WHERE account_id = :account AND message_id = :id"
            " ORDER BY started_at, n, attempt",
            {"account": account_id, "id": message_id},
        )
        return [SEND_ATTEMPT.read(row) for row in rows]

    def began(self, recipient: Recipient) -> bool:
        """Whether an attempt of it began and never reported."""
        found = self._tx.one(
            "SELECT 1 FROM send_attempt WHERE account_id = :account AND message_id = :id"
            " AND n = :n AND outcome IS NULL LIMIT 1",
            {"account": recipient.account_id, "id": recipient.message_id, "n": recipient.n},
        )
        return found is not None

    def keep_early(self, receipt: Receipt) -> None:
        """Keep a receipt whose message has not been answered for yet."""
        self._tx.run(
            "INSERT INTO early_receipt (lane, ref, state, at, reason, detail, created_at)"
            " VALUES (:lane, :ref, :state, :at, :reason, :detail, :now)"
            " ON CONFLICT (lane, ref, state) DO NOTHING",
            {
                "lane": receipt.channel_id,
                "ref": receipt.ref,
                "state": receipt.state,
                "at": receipt.at,
                "reason": receipt.reason,
                "detail": receipt.detail,
                "now": self._tx.now,
            },
        )

    def early(self, lane: str, ref: str) -> list[Receipt]:
        """Take the receipts that were kept for ``ref``, in the order of their times."""
        rows = self._tx.all(
            "DELETE FROM early_receipt WHERE lane = :lane AND ref = :ref"
            " RETURNING at, state, reason, detail",
            {"lane": lane, "ref": ref},
        )
        return [
            Receipt(
                channel_id=lane, ref=ref, state=State(state), at=at, reason=reason, detail=detail
            )
            for at, state, reason, detail in sorted(rows, key=lambda row: int(row[0]))
        ]

    def remove_early(self, before: Milliseconds) -> int:
        return self._tx.run("DELETE FROM early_receipt WHERE created_at < :b", {"b": before})


def _age(job: SendJob) -> Milliseconds:
    return job.message.created_at
