"""Messages."""

from typing import Any

from textgate.domain.lifecycle import OPEN, State
from textgate.domain.message import Message
from textgate.domain.times import Milliseconds
from textgate.store.noun import Noun
from textgate.store.table import Table

MESSAGE = Table("message", Message)

_ADD = f"{MESSAGE.insert} ON CONFLICT (account_id, id) DO NOTHING"
_COLUMN = {
    State.PROCESSED: "processed_at",
    State.SENT: "sent_at",
    State.DELIVERED: "delivered_at",
    State.FAILED: "failed_at",
    State.CANCELLING: "cancelling_at",
    State.CANCELLED: "cancelled_at",
}
_REACH = {
    state: f"UPDATE message SET state = :state, {column} = coalesce({column}, :at)"
    " WHERE account_id = :account AND id = :id"
    for state, column in _COLUMN.items()
}
# Values by place: for the statement of every message it is cheaper than by name.
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

    def stamp(self, account_id: str, message_id: str, state: State, at: Milliseconds) -> None:
        """Note when a state was reached that the message is not in any more, or not yet alone; the
        first time is kept."""
        column = _COLUMN[state]
        self._tx.run(
            f"UPDATE message SET {column} = coalesce({column}, :at)"
            " WHERE account_id = :account AND id = :id",
            {"at": at, "account": account_id, "id": message_id},
        )

    def carried_by(self, account_id: str, message_id: str, channel_id: str) -> None:
        """Show this channel as the one that has the message, if it has all of its numbers."""
        self._tx.run(
            "UPDATE message SET device_id = :channel WHERE account_id = :account AND id = :id"
            " AND NOT EXISTS (SELECT 1 FROM recipient r WHERE r.account_id = :account"
            " AND r.message_id = :id AND r.lane <> :channel)",
            {"channel": channel_id, "account": account_id, "id": message_id},
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

    def reached_since(
        self, account_id: str, state: State, since: Milliseconds
    ) -> tuple[int, Milliseconds | None]:
        """Return how many messages reached a state after ``since``, and when the last one did.

        Looks at all messages: for a phone's own store, which holds few."""
        column = _COLUMN[state]
        row = self._tx.one(
            f"SELECT count(*), max({column}) FROM message"
            f" WHERE account_id = :account AND {column} > :since",
            {"account": account_id, "since": since},
        )
        return (row[0], row[1]) if row else (0, None)

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
