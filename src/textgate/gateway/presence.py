"""Signs of life: when a phone was last heard of, and that it fell silent or returned."""

from collections.abc import Iterable

import msgspec

from textgate.domain.device import Device
from textgate.domain.event import EventType
from textgate.domain.times import Milliseconds, rfc3339
from textgate.gateway.announce import announce
from textgate.store.base import Tx

SHORTEST_MS = 60_000
"""The least that ``PhonePolicy.offline_after_s`` may be."""
CHUNK = 200
"""Phones looked at in one write, so that no message waits long behind it."""


class Listening(msgspec.Struct, frozen=True):
    """A phone with an event stream open, as it was known when it opened it."""

    account_id: str
    device_id: str
    token_hash: str
    alive: bool
    """Whether the stream has shown since the last look that its far end is there."""


def seen(tx: Tx, account_id: str, device_id: str) -> None:
    """Note a sign of life; a phone that counted as silent is back, and that is announced."""
    silent_since = tx.devices.seen(account_id, device_id, tx.now)
    if silent_since is None:
        return
    device = tx.devices.get(account_id, device_id)
    if device is not None:
        tx.devices.come_back(account_id, device_id)
        _announce(tx, EventType.DEVICE_ONLINE, device, silent_since)


def look_after(tx: Tx, listening: Iterable[Listening]) -> None:
    """Note which streams are signs of life, and end those of phones that are no more."""
    for one in listening:
        device = tx.devices.get(one.account_id, one.device_id)
        if device is None or device.token_hash != one.token_hash:
            tx.hang_up(one.device_id)
        elif one.alive:
            seen(tx, one.account_id, one.device_id)


def find_silent(tx: Tx, up_since: Milliseconds) -> list[Device]:
    """Return some phones that are silent by the rule of their account and do not count as such.

    ``up_since``: before, nobody was here to hear them.
    """
    found: list[Device] = []
    for account_id in tx.devices.quiet_accounts(tx.now - SHORTEST_MS):
        account = tx.accounts.get(account_id)
        before = tx.now - account.phones.offline_after_s * 1000 if account else 0
        if up_since < before:
            found += tx.devices.quiet(account_id, before, CHUNK - len(found))
        if len(found) >= CHUNK:
            break
    return found


def fall_silent(tx: Tx, devices: Iterable[Device]) -> int:
    """Count phones as silent and announce it, unless they were heard of meanwhile."""
    fell = 0
    for device in devices:
        if tx.devices.fall_silent(device, tx.now):
            _announce(tx, EventType.DEVICE_OFFLINE, device, tx.now)
            fell += 1
    return fell


def _announce(tx: Tx, type_: EventType, device: Device, silent_since: Milliseconds) -> None:
    payload = {
        "deviceId": device.id,
        "name": device.name,
        "lastSeen": rfc3339(device.last_seen),
        "offlineSince": rfc3339(silent_since),
    }
    announce(tx, device.account_id, type_, device_id=device.id, message_id=None, payload=payload)
