"""Phones: registering, what they say of themselves, removing."""

import secrets

import msgspec

from textgate.domain.account import Channel
from textgate.domain.device import Device, SimCard
from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.gateway import channels, webhooks
from textgate.gateway.credentials import token_hash
from textgate.providers.phone import PROVIDER
from textgate.store.base import Store, Tx

IN_HAND = 100
"""Messages that a phone may have fetched and not reported on (A §3.6)."""
MAX_PHONES = 1_000
"""Per account."""
MAX_NAME = 128
KEY_BYTES = 24
CHUNK = 500
"""Recipients that one write makes due: it keeps the event loop for some milliseconds."""


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
    ``device_id`` says another. Raises ``Conflict`` when the account is full."""
    if tx.devices.in_account(account_id) >= MAX_PHONES:
        raise Conflict(f"an account has at most {MAX_PHONES} phones; remove one first")
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
    _log(tx, device, "Phone registered")
    return Registered(device, token)


def _token() -> str:
    """21 characters of ``A-Za-z0-9_-`` (A §1.3)."""
    return secrets.token_urlsafe(16)[:21]


def _channel(tx: Tx, device: Device) -> Channel:
    others = tx.channels.places(device.account_id)
    return Channel(
        account_id=device.account_id,
        id=device.id,
        name=_channel_name(others, device),
        provider=PROVIDER.kind,
        settings={},
        enabled=True,
        position=max((position for _, _, position in others), default=-1) + 1,
        max_in_flight=IN_HAND,
        rate=None,
        retry_waits=None,
        created_at=tx.now,
        updated_at=tx.now,
    )


def _channel_name(others: list[tuple[str, str, int]], device: Device) -> str:
    """A phone is called by its model, which others of the account may be too."""
    kept = "".join(c for c in device.name if c.isprintable()).strip() or "phone"
    taken = {other for id_, other, _ in others if id_ != device.id}
    name, n = kept[: channels.MAX_NAME], 1
    while name in taken:
        n += 1
        end = f" ({n})"
        name = kept[: channels.MAX_NAME - len(end)] + end
    return name


def known_device(tx: Tx, account_id: str, device_id: str) -> Device:
    """Return the phone. Raises ``NotFound``."""
    device = tx.devices.get(account_id, device_id)
    if device is None:
        raise NotFound("device not found")
    return device


def update(
    tx: Tx,
    account_id: str,
    device_id: str,
    *,
    push_token: str | None,
    sim_cards: list[SimCard] | None,
) -> None:
    """Store what a phone says of itself; what it leaves out stays (A §3.3, with its suggestion).

    An empty push token is left out too. Raises ``NotFound``.
    """
    known = known_device(tx, account_id, device_id)
    changed = msgspec.structs.replace(
        known,
        push_token=push_token or known.push_token,
        sim_cards=known.sim_cards if sim_cards is None else sim_cards,
    )
    if changed != known:
        tx.devices.save(msgspec.structs.replace(changed, updated_at=tx.now))


def runs(tx: Tx, account_id: str, device_id: str, version: str) -> None:
    """Note which version of the app the phone runs; one that was just removed runs none."""
    known = tx.devices.get(account_id, device_id)
    if known is not None and known.app_version != version:
        tx.devices.save(msgspec.structs.replace(known, app_version=version, updated_at=tx.now))


def rename(tx: Tx, account_id: str, device_id: str, name: str) -> Device:
    """Call a phone and its channel otherwise. Raises ``NotFound`` or ``Invalid``."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise Invalid(f"a name has from 1 to {MAX_NAME} printable characters", field="name")
    known = known_device(tx, account_id, device_id)
    renamed = msgspec.structs.replace(known, name=name, updated_at=tx.now)
    tx.devices.save(renamed)
    channel = channels.known_channel(tx, account_id, device_id)
    free = _channel_name(tx.channels.places(account_id), renamed)
    tx.channels.save(msgspec.structs.replace(channel, name=free, updated_at=tx.now))
    return renamed


def remove(tx: Tx, account_id: str, device_id: str) -> bool:
    """Forget a phone, its channel and the webhooks for it alone; False if there was none.

    Its token ends at once, and so do its event streams. The first ``CHUNK`` recipients that it
    should have reached become due; ``remove_whole`` does the others. What it had not fetched goes
    to the next of its route, or fails; what it had in hand may be out, and fails as unknown.
    """
    device = tx.devices.get(account_id, device_id)
    if device is None:
        return False
    tx.devices.remove(account_id, device_id)
    tx.channels.remove(account_id, device_id)
    for webhook in tx.webhooks.all(account_id):
        if webhook.device_id == device_id:
            webhooks.remove(tx, account_id, webhook.id)
    _hurry(tx, device_id)
    _log(tx, device, "Phone removed")
    return True


async def remove_whole(store: Store, account_id: str, device_id: str) -> bool:
    """Remove a phone and make all that it left due, in short writes; False if there was none.

    After a crash in between, what is left moves on when its own time comes.
    """
    if not await store.write(lambda tx: remove(tx, account_id, device_id)):
        return False
    while await store.write(lambda tx: _hurry(tx, device_id)) == CHUNK:
        pass
    return True


def _hurry(tx: Tx, lane: str) -> int:
    hurried = tx.recipients.hurry(lane, CHUNK)
    if hurried:
        tx.due(tx.now)
    return hurried


def _log(tx: Tx, device: Device, message: str) -> None:
    context: dict[str, object] = {"deviceId": device.id, "name": device.name}
    tx.logs.add(device.account_id, "INFO", "devices", message, context)
