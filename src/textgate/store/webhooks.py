"""Registered webhooks."""

from textgate.domain.event import Webhook
from textgate.store.noun import Noun
from textgate.store.table import Table

WEBHOOK = Table("webhook", Webhook)
_ASSIGN = ", ".join(f"{c} = ?" for c in WEBHOOK.columns)


class Webhooks(Noun):
    """Who wants to know."""

    def add(self, webhook: Webhook) -> None:
        self._tx.run(WEBHOOK.insert, WEBHOOK.values(webhook))
        self._tx.changed("webhook")

    def save(self, webhook: Webhook) -> None:
        """Store every field of a known webhook."""
        self._tx.run(
            f"UPDATE webhook SET {_ASSIGN} WHERE account_id = ? AND id = ?",
            (*WEBHOOK.values(webhook), webhook.account_id, webhook.id),
        )
        self._tx.changed("webhook")

    def remove(self, account_id: str, webhook_id: str) -> None:
        self._tx.run(
            "DELETE FROM webhook WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": webhook_id},
        )
        self._tx.changed("webhook")

    def get(self, account_id: str, webhook_id: str) -> Webhook | None:
        return next((w for w in self.all(account_id) if w.id == webhook_id), None)

    def by_key(self, account_id: str, key: str) -> Webhook | None:
        return next((w for w in self.all(account_id) if w.key == key), None)

    def all(self, account_id: str) -> tuple[Webhook, ...]:
        """Return the account's webhooks, oldest first."""
        return self._tx.memo("webhook", account_id, lambda: self._all(account_id))

    def listening(self, account_id: str, event: str, device_id: str) -> tuple[Webhook, ...]:
        """Return those that want this event of this device; disabled ones too: they collect."""
        wanting = self._tx.memo(
            "webhook",
            f"{account_id} {event}",
            lambda: tuple(w for w in self.all(account_id) if w.event == event),
        )
        return tuple(w for w in wanting if w.device_id is None or w.device_id == device_id)

    def keys(self) -> set[str]:
        """Return the keys of all webhooks of all accounts."""
        return {key for (key,) in self._tx.all("SELECT key FROM webhook")}

    def _all(self, account_id: str) -> tuple[Webhook, ...]:
        rows = self._tx.all(
            f"{WEBHOOK.select} WHERE account_id = :account ORDER BY created_at, id",
            {"account": account_id},
        )
        return tuple(WEBHOOK.read(row) for row in rows)
