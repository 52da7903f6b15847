"""Accounts, the tokens they issued, and the log they can read."""

from textgate.domain.account import Account, LogEntry, Token
from textgate.domain.device import PhonePolicy
from textgate.domain.times import Milliseconds
from textgate.store.noun import Noun
from textgate.store.table import Table, to_json

ACCOUNT = Table("account", Account, sealed=["webhook_secret", "previous_secret"])
TOKEN = Table("token", Token, words=["scopes"])
LOG_ENTRY = Table("log_entry", LogEntry)


class Accounts(Noun):
    """Who owns everything else."""

    def add(self, account: Account) -> None:
        self._tx.run(ACCOUNT.insert, ACCOUNT.values(account, self._tx.vault))
        self._tx.changed("account")

    def get(self, account_id: str) -> Account | None:
        return self._tx.memo("account", account_id, lambda: self._one("id", account_id))

    def by_login(self, login: str) -> Account | None:
        return self._one("login", login)

    def _one(self, column: str, value: str) -> Account | None:
        row = self._tx.one(f"{ACCOUNT.select} WHERE {column} = :value", {"value": value})
        return ACCOUNT.read(row, self._tx.vault) if row else None

    def all(self) -> list[Account]:
        rows = self._tx.all(f"{ACCOUNT.select} ORDER BY created_at")
        return [ACCOUNT.read(row, self._tx.vault) for row in rows]

    def set_password(self, account_id: str, password_hash: str) -> None:
        self._tx.run(
            "UPDATE account SET password_hash = :hash WHERE id = :id",
            {"hash": password_hash, "id": account_id},
        )
        self._tx.changed("account")

    def set_login(self, account_id: str, login: str) -> None:
        self._tx.run(
            "UPDATE account SET login = :login WHERE id = :id", {"login": login, "id": account_id}
        )
        self._tx.changed("account")

    def set_settings(self, account_id: str, settings: dict[str, dict[str, object]]) -> None:
        self._tx.run(
            "UPDATE account SET settings = :settings WHERE id = :id",
            {"settings": to_json(settings), "id": account_id},
        )
        self._tx.changed("account")

    def set_phones(self, account_id: str, policy: PhonePolicy) -> None:
        self._tx.run(
            "UPDATE account SET phones = :policy WHERE id = :id",
            {"policy": to_json(policy), "id": account_id},
        )
        self._tx.changed("account")

    def rotate_secret(self, account_id: str, secret: str, until: Milliseconds) -> None:
        """Make ``secret`` the first; the one before it stays active up to ``until``."""
        self._tx.run(
            "UPDATE account SET previous_secret = webhook_secret, previous_secret_until = :until,"
            " webhook_secret = :secret WHERE id = :id",
            {"secret": self._tx.vault.seal(secret), "until": until, "id": account_id},
        )
        self._tx.changed("account")

    def remove(self, account_id: str) -> None:
        """Remove the account and all that belongs to it."""
        for device in self._tx.devices.all(account_id):
            self._tx.hang_up(device.id)
        for table in (
            "token",
            "channel",
            "message",
            "recipient",
            "send_attempt",
            "webhook",
            "event",
            "delivery",
            "call_attempt",
            "inbound",
            "log_entry",
            "ingress",
            "sms_gateway",
            "script_version",
            "template",
            "device",
            "pairing_code",
            "device_notice",
            "phone_fact",
            "attachment",
            "conversation",
        ):
            self._tx.run(f"DELETE FROM {table} WHERE account_id = :id", {"id": account_id})
        self._tx.run("DELETE FROM account WHERE id = :id", {"id": account_id})
        for noun in ("account", "token", "channel", "webhook", "ingress", "template", "device"):
            self._tx.changed(noun)


class Tokens(Noun):
    """JWTs that were issued: a token not found here is not valid."""

    def add(self, token: Token) -> None:
        self._tx.run(TOKEN.insert, TOKEN.values(token))

    def get(self, account_id: str, token_id: str) -> Token | None:
        row = self._tx.one(
            f"{TOKEN.select} WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": token_id},
        )
        return TOKEN.read(row) if row else None

    def revoke(self, account_id: str, token_id: str) -> int:
        """Revoke the token and those issued with it; return how many this changed."""
        self._tx.changed("token")
        return self._tx.run(
            "UPDATE token SET revoked_at = :now WHERE account_id = :account"
            " AND (id = :id OR parent_id = :id) AND revoked_at IS NULL",
            {"now": self._tx.now, "account": account_id, "id": token_id},
        )

    def use(self, account_id: str, token_id: str) -> bool:
        """Revoke one refresh token by using it; False if it was used before."""
        self._tx.changed("token")
        return bool(
            self._tx.run(
                "UPDATE token SET revoked_at = :now WHERE account_id = :account AND id = :id"
                " AND refresh = 1 AND revoked_at IS NULL",
                {"now": self._tx.now, "account": account_id, "id": token_id},
            )
        )

    def revoke_all(self, account_id: str) -> None:
        self._tx.run(
            "UPDATE token SET revoked_at = :now WHERE account_id = :account AND revoked_at IS NULL",
            {"now": self._tx.now, "account": account_id},
        )
        self._tx.changed("token")

    def remove_expired(self, before: Milliseconds) -> int:
        return self._tx.run("DELETE FROM token WHERE expires_at < :before", {"before": before})


class Logs(Noun):
    """What an owner should know; numbers in it are masked by who writes it."""

    def add(
        self,
        account_id: str,
        priority: str,
        module: str,
        message: str,
        context: dict[str, object] | None = None,
    ) -> None:
        row = self._tx.one(
            "SELECT coalesce(max(id), 0) + 1 FROM log_entry WHERE account_id = :account",
            {"account": account_id},
        )
        entry = LogEntry(
            account_id=account_id,
            id=row[0] if row else 1,
            priority=priority,
            module=module,
            message=message,
            context=context or {},
            created_at=self._tx.now,
        )
        self._tx.run(LOG_ENTRY.insert, LOG_ENTRY.values(entry))

    def between(
        self, account_id: str, since: Milliseconds, until: Milliseconds, limit: int
    ) -> list[LogEntry]:
        """Return the newest ``limit`` entries with since ≤ time < until, oldest first."""
        rows = self._tx.all(
            f"{LOG_ENTRY.select} WHERE account_id = :account AND created_at >= :since"
            " AND created_at < :until ORDER BY id DESC LIMIT :limit",
            {"account": account_id, "since": since, "until": until, "limit": limit},
        )
        return [LOG_ENTRY.read(row) for row in reversed(rows)]

    def remove_before(self, account_id: str, before: Milliseconds, limit: int) -> int:
        return self._tx.run(
            "DELETE FROM log_entry WHERE (account_id, id) IN (SELECT account_id, id FROM log_entry"
            " WHERE account_id = :account AND created_at < :before LIMIT :limit)",
            {"account": account_id, "before": before, "limit": limit},
        )
