"""Signs of life: when a phone was last heard of, and that it fell silent or returned."""

from textgate.store.base import Tx


def seen(tx: Tx, account_id: str, device_id: str) -> None:
    """Note a sign of life."""
    tx.devices.seen(account_id, device_id, tx.now)
