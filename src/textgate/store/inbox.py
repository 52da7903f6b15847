"""Messages that came in, and what was attached to them."""

from collections import Counter
from typing import Any

from textgate.domain.inbound import Attachment, Inbound
from textgate.domain.times import Milliseconds
from textgate.store.noun import Noun
from textgate.store.table import Table

INBOUND = Table("inbound", Inbound)
ATTACHMENT = Table("attachment", Attachment)
OLD = (
    "SELECT id, number FROM inbound WHERE account_id = :account AND kept_at < :before LIMIT :limit"
)


class Inbox(Noun):
    """Received messages of an account."""

    def add(self, inbound: Inbound) -> bool:
        """Keep a message; False if there is one of this id."""
        return bool(
            self._tx.run(
                f"{INBOUND.insert} ON CONFLICT (account_id, id) DO NOTHING",
                INBOUND.values(inbound),
            )
        )

    def get(self, account_id: str, inbound_id: str) -> Inbound | None:
        row = self._tx.one(
            f"{INBOUND.select} WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": inbound_id},
        )
        return INBOUND.read(row) if row else None

    def page(
        self,
        account_id: str,
        *,
        since: Milliseconds,
        until: Milliseconds,
        kind: str | None = None,
        device_id: str | None = None,
        limit: int,
        offset: int,
    ) -> tuple[list[Inbound], int]:
        """Return one page, newest first, and how many match in all."""
        where, values = _which(account_id, since, until, kind, device_id, None)
        count = self._tx.one(f"SELECT count(*) FROM inbound {where}", values)
        rows = self._tx.all(
            f"{INBOUND.select} {where} ORDER BY created_at DESC, id DESC"
            " LIMIT :limit OFFSET :offset",
            {**values, "limit": limit, "offset": offset},
        )
        return [INBOUND.read(row) for row in rows], count[0] if count else 0

    def after(
        self,
        account_id: str,
        cursor: tuple[Milliseconds, str] | None,
        *,
        since: Milliseconds,
        until: Milliseconds,
        kind: str | None = None,
        device_id: str | None = None,
        number: str | None = None,
        limit: int,
    ) -> list[Inbound]:
        """Return the next messages, newest first, from a (created_at, id) cursor."""
        where, values = _which(account_id, since, until, kind, device_id, number)
        if number is not None:
            # A span of time makes SQLite take the index of the times, and look at everybody's.
            where = where.replace("created_at", "created_at + 0")
        if cursor is not None:
            where += " AND (created_at, id) < (:at, :id)"
            values |= {"at": cursor[0], "id": cursor[1]}
        rows = self._tx.all(
            f"{INBOUND.select} {where} ORDER BY created_at DESC, id DESC LIMIT :limit",
            {**values, "limit": limit},
        )
        return [INBOUND.read(row) for row in rows]

    def add_attachment(self, attachment: Attachment) -> None:
        """Keep a part of a message; what came first under this number stays."""
        self._tx.run(
            f"{ATTACHMENT.insert} ON CONFLICT (account_id, inbound_id, part_id) DO NOTHING",
            ATTACHMENT.values(attachment),
        )

    def attachments(self, account_id: str, inbound_id: str) -> list[Attachment]:
        """Return what is attached to a message, without the bytes, which may be many."""
        rows = self._tx.all(
            "SELECT account_id, inbound_id, part_id, content_type, name, size, NULL"
            " FROM attachment WHERE account_id = :account AND inbound_id = :id ORDER BY part_id",
            {"account": account_id, "id": inbound_id},
        )
        return [ATTACHMENT.read(row) for row in rows]

    def attachment(self, account_id: str, inbound_id: str, part_id: int) -> Attachment | None:
        row = self._tx.one(
            f"{ATTACHMENT.select} WHERE account_id = :account AND inbound_id = :id"
            " AND part_id = :part",
            {"account": account_id, "id": inbound_id, "part": part_id},
        )
        return ATTACHMENT.read(row) if row else None

    def remove_before(self, account_id: str, before: Milliseconds, limit: int) -> int:
        """Remove up to ``limit`` messages that came in before ``before``; what is attached goes
        with them, and conversations count what is left."""
        old = self._tx.all(OLD, {"account": account_id, "before": before, "limit": limit})
        for inbound_id, _ in old:
            for table, column in (("attachment", "inbound_id"), ("inbound", "id")):
                self._tx.run(
                    f"DELETE FROM {table} WHERE account_id = :account AND {column} = :id",
                    {"account": account_id, "id": inbound_id},
                )
        for number, gone in Counter(number for _, number in old).items():
            self._tx.conversations.forget(account_id, number, gone)
        return len(old)


def _which(
    account_id: str,
    since: Milliseconds,
    until: Milliseconds,
    kind: str | None,
    device_id: str | None,
    number: str | None,
) -> tuple[str, dict[str, Any]]:
    """Return the WHERE of a list, and its values."""
    where = "WHERE account_id = :account AND created_at >= :since AND created_at < :until"
    values: dict[str, Any] = {"account": account_id, "since": since, "until": until}
    for column, name, wanted in (
        ("type", "kind", kind),
        ("device_id", "device", device_id),
        ("number", "number", number),
    ):
        if wanted is not None:
            where += f" AND {column} = :{name}"
            values[name] = wanted
    return where, values
