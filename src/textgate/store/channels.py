"""Channels: providers opened with settings."""

from textgate.domain.account import Channel
from textgate.store.noun import Noun
from textgate.store.table import Table

CHANNEL = Table("channel", Channel, sealed=["settings"])
_ASSIGN = ", ".join(f"{c} = ?" for c in CHANNEL.columns)


class Channels(Noun):
    """The ways out of an account, in their order."""

    def add(self, channel: Channel) -> None:
        self._tx.run(CHANNEL.insert, CHANNEL.values(channel, self._tx.vault))
        self._tx.changed("channel")

    def save(self, channel: Channel) -> None:
        """Store every field of a known channel."""
        self._tx.run(
            f"UPDATE channel SET {_ASSIGN} WHERE account_id = ? AND id = ?",
            (*CHANNEL.values(channel, self._tx.vault), channel.account_id, channel.id),
        )
        self._tx.changed("channel")

    def remove(self, account_id: str, channel_id: str) -> bool:
        """Remove a channel, and what its scripts were."""
        self._tx.changed("channel")
        which = {"account": account_id, "id": channel_id}
        self._tx.run(
            "DELETE FROM script_version WHERE account_id = :account AND channel_id = :id", which
        )
        return bool(
            self._tx.run("DELETE FROM channel WHERE account_id = :account AND id = :id", which)
        )

    def get(self, account_id: str, channel_id: str) -> Channel | None:
        """Return one, without opening what is sealed in the others."""
        return self._tx.memo(
            "channel", f"{account_id}/{channel_id}", lambda: self._one(account_id, channel_id)
        )

    def all(self, account_id: str) -> tuple[Channel, ...]:
        """Return the account's channels in their order."""
        return self._tx.memo("channel", account_id, lambda: self._all(account_id))

    def places(self, account_id: str) -> list[tuple[str, str, int]]:
        """Return id, name and position of each channel of an account, in their order."""
        rows = self._tx.all(
            "SELECT id, name, position FROM channel WHERE account_id = :account"
            " ORDER BY position, id",
            {"account": account_id},
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def ids(self) -> set[str]:
        """Return the ids of all channels of all accounts."""
        return {id_ for (id_,) in self._tx.all("SELECT id FROM channel")}

    def _one(self, account_id: str, channel_id: str) -> Channel | None:
        row = self._tx.one(
            f"{CHANNEL.select} WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": channel_id},
        )
        return CHANNEL.read(row, self._tx.vault) if row else None

    def _all(self, account_id: str) -> tuple[Channel, ...]:
        rows = self._tx.all(
            f"{CHANNEL.select} WHERE account_id = :account ORDER BY position, id",
            {"account": account_id},
        )
        return tuple(CHANNEL.read(row, self._tx.vault) for row in rows)
