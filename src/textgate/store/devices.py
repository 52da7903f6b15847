"""Phones, their pairing codes, and what they are still to be told."""

from typing import Any

from textgate.domain.device import Device, DeviceEvent, Notice, SimCard
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

    def seen(self, account_id: str, device_id: str, at: Milliseconds) -> Milliseconds | None:
        """Note a sign of life; return since when the phone counted as silent, if it did.

        Who the phone is has not changed by it.
        """
        rows = self._tx.all(
            "UPDATE device SET last_seen = :at"
            " WHERE account_id = :account AND id = :id AND last_seen <= :at"
            " RETURNING offline_since",
            {"at": at, "account": account_id, "id": device_id},
        )
        return rows[0][0] if rows else None

    def quiet_accounts(self, before: Milliseconds) -> list[str]:
        """Return which accounts have phones that were not heard of since ``before`` and do not
        count as silent."""
        rows = self._tx.all(
            "SELECT DISTINCT account_id FROM device"
            " WHERE offline_since IS NULL AND last_seen < :before",
            {"before": before},
        )
        return [row[0] for row in rows]

    def quiet(self, account_id: str, before: Milliseconds, limit: int) -> list[Device]:
        """Return such phones of an account, those not heard of for longest first."""
        rows = self._tx.all(
            f"{DEVICE.select} WHERE account_id = :account AND offline_since IS NULL"
            " AND last_seen < :before ORDER BY last_seen, id LIMIT :limit",
            {"account": account_id, "before": before, "limit": limit},
        )
        return [DEVICE.read(row) for row in rows]

    def fall_silent(self, device: Device, at: Milliseconds) -> bool:
        """Count the phone as silent; False if it does already or has been heard of since."""
        return bool(
            self._tx.run(
                "UPDATE device SET offline_since = :at WHERE account_id = :account AND id = :id"
                " AND offline_since IS NULL AND last_seen = :seen",
                {
                    "at": at,
                    "account": device.account_id,
                    "id": device.id,
                    "seen": device.last_seen,
                },
            )
        )

    def come_back(self, account_id: str, device_id: str) -> None:
        """Count the phone as silent no more."""
        self._tx.run(
            "UPDATE device SET offline_since = NULL WHERE account_id = :account AND id = :id",
            {"account": account_id, "id": device_id},
        )

    def in_account(self, account_id: str) -> int:
        """Return how many phones an account has."""
        row = self._tx.one(
            "SELECT count(*) FROM device WHERE account_id = :account", {"account": account_id}
        )
        return int(row[0]) if row else 0

    def count(self) -> tuple[int, int]:
        """Return how many phones there are, and how many of them count as silent."""
        row = self._tx.one("SELECT count(*), count(offline_since) FROM device")
        return (row[0], row[1]) if row else (0, 0)

    def set_health(self, account_id: str, device_id: str, health: dict[str, Any]) -> None:
        """Keep what the phone says of its health; who it is has not changed by it."""
        self._tx.run(
            "UPDATE device SET health = :health WHERE account_id = :account AND id = :id",
            {"health": to_json(health), "account": account_id, "id": device_id},
        )

    def set_sim_cards(self, account_id: str, device_id: str, sim_cards: list[SimCard]) -> None:
        self._tx.run(
            "UPDATE device SET sim_cards = :sims, updated_at = :now"
            " WHERE account_id = :account AND id = :id",
            {
                "sims": to_json(sim_cards),
                "now": self._tx.now,
                "account": account_id,
                "id": device_id,
            },
        )
        self._tx.changed("device")

    def set_listener(
        self, account_id: str, device_id: str, *, tells_server: bool, calls_webhooks: bool
    ) -> None:
        """Note whom the phone tells of events, by the webhook list that it fetched."""
        self._tx.run(
            "UPDATE device SET tells_server = :server, calls_webhooks = :webhooks"
            " WHERE account_id = :account AND id = :id",
            {
                "server": tells_server,
                "webhooks": calls_webhooks,
                "account": account_id,
                "id": device_id,
            },
        )
        self._tx.changed("device")

    def remove(self, account_id: str, device_id: str) -> bool:
        """Remove a phone and what it was still to be told."""
        which = {"account": account_id, "id": device_id}
        for table in ("device_notice", "phone_fact"):
            self._tx.run(
                f"DELETE FROM {table} WHERE account_id = :account AND device_id = :id", which
            )
        self._tx.changed("device")
        self._tx.hang_up(device_id)
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

    def end_notices(
        self,
        account_id: str,
        device_id: str,
        event: DeviceEvent,
        data: dict[str, str] | None = None,
    ) -> int:
        """The phone has heard of all there was of this kind, or of what has this ``data``."""
        return self._tx.run(
            "DELETE FROM device_notice WHERE account_id = :account AND device_id = :device"
            " AND event = :event AND coalesce(data, '') = coalesce(:data, data, '')",
            {
                "account": account_id,
                "device": device_id,
                "event": event,
                "data": None if data is None else to_json(data),
            },
        )

    def remove_notices(self, before: Milliseconds) -> int:
        """Remove what no phone has come for since ``before``."""
        return self._tx.run(
            "DELETE FROM device_notice WHERE created_at < :before", {"before": before}
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

    def facts(self, account_id: str, device_id: str, kind: str) -> set[str]:
        """Return what is noted of one kind: what follows ``kind`` and a colon."""
        rows = self._tx.all(
            "SELECT fact FROM phone_fact WHERE account_id = :account AND device_id = :device"
            " AND fact >= :first AND fact < :end",
            {
                "account": account_id,
                "device": device_id,
                "first": f"{kind}:",
                "end": f"{kind};",  # what follows a colon
            },
        )
        return {fact[len(kind) + 1 :] for (fact,) in rows}

    def remove_facts(self, before: Milliseconds, limit: int) -> int:
        return self._tx.run(
            "DELETE FROM phone_fact WHERE (account_id, device_id, fact) IN (SELECT account_id,"
            " device_id, fact FROM phone_fact WHERE created_at < :before LIMIT :limit)",
            {"before": before, "limit": limit},
        )
