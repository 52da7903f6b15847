"""Telling phones that there is something to fetch (A §1.6, §3.9)."""

from textgate.domain.device import DeviceEvent, Nudge
from textgate.store.base import Tx

KEPT = frozenset(
    {
        DeviceEvent.WEBHOOKS_UPDATED,
        DeviceEvent.SETTINGS_UPDATED,
        DeviceEvent.MESSAGES_EXPORT_REQUESTED,
    }
)
"""What a phone would not find by itself: kept until it has heard of it. Messages and cancellations
it finds in its queue, which it fetches whenever it connects."""


def nudge(
    tx: Tx,
    account_id: str,
    device_id: str,
    event: DeviceEvent,
    data: dict[str, str] | None = None,
) -> None:
    """Tell one phone, now if it listens; what it would not find by itself is kept for it."""
    if event in KEPT:
        tx.devices.add_notice(account_id, device_id, event, data)
    tx.nudge(Nudge(account_id, device_id, event, tuple((data or {}).items())))


def nudge_all(
    tx: Tx,
    account_id: str,
    event: DeviceEvent,
    data: dict[str, str] | None = None,
    *,
    device_id: str | None = None,
) -> None:
    """Tell all phones of an account, or the one of them that is named."""
    for device in tx.devices.all(account_id):
        if device_id in (None, device.id):
            nudge(tx, account_id, device.id, event, data)
