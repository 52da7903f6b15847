"""Messages that came in."""

from typing import Any

from textgate.domain.inbound import Inbound
from textgate.domain.times import Milliseconds
from textgate.store.noun import Noun
from textgate.store.table import Table

INBOUND = Table("inbound", Inbound)


class Inbox(Noun):
    """Received messages of an account."""

    def add(self, inbound: Inbound) -> bool:
        """Keep a message once; False if it is known."""
        return bool(
            self._tx.run(
                f"{INBOUND.insert} ON CONFLICT (account_id, id) DO NOTHING",
                INBOUND.values(inbound),
            )
        )

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
        where = "WHERE account_id = :account AND created_at >= :since AND created_at < :until"
        values: dict[str, Any] = {"account": account_id, "since": since, "until": until}
        if kind is not None:
            where += " AND type = :kind"
            values["kind"] = kind
        if device_id is not None:
            where += " AND device_id = :device"
            values["device"] = device_id
        count = self._tx.one(f"SELECT count(*) FROM inbound {where}", values)
        rows = self._tx.all(
            f"{INBOUND.select} {where} ORDER BY created_at DESC, id DESC"
            " LIMIT :limit OFFSET :offset",
            {**values, "limit": limit, "offset": offset},
        )
        return [INBOUND.read(row) for row in rows], count[0] if count else 0

    def remove_before(self, account_id: str, before: Milliseconds, limit: int) -> int:
        return self._tx.run(
            "DELETE FROM inbound WHERE (account_id, id) IN (SELECT account_id, id FROM inbound"
            " WHERE account_id = :account AND created_at < :before LIMIT :limit)",
            {"account": account_id, "before": before, "limit": limit},
        )
