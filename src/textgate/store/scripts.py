"""The versions of scripts."""

from textgate.domain.script import ScriptVersion
from textgate.store.noun import Noun
from textgate.store.table import Table

# People write keys into their scripts, whatever one tells them.
VERSION = Table("script_version", ScriptVersion, sealed=["source"])


class Scripts(Noun):
    """What each script channel ran, version by version."""

    def add(self, version: ScriptVersion) -> None:
        self._tx.run(VERSION.insert, VERSION.values(version, self._tx.vault))

    def last(self, account_id: str, channel_id: str) -> ScriptVersion | None:
        """Return the newest version of a channel's script."""
        rows = self._some(account_id, channel_id, before=None, limit=1)
        return rows[0] if rows else None

    def get(self, account_id: str, channel_id: str, n: int) -> ScriptVersion | None:
        rows = self._some(account_id, channel_id, before=n + 1, limit=1)
        return rows[0] if rows and rows[0].n == n else None

    def before(
        self, account_id: str, channel_id: str, n: int | None, limit: int
    ) -> list[ScriptVersion]:
        """Return versions, the newest first, from below ``n`` if it is given."""
        return self._some(account_id, channel_id, before=n, limit=limit)

    def remove(self, account_id: str, channel_id: str, up_to: int) -> int:
        """Remove the versions of a channel up to number ``up_to``."""
        return self._tx.run(
            "DELETE FROM script_version WHERE account_id = :account AND channel_id = :channel"
            " AND n <= :up_to",
            {"account": account_id, "channel": channel_id, "up_to": up_to},
        )

    def _some(
        self, account_id: str, channel_id: str, *, before: int | None, limit: int
    ) -> list[ScriptVersion]:
        bound = "" if before is None else " AND n < :before"
        rows = self._tx.all(
            f"{VERSION.select} WHERE account_id = :account AND channel_id = :channel{bound}"
            " ORDER BY n DESC LIMIT :limit",
            {"account": account_id, "channel": channel_id, "limit": limit}
            | ({} if before is None else {"before": before}),
        )
        return [VERSION.read(row, self._tx.vault) for row in rows]
