"""Phones: registering, what they say of themselves, removing."""

import secrets

import msgspec

from textgate.domain.account import Channel
from textgate.domain.device import Device, SimCard
from textgate.domain.errors import NotFound
from textgate.gateway.credentials import token_hash
from textgate.providers.phone import PROVIDER
from textgate.store.base import Tx

IN_HAND = 100
"""Messages that a phone may have fetched and not reported on (A §3.6)."""
KEY_BYTES = 24


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a phone says of itself (A §3.1)."""

    name: str = ""
    push_token: str | None = None
    sim_cards: list[SimCard] = []
    app_version: str | None = None


class Registered(msgspec.Struct, frozen=True):
    """A new phone. The token is told once."""

    device: Device
    token: str


def register(
    tx: Tx, account_id: str, wanted: Registration, *, device_id: str | None = None
) -> Registered:
    """Add a phone and its channel, the last in the account's order, with an id of ours unless
    ``device_id`` says another."""
    token = _token()
    device = Device(
        account_id=account_id,
        id=device_id or tx.new_id(),
        name=wanted.name,
        token_hash=token_hash(token),
        event_key=secrets.token_urlsafe(KEY_BYTES),
        push_token=wanted.push_token or None,
        sim_cards=wanted.sim_cards,
        app_version=wanted.app_version,
        health=None,
        tells_server=False,
        created_at=tx.now,
        updated_at=tx.now,
        last_seen=tx.now,
        offline_since=None,
    )
    tx.devices.add(device)
    tx.channels.add(_channel(tx, device))
    return Registered(device, token)


def _token() -> str:
    """21 characters of ``A-Za-z0-9_-`` (A §1.3)."""
    return secrets.token_urlsafe(16)[:21]


def _channel(tx: Tx, device: Device) -> Channel:
    others = tx.channels.all(device.account_id)
    return Channel(
        account_id=device.account_id,
        id=device.id,
        name=device.name or "phone",
        provider=PROVIDER.kind,
        settings={},
        enabled=True,
        position=max((c.position for c in others), default=-1) + 1,
        max_in_flight=IN_HAND,
        rate=None,
        retry_waits=None,
        created_at=tx.now,
        updated_at=tx.now,
    )


def known_device(tx: Tx, account_id: str, device_id: str) -> Device:
    """Return the phone. Raises ``NotFound``."""
    device = tx.devices.get(account_id, device_id)
    if device is None:
        raise NotFound("device not found")
    return device


def remove(tx: Tx, account_id: str, device_id: str) -> bool:
    """Forget a phone and its channel; False if there was none."""
    tx.channels.remove(account_id, device_id)
    return tx.devices.remove(account_id, device_id)
