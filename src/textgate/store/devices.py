"""Phones, their pairing codes, and what they are still to be told."""

from textgate.domain.device import Device, DeviceEvent, Notice
from textgate.domain.times import Milliseconds
from textgate.store.noun import Noun
from textgate.store.table import Table, to_json

DEVICE = Table("device", Device)
NOTICE = Table("device_notice", Notice)
_ASSIGN = ", ".join(f"{c} = ?" for c in DEVICE.columns)


class Devices(Noun):
    """The phones of an account."""

    def add(self, device: Device) -> None:
        self._tx.run(DEVICE.insert, DEVICE.values(device))
        self._tx.changed("device")

    def save(self, device: Device) -> None:
        """Store every field of a known phone."""
        self._tx.run(
            f"UPDATE device SET {_ASSIGN} WHERE account_id = ? AND id = ?",
            (*DEVICE.values(device), device.account_id, device.id),
        )
        self._tx.changed("device")

    def seen(self, account_id: str, device_id: str, at: Milliseconds) -> None:
        """Note a sign of life; who the phone is has not changed by it."""
        self._tx.run(
            "UPDATE device SET last_seen = :at, offline_since = NULL"
            " WHERE account_id = :account AND id = :id AND last_seen <= :at",
            {"at": at, "account": account_id, "id": device_id},
        )

    def remove(self, account_id: str, device_id: str) -> bool:
        """Remove a phone and what it was still to be told."""
        which = {"account": account_id, "id": device_id}
        for table in ("device_notice", "phone_fact"):
            self._tx.run(
                f"DELETE FROM {table} WHERE account_id = :account AND device_id = :id", which
            )
        self._tx.changed("device")
        return bool(
            self._tx.run("DELETE FROM device WHERE account_id = :account AND id = :id", which)
        )

    def get(self, account_id: str, device_id: str) -> Device | None:
        row = self._tx.one(
            f"{DEVICE.select} WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": device_id},
        )
        return DEVICE.read(row) if row else None

    def by_token(self, token_hash: str) -> Device | None:
        row = self._tx.one(f"{DEVICE.select} WHERE token_hash = :hash", {"hash": token_hash})
        return DEVICE.read(row) if row else None

    def by_event_key(self, key: str) -> Device | None:
        row = self._tx.one(f"{DEVICE.select} WHERE event_key = :key", {"key": key})
        return DEVICE.read(row) if row else None

    def all(self, account_id: str) -> list[Device]:
        """Return the account's phones, oldest first."""
        rows = self._tx.all(
            f"{DEVICE.select} WHERE account_id = :account ORDER BY created_at, id",
            {"account": account_id},
        )
        return [DEVICE.read(row) for row in rows]

    def add_code(self, code: str, account_id: str, expires_at: Milliseconds) -> bool:
        """Keep a one-time code; False if there is this very code."""
        return bool(
            self._tx.run(
                "INSERT INTO pairing_code (code, account_id, expires_at)"
                " VALUES (:code, :account, :expires) ON CONFLICT (code) DO NOTHING",
                {"code": code, "account": account_id, "expires": expires_at},
            )
        )

    def use_code(self, code: str) -> str | None:
        """Spend a code; return whose it is, or None if there is none that is still good."""
        rows = self._tx.all(
            "DELETE FROM pairing_code WHERE code = :code AND expires_at > :now"
            " RETURNING account_id",
            {"code": code, "now": self._tx.now},
        )
        return rows[0][0] if rows else None

    def remove_codes(self, before: Milliseconds) -> int:
        return self._tx.run(
            "DELETE FROM pairing_code WHERE expires_at < :before", {"before": before}
        )

    def add_notice(
        self, account_id: str, device_id: str, event: DeviceEvent, data: dict[str, str] | None
    ) -> None:
        """Keep what the phone must hear of, unless the very same is kept already."""
        kept = None if data is None else to_json(data)
        which = {"account": account_id, "device": device_id, "event": event, "data": kept}
        known = self._tx.one(
            "SELECT 1 FROM device_notice WHERE account_id = :account AND device_id = :device"
            " AND event = :event AND coalesce(data, '') = coalesce(:data, '')",
            which,
        )
        if known is None:
            self._tx.run(
                "INSERT INTO device_notice (account_id, device_id, id, event, data, created_at)"
                " VALUES (:account, :device, :id, :event, :data, :now)",
                {**which, "id": self._tx.new_id(), "now": self._tx.now},
            )

    def notices(self, account_id: str, device_id: str) -> list[Notice]:
        """Return what the phone is still to be told, oldest first."""
        rows = self._tx.all(
            f"{NOTICE.select} WHERE account_id = :account AND device_id = :device ORDER BY id",
            {"account": account_id, "device": device_id},
        )
        return [NOTICE.read(row) for row in rows]

    def end_notices(self, account_id: str, device_id: str, event: DeviceEvent) -> int:
        """The phone has heard of all there was of this kind."""
        return self._tx.run(
            "DELETE FROM device_notice WHERE account_id = :account AND device_id = :device"
            " AND event = :event",
            {"account": account_id, "device": device_id, "event": event},
        )

    def add_fact(self, account_id: str, device_id: str, fact: str) -> bool:
        """Note what a phone has told us; False if it told us before."""
        return bool(
            self._tx.run(
                "INSERT INTO phone_fact (account_id, device_id, fact, created_at)"
                " VALUES (:account, :device, :fact, :now)"
                " ON CONFLICT (account_id, device_id, fact) DO NOTHING",
                {"account": account_id, "device": device_id, "fact": fact, "now": self._tx.now},
            )
        )

    def remove_facts(self, before: Milliseconds, limit: int) -> int:
        return self._tx.run(
            "DELETE FROM phone_fact WHERE (account_id, device_id, fact) IN (SELECT account_id,"
            " device_id, fact FROM phone_fact WHERE created_at < :before LIMIT :limit)",
            {"before": before, "limit": limit},
        )
