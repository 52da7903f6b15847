"""Messages, their recipients, and the attempts to reach them."""

from typing import Any

from textgate.domain.lifecycle import OPEN, State
from textgate.domain.message import Message, Receipt, Recipient, SendAttempt, SendJob
from textgate.domain.times import Milliseconds
from textgate.store.base import LEASE_MS, Row
from textgate.store.lanes import END_LEASES, LANES, RELEASE, TAKE, Due
from textgate.store.noun import Noun
from textgate.store.table import Table

MESSAGE = Table("message", Message)
RECIPIENT = Table("recipient", Recipient)
SEND_ATTEMPT = Table("send_attempt", SendAttempt)

_ADD = f"{MESSAGE.insert} ON CONFLICT (account_id, id) DO NOTHING"
_LANES = LANES.format(table="recipient")
# Whoever had it may have begun, and did not tell.
_LOST = "uncertain = CASE WHEN holder IS NULL THEN uncertain ELSE 1 END,"
_TAKE = TAKE.format(
    table="recipient",
    lost=_LOST,
    key="account_id, message_id, n",
    columns=", ".join(RECIPIENT.columns),
    skip_locked="",
)
_RELEASE = RELEASE.format(
    table="recipient", match="account_id = :account AND message_id = :id AND n = :n"
)
_END_LEASES = END_LEASES.format(table="recipient", lost=_LOST)
_REACH = {
    state: f"UPDATE message SET state = :state, {column} = coalesce({column}, :at)"
    " WHERE account_id = :account AND id = :id"
    for state, column in {
        State.PROCESSED: "processed_at",
        State.SENT: "sent_at",
        State.DELIVERED: "delivered_at",
        State.FAILED: "failed_at",
        State.CANCELLING: "cancelling_at",
        State.CANCELLED: "cancelled_at",
    }.items()
}
# Values by place: for the statements of every message it is cheaper than by name.
_MOVE = """
    UPDATE recipient SET state = ?, lane = ?, route = ?, attempt = ?, base = ?, due_at = ?,
    uncertain = ?, holder = ?, provider_ref = ?, reason = ?, error = ?, updated_at = ?
    WHERE account_id = ? AND message_id = ? AND n = ? AND state = ? AND attempt = ?"""
_SENT = """
    UPDATE message SET state = ?, processed_at = coalesce(processed_at, ?),
    sent_at = coalesce(sent_at, ?) WHERE account_id = ? AND id = ?"""
_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN))


class Messages(Noun):
    """What callers asked to send."""

    def add(self, message: Message) -> bool:
        """Store a message; False if the account has one with this id."""
        return bool(self._tx.run(_ADD, MESSAGE.values(message)))

    def get(self, account_id: str, message_id: str) -> Message | None:
        row = self._tx.one(
            f"{MESSAGE.select} WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": message_id},
        )
        return MESSAGE.read(row) if row else None

    def reach(self, account_id: str, message_id: str, state: State, at: Milliseconds) -> None:
        """Move the message's own state; the first time it reached a state is kept."""
        self._tx.run(
            _REACH[state], {"state": state, "at": at, "account": account_id, "id": message_id}
        )

    def taken(self, account_id: str, message_id: str, at: Milliseconds) -> None:
        """Note when the first attempt began, if nothing noted it before."""
        self._tx.run(
            "UPDATE message SET processed_at = coalesce(processed_at, :at)"
            " WHERE account_id = :account AND id = :id",
            {"at": at, "account": account_id, "id": message_id},
        )

    def sent(
        self, account_id: str, message_id: str, taken_at: Milliseconds, at: Milliseconds
    ) -> None:
        """Note that an attempt begun at ``taken_at`` sent it: the usual life, in one statement."""
        self._tx.run(_SENT, (State.SENT, taken_at, at, account_id, message_id))

    def page(
        self,
        account_id: str,
        *,
        since: Milliseconds,
        until: Milliseconds,
        state: State | None = None,
        device_id: str | None = None,
        limit: int,
        offset: int,
        newest_first: bool = True,
    ) -> tuple[list[Message], int]:
        """Return one page with since ≤ created < until, and how many match in all."""
        where = "WHERE account_id = :account AND created_at >= :since AND created_at < :until"
        values: dict[str, Any] = {"account": account_id, "since": since, "until": until}
        if state is not None:
            where += " AND state = :state"
            values["state"] = state
        if device_id is not None:
            where += " AND device_id = :device"
            values["device"] = device_id
        count = self._tx.one(f"SELECT count(*) FROM message {where}", values)
        order = "DESC" if newest_first else "ASC"
        rows = self._tx.all(
            f"{MESSAGE.select} {where} ORDER BY created_at {order}, id {order}"
            " LIMIT :limit OFFSET :offset",
            {**values, "limit": limit, "offset": offset},
        )
        return [MESSAGE.read(row) for row in rows], count[0] if count else 0

    def after(self, account_id: str, cursor: tuple[int, str] | None, limit: int) -> list[Message]:
        """Return the next page of all messages, newest first, from a (created_at, id) cursor."""
        where, values = "", {"account": account_id, "limit": limit}
        if cursor is not None:
            where = " AND (created_at, id) < (:at, :id)"
            values |= {"at": cursor[0], "id": cursor[1]}
        rows = self._tx.all(
            f"{MESSAGE.select} WHERE account_id = :account{where}"
            " ORDER BY created_at DESC, id DESC LIMIT :limit",
            values,
        )
        return [MESSAGE.read(row) for row in rows]

    def remove_finished(self, account_id: str, before: Milliseconds, limit: int) -> int:
        """Remove up to ``limit`` messages to which nothing is owed, whose last number came to its
        end before ``before``."""
        keys = self._tx.all(
            "SELECT id FROM message WHERE account_id = :account AND created_at < :before"
            f" AND state NOT IN ({_OPEN}) AND NOT EXISTS (SELECT 1 FROM recipient r"
            " WHERE r.account_id = message.account_id AND r.message_id = message.id"
            " AND (r.due_at IS NOT NULL OR r.updated_at >= :before))"
            " ORDER BY created_at LIMIT :limit",
            {"account": account_id, "before": before, "limit": limit},
        )
        for (message_id,) in keys:
            values = {"account": account_id, "id": message_id}
            for table, column in (
                ("send_attempt", "message_id"),
                ("recipient", "message_id"),
                ("message", "id"),
            ):
                self._tx.run(
                    f"DELETE FROM {table} WHERE account_id = :account AND {column} = :id", values
                )
        return len(keys)

    def oldest_open(self) -> Milliseconds | None:
        """Return when the oldest message was made to which something is owed."""
        row = self._tx.one(
            "SELECT min(oldest) FROM (SELECT (SELECT min(created_at) FROM message"
            f" WHERE account_id = account.id AND state IN ({_OPEN})) AS oldest FROM account) AS o"
        )
        return row[0] if row else None


class Recipients(Noun):
    """The numbers of messages: the work of sending stands on their rows."""

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
        return self._tx.run(_MOVE, values) > 0

    def owed(self) -> int:
        """Return how many recipients are still to be reached."""
        row = self._tx.one("SELECT count(*) FROM recipient WHERE due_at IS NOT NULL")
        return row[0] if row else 0

    def overdue(self, limit: int) -> list[SendJob]:
        """Return work past its deadline that nobody has in hand; looks at all that is owed."""
        rows = self._tx.all(
            f"{RECIPIENT.select} WHERE due_at IS NOT NULL AND deadline <= :now"
            " AND holder IS NULL LIMIT :limit",
            {"now": self._tx.now, "limit": limit},
        )
        return self._jobs(rows)

    def lanes(self) -> Due:
        return [(lane, at) for lane, at in self._tx.all(_LANES)]

    def take(self, lane: str, limit: int) -> list[SendJob]:
        """Lease up to ``limit`` due recipients of a lane, counting the attempt."""
        rows = self._tx.all(
            _TAKE,
            {
                "lane": lane,
                "now": self._tx.now,
                "lease_until": self._tx.now + LEASE_MS,
                "holder": self._tx.holder,
                "limit": limit,
            },
        )
        return self._jobs(rows)

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
        self._tx.run(
            _RELEASE,
            {
                "since": min(job.message.created_at, self._tx.now),
                "account": r.account_id,
                "id": r.message_id,
                "n": r.n,
                "attempt": r.attempt,
            },
        )
        self._tx.due(self._tx.now)

    def end_leases(self) -> int:
        """Make taken work due now: who held it is gone (one process owns an embedded file)."""
        return self._tx.run(_END_LEASES, {"now": self._tx.now})

    def move_lane(self, lane: str, to: str) -> None:
        """Hand all unfinished work of one lane to another."""
        self._tx.run(
            "UPDATE recipient SET lane = :to, base = attempt WHERE holder IS NULL AND lane = :lane"
            " AND due_at IS NOT NULL",
            {"lane": lane, "to": to},
        )

    def add_attempt(self, attempt: SendAttempt) -> None:
        """Record a try."""
        self._tx.run(SEND_ATTEMPT.insert, SEND_ATTEMPT.values(attempt))

    def end_attempt(self, attempt: SendAttempt) -> None:
        """Complete a try that was recorded when it began."""
        self._tx.run(
            "UPDATE send_attempt SET elapsed_ms = :elapsed, outcome = :outcome, reason = :reason,"
            " code = :code, detail = :detail WHERE account_id = :account AND message_id = :id"
            " AND n = :n AND attempt = :attempt",
            {
                "elapsed": attempt.elapsed_ms,
                "outcome": attempt.outcome,
                "reason": attempt.reason,
                "code": attempt.code,
                "detail": attempt.detail,
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
        """Whether the take before this one began an attempt and never reported."""
        return (
            self._tx.one(
                "SELECT 1 FROM send_attempt WHERE account_id = :account AND message_id = :id"
                " AND n = :n AND attempt < :attempt AND outcome IS NULL",
                {
                    "account": recipient.account_id,
                    "id": recipient.message_id,
                    "n": recipient.n,
                    "attempt": recipient.attempt,
                },
            )
            is not None
        )

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
