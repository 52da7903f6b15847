"""Registered webhooks: who is told of what.

Whether a URL may be called at all is asked of the guard before the write
(``Guard.check_registration``): it may have to resolve a name, and a transaction waits for nothing.
"""

import msgspec
from msgspec import UNSET, UnsetType

from textgate.domain.device import DeviceEvent
from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.domain.event import DeliveryState, Event, EventType, Webhook
from textgate.gateway.announce import owe
from textgate.gateway.nudges import nudge_all
from textgate.gateway.sample import sample_payload
from textgate.store.base import Store, Tx

MAX_WEBHOOKS = 1000
"""Per account: each event looks at all of them."""
MAX_ID_LENGTH = 36
CHUNK = 500
"""Deliveries that one write makes due again: it keeps the event loop for some milliseconds."""

_encode = msgspec.json.Encoder().encode


def register(
    tx: Tx,
    account_id: str,
    *,
    id: str | None,  # noqa: A002
    url: str,
    event: str,
    device_id: str | None,
) -> Webhook:
    """Store a webhook, replacing the one of the same id (A §2.7). Raises ``Invalid``.

    A replaced webhook keeps its key, and with it what is still owed to it; a disabled one is
    enabled by this.
    """
    check(tx, account_id, id=id, event=event, device_id=device_id)
    known = tx.webhooks.get(account_id, id) if id else None
    if known is None:
        return _add(tx, account_id, id or tx.new_id(), url, event, device_id)
    changed = msgspec.structs.replace(
        known,
        url=url,
        event=event,
        device_id=device_id,
        enabled=True,
        disabled_reason=None,
        updated_at=tx.now,
    )
    tx.webhooks.save(changed)
    _tell_phones(tx, account_id, known.device_id, device_id)
    if not known.enabled:
        resume(tx, changed)
    return changed


def _tell_phones(tx: Tx, account_id: str, *scopes: str | None) -> None:
    """Have the phones of these scopes (None: all phones) fetch their webhooks anew (A §2.7)."""
    for scope in {None} if None in scopes else set(scopes):
        nudge_all(tx, account_id, DeviceEvent.WEBHOOKS_UPDATED, device_id=scope)


class Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; the rest stays."""

    url: str | UnsetType = UNSET
    event: EventType | UnsetType = UNSET
    device_id: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


def change(tx: Tx, account_id: str, webhook_id: str, changes: Changes) -> Webhook:
    """Change what is given. Raises ``NotFound`` or ``Invalid``."""
    known = known_webhook(tx, account_id, webhook_id)
    given = {
        name: value
        for name in ("url", "event", "device_id")
        if (value := getattr(changes, name)) is not UNSET
    }
    if changes.device_id is not UNSET and changes.device_id != known.device_id:
        check(tx, account_id, id=None, event=known.event, device_id=changes.device_id)
    changed: Webhook = msgspec.structs.replace(known, **given, updated_at=tx.now)
    tx.webhooks.save(changed)
    _tell_phones(tx, account_id, known.device_id, changed.device_id)
    if changes.enabled is UNSET or changes.enabled == known.enabled:
        return changed
    return set_enabled(tx, account_id, webhook_id, changes.enabled)


def check(
    tx: Tx,
    account_id: str,
    *,
    id: str | None,  # noqa: A002
    event: str,
    device_id: str | None,
) -> None:
    """Raise ``Invalid`` unless a webhook may be registered so."""
    if id and (len(id) > MAX_ID_LENGTH or not id.isprintable()):
        raise Invalid("an id has at most 36 printable characters", field="id")
    if event not in set(EventType):
        known = ", ".join(EventType)
        raise Invalid(f"there is no event {event}; there are {known}", field="event")
    if device_id is not None and tx.channels.get(account_id, device_id) is None:
        raise Invalid("No device or channel with such ID found", field="deviceId")


def _add(
    tx: Tx, account_id: str, webhook_id: str, url: str, event: str, device_id: str | None
) -> Webhook:
    if len(tx.webhooks.all(account_id)) >= MAX_WEBHOOKS:
        raise Invalid(f"an account has at most {MAX_WEBHOOKS} webhooks; remove one first")
    webhook = Webhook(
        account_id=account_id,
        id=webhook_id,
        key=tx.new_id(),
        url=url,
        event=event,
        device_id=device_id,
        enabled=True,
        disabled_reason=None,
        created_at=tx.now,
        updated_at=tx.now,
    )
    tx.webhooks.add(webhook)
    _tell_phones(tx, account_id, device_id)
    return webhook


def known_webhook(tx: Tx, account_id: str, webhook_id: str) -> Webhook:
    """Return the webhook. Raises ``NotFound``."""
    webhook = tx.webhooks.get(account_id, webhook_id)
    if webhook is None:
        raise NotFound("webhook not found")
    return webhook


def remove(tx: Tx, account_id: str, webhook_id: str) -> bool:
    """Forget a webhook, what is owed to it and its history; False if there was none."""
    webhook = tx.webhooks.get(account_id, webhook_id)
    if webhook is None:
        return False
    tx.webhooks.remove(account_id, webhook_id)
    _tell_phones(tx, account_id, webhook.device_id)
    tx.deliveries.drop(account_id, webhook.key)
    return True


def set_enabled(
    tx: Tx, account_id: str, webhook_id: str, enabled: bool, reason: str | None = None
) -> Webhook:
    """Stop or resume the calls; what happens meanwhile is kept for it. Raises ``NotFound``.

    Enabling makes the first ``CHUNK`` held deliveries due; ``resume`` does the others, here (by
    ``resume_all``) or, after a crash, in the housekeeping (``resume_forgotten``).
    """
    known = known_webhook(tx, account_id, webhook_id)
    changed = msgspec.structs.replace(
        known, enabled=enabled, disabled_reason=None if enabled else reason, updated_at=tx.now
    )
    tx.webhooks.save(changed)
    _tell_phones(tx, account_id, changed.device_id)
    if enabled:
        resume(tx, changed)
    else:
        tx.deliveries.hold(account_id, changed.key)
    return changed


def resume(tx: Tx, webhook: Webhook, limit: int = CHUNK) -> int:
    """Make up to ``limit`` held deliveries of an enabled webhook due, oldest first; return how
    many. Doing this again when there are none is cheap and harmless."""
    if not webhook.enabled:
        return 0
    states = (DeliveryState.HELD,)
    return tx.deliveries.replay(webhook.account_id, webhook.key, states=states, limit=limit)


def resume_forgotten(tx: Tx, account_id: str) -> int:
    """Go on where a crash, or a call that was under way, left work held for enabled webhooks.

    For the housekeeping: at most ``CHUNK`` at once, so it asks again until nothing comes back.
    """
    left = CHUNK
    for webhook in tx.webhooks.all(account_id):
        if left > 0:
            left -= resume(tx, webhook, left)
    return CHUNK - left


async def resume_all(store: Store, account_id: str, webhook_id: str) -> int:
    """Make everything due that was held for an enabled webhook, in short writes."""

    def chunk(tx: Tx) -> int:
        webhook = tx.webhooks.get(account_id, webhook_id)
        return resume(tx, webhook) if webhook else 0

    total = 0
    while count := await store.write(chunk):
        total += count
    return total


def enabled_webhook(tx: Tx, account_id: str, webhook_id: str) -> Webhook:
    """Return the webhook. Raises ``NotFound``, or ``Conflict`` while it is disabled."""
    webhook = known_webhook(tx, account_id, webhook_id)
    if not webhook.enabled:
        raise Conflict("the webhook is disabled; enable it first")
    return webhook


def test(tx: Tx, account_id: str, webhook_id: str) -> Event:
    """Announce a sample event of the webhook's type to it alone.

    Raises ``NotFound``, or ``Conflict`` while the webhook is disabled.
    """
    webhook = enabled_webhook(tx, account_id, webhook_id)
    event = Event(
        account_id=account_id,
        id=tx.new_id(),
        type=webhook.event,
        device_id=webhook.device_id or "test",
        message_id=None,
        payload=_encode(sample_payload(EventType(webhook.event), tx.now)).decode(),
        created_at=tx.now,
    )
    tx.events.add(event)
    owe(tx, event, webhook)
    return event
