"""The key with which the Custom SMS Gateway's webhook is signed: shown on demand, and rotated.

After a rotation the new key signs at once. Keys that were replaced sign nothing any more; they are
shown until their overlap ends, so that it is known which ones a receiver may still have to take.
"""

import msgspec

from textgate.domain.account import Channel
from textgate.domain.errors import Invalid
from textgate.domain.sms_gateway import SmsGateway
from textgate.domain.times import Milliseconds
from textgate.gateway.sms_gateway import (
    KEY,
    MODULE,
    WEBHOOK,
    Ground,
    Standing,
    keep_draft,
    make_key,
    standing,
)
from textgate.providers.webhook import PreviousKey
from textgate.store.base import Tx

PREVIOUS = "previous_signature_keys"
DEFAULT_OVERLAP_S = 86_400
LONGEST_OVERLAP_S = 30 * 86_400
MAX_PREVIOUS = 10
"""Of several rotations within one overlap; the oldest are forgotten first."""
MAX_LENGTH = 256


class Keys(msgspec.Struct, frozen=True):
    """The key that signs, and those it has replaced whose overlap is not over, newest first."""

    key: str
    previous: tuple[PreviousKey, ...]


def keys_of(now: Standing, at: Milliseconds) -> Keys | None:
    """Return the webhook's keys at this time, or None if there is none yet."""
    settings = now.settings(WEBHOOK)
    if not settings.get(KEY):
        return None
    stored = msgspec.convert(settings.get(PREVIOUS, ()), tuple[PreviousKey, ...])
    return Keys(settings[KEY], tuple(key for key in stored if at < key.until))


def reveal(tx: Tx, account_id: str, ground: Ground, *, by: str) -> Keys:
    """Return the keys, and note who has seen them; the first time, a key is made.

    A key can so be given to a receiver before there is a URL to save.
    """
    keys = keys_of(with_key(tx, account_id, ground), tx.now)
    assert keys is not None
    tx.logs.add(account_id, "INFO", MODULE, "Signature secret revealed", {"by": by})
    return keys


def rotate(
    tx: Tx,
    account_id: str,
    ground: Ground,
    *,
    overlap_ms: Milliseconds,
    key: str | None = None,
    by: str,
) -> Keys:
    """Sign with another key from now on: with ``key``, else with one made here.

    Keys of earlier rotations are shown until their own overlap ends. Raises ``Invalid``.
    """
    before = with_key(tx, account_id, ground)
    known = keys_of(before, tx.now)
    assert known is not None
    fresh = make_key() if key is None else _checked(key, known)
    replaced = PreviousKey(known.key, tx.now + overlap_ms)
    previous = tuple(k for k in (replaced, *known.previous) if tx.now < k.until and k.key != fresh)
    channel: Channel = before.channels[WEBHOOK]
    settings = {
        **channel.settings,
        KEY: fresh,
        PREVIOUS: msgspec.to_builtins(previous[:MAX_PREVIOUS]),
    }
    tx.channels.save(msgspec.structs.replace(channel, settings=settings, updated_at=tx.now))
    context: dict[str, object] = {"by": by, "overlapSeconds": overlap_ms // 1000}
    tx.logs.add(account_id, "INFO", MODULE, "Signature secret rotated", context)
    return Keys(fresh, previous[:MAX_PREVIOUS])


def _checked(key: str, known: Keys) -> str:
    if not 1 <= len(key) <= MAX_LENGTH or not key.isprintable() or key != key.strip():
        raise Invalid(
            f"a secret has from 1 to {MAX_LENGTH} printable characters, and no blank at its ends",
            field="secret",
        )
    if key == known.key:
        raise Invalid("this is the secret that signs already", field="secret")
    return key


def with_key(tx: Tx, account_id: str, ground: Ground) -> Standing:
    """Return how things stand, with a key for the webhook: the first time, one is made."""
    now = standing(tx, account_id)
    if now.settings(WEBHOOK).get(KEY):
        return now
    channel = now.channels.get(WEBHOOK)
    settings = {**now.settings(WEBHOOK), KEY: make_key()}
    draft = keep_draft(tx, account_id, WEBHOOK, channel, settings, ground)
    ids = {kind: own.id for kind, own in now.channels.items()} | {WEBHOOK: draft.id}
    gateway = now.gateway or SmsGateway(
        account_id=account_id, enabled=False, provider=WEBHOOK, channels={}, updated_at=0
    )
    tx.sms_gateways.save(msgspec.structs.replace(gateway, channels=ids))
    return standing(tx, account_id)
