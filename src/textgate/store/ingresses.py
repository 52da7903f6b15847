"""Ways in for other systems."""

from textgate.domain.ingress import Ingress
from textgate.domain.times import Milliseconds
from textgate.store.noun import Noun
from textgate.store.table import Table

INGRESS = Table("ingress", Ingress, sealed=["secrets"])
BY_KEY = f"""
    {INGRESS.select}
    WHERE key = :key OR (previous_key = :key AND previous_key_until > :now)"""
_ASSIGN = ", ".join(f"{c} = ?" for c in INGRESS.columns)


class Ingresses(Noun):
    """The addresses at which other systems say "send this"."""

    def add(self, ingress: Ingress) -> None:
        self._tx.run(INGRESS.insert, INGRESS.values(ingress, self._tx.vault))
        self._tx.changed("ingress")

    def save(self, ingress: Ingress) -> None:
        """Store every field of a known ingress."""
        self._tx.run(
            f"UPDATE ingress SET {_ASSIGN} WHERE account_id = ? AND id = ?",
            (*INGRESS.values(ingress, self._tx.vault), ingress.account_id, ingress.id),
        )
        self._tx.changed("ingress")

    def remove(self, account_id: str, ingress_id: str) -> bool:
        self._tx.changed("ingress")
        return bool(
            self._tx.run(
                "DELETE FROM ingress WHERE account_id = :account AND id = :id",
                {"account": account_id, "id": ingress_id},
            )
        )

    def get(self, account_id: str, ingress_id: str) -> Ingress | None:
        row = self._tx.one(
            f"{INGRESS.select} WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": ingress_id},
        )
        return INGRESS.read(row, self._tx.vault) if row else None

    def all(self, account_id: str) -> tuple[Ingress, ...]:
        """Return the account's ingresses, the oldest first."""
        rows = self._tx.all(
            f"{INGRESS.select} WHERE account_id = :account ORDER BY id", {"account": account_id}
        )
        return tuple(INGRESS.read(row, self._tx.vault) for row in rows)

    def by_key(self, key: str, now: Milliseconds) -> Ingress | None:
        """Return the ingress at this address; one that was replaced counts until its end."""
        row = self._tx.one(BY_KEY, {"key": key, "now": now})
        return INGRESS.read(row, self._tx.vault) if row else None
