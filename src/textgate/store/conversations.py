"""Conversations: the numbers that have written to an account, and what was said both ways.

Only what came in is counted. What went out is found by its number when somebody looks: sending
costs nothing for it.
"""

from typing import Any

from textgate.domain.inbound import Conversation, Inbound
from textgate.domain.message import Message, Recipient
from textgate.domain.times import Milliseconds
from textgate.store.inbox import INBOUND
from textgate.store.noun import Noun
from textgate.store.table import Table

CONVERSATION = Table("conversation", Conversation)
RECEIVED, SENT = 0, 1
"""Of two things at one time, what was received comes before what was sent."""
Place = tuple[Milliseconds, int, str]
"""Where something stands in a conversation: its time, RECEIVED or SENT, its id."""
# Not the bare column: SQLite would go through all messages by their time, whoever they are to.
_SENT_AT = "said.created_at + 0"


class Conversations(Noun):
    """Who has written, and what was written."""

    def count(self, account_id: str, number: str, at: Milliseconds) -> None:
        """Note that a number has written."""
        self._tx.run(
            "INSERT INTO conversation (account_id, number, last_at, received)"
            " VALUES (:account, :number, :at, 1) ON CONFLICT (account_id, number) DO UPDATE"
            " SET received = conversation.received + 1, last_at = CASE"
            " WHEN conversation.last_at < :at THEN :at ELSE conversation.last_at END",
            {"account": account_id, "number": number, "at": at},
        )

    def forget(self, account_id: str, number: str, gone: int) -> None:
        """Note that so many messages of a number are no longer in the inbox."""
        which = {"account": account_id, "number": number}
        self._tx.run(
            "UPDATE conversation SET received = received - :gone, last_at = coalesce((SELECT"
            " max(created_at) FROM inbound WHERE account_id = :account AND number = :number),"
            " last_at) WHERE account_id = :account AND number = :number",
            {**which, "gone": gone},
        )
        self._tx.run(
            "DELETE FROM conversation WHERE account_id = :account AND number = :number"
            " AND received <= 0",
            which,
        )

    def after(
        self, account_id: str, cursor: tuple[Milliseconds, str] | None, limit: int
    ) -> list[Conversation]:
        """Return the next conversations from a (last_at, number) cursor, newest first."""
        where, values = "", {"account": account_id, "limit": limit}
        if cursor is not None:
            where = " AND (last_at, number) < (:at, :number)"
            values |= {"at": cursor[0], "number": cursor[1]}
        rows = self._tx.all(
            f"{CONVERSATION.select} WHERE account_id = :account{where}"
            " ORDER BY last_at DESC, number DESC LIMIT :limit",
            values,
        )
        return [CONVERSATION.read(row) for row in rows]

    def received(
        self, account_id: str, number: str, before: Place | None, limit: int
    ) -> list[Inbound]:
        """Return what a number has written before ``before``, newest first."""
        where, values = _which(account_id, number, before, RECEIVED)
        rows = self._tx.all(
            f"{INBOUND.select} AS said {where} ORDER BY said.created_at DESC, said.id DESC"
            " LIMIT :limit",
            {**values, "limit": limit},
        )
        return [INBOUND.read(row) for row in rows]

    def sent(
        self, account_id: str, number: str, before: Place | None, limit: int
    ) -> list[tuple[Message, Recipient]]:
        """Return what a number was sent before ``before``, newest first.

        It costs as much as there are messages to this number: they are found by it, and then put
        in order.
        """
        where, values = _which(account_id, number, before, SENT)
        # Nothing but keys: the index of the numbers has all that is wanted of recipients.
        rows = self._tx.all(
            "SELECT r.message_id, r.n FROM recipient r JOIN message said"
            " ON said.account_id = r.account_id AND said.id = r.message_id"
            f" {where} ORDER BY {_SENT_AT} DESC, said.id DESC LIMIT :limit",
            {**values, "limit": limit},
        )
        found = []
        for message_id, n in rows:
            message = self._tx.messages.get(account_id, message_id)
            recipient = self._tx.recipients.one(account_id, message_id, n)
            if message is not None and recipient is not None:
                found.append((message, recipient))
        return found


def _which(
    account_id: str, number: str, before: Place | None, kind: int
) -> tuple[str, dict[str, Any]]:
    """Return the WHERE of what was said, on ``said`` and, if it was sent, its recipient ``r``."""
    whose, when = ("r", _SENT_AT) if kind == SENT else ("said", "said.created_at")
    where = f"WHERE {whose}.account_id = :account AND {whose}.number = :number"
    values: dict[str, Any] = {"account": account_id, "number": number}
    if before is not None:
        at, place, id_ = before
        values["at"] = at
        if kind == place:
            where += f" AND ({when}, said.id) < (:at, :id)"
            values["id"] = id_
        else:
            where += f" AND {when} {'<=' if kind < place else '<'} :at"
    return where, values
