"""The ways into an account for other systems: adding, changing, rotating and removing them."""

import secrets

import msgspec
from msgspec import UNSET, UnsetType

from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.domain.ingress import Ingress, IngressSecret, OnTimeout
from textgate.domain.times import Milliseconds
from textgate.gateway.submit import MAX_TTL_MS, MIN_TTL_MS
from textgate.ingress.discovery import find_dialect
from textgate.store.base import Tx

MAX_INGRESSES = 100
"""Per account."""
MAX_SECRETS = 10
"""Per ingress, those included that end soon."""
MAX_NAME = 64
SHORTEST_SECRET, LONGEST_SECRET = 8, 256
BUDGET_S = range(1, 56)
"""Authgear itself waits 60 s at most, and the answer has to get there."""
DEFAULT_BUDGET_S, DEFAULT_VALIDITY_S = 25, 300
"""A one-time code lives for five minutes."""
LONGEST_OVERLAP_S = 30 * 86_400
_KEY_BYTES = _SECRET_BYTES = 24  # 192 bits, in 32 characters of A-Za-z0-9_-


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ingress that is wanted."""

    name: str
    dialect: str = "authgear"
    secrets: list[str] = []
    """Keys that sign the requests. None at all: one is made, unless unsigned ones are allowed."""
    allow_unsigned: bool = False
    budget_s: int = DEFAULT_BUDGET_S
    """Seconds that a caller waits for the verdict, 1 to 55."""
    on_timeout: OnTimeout = OnTimeout.OK
    validity_s: int = DEFAULT_VALIDITY_S
    """Seconds in which a message must go out."""
    channel: str | None = None
    """The id of the only channel that may carry its messages; null: the route decides."""
    enabled: bool = True


class Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; the rest stays."""

    name: str | UnsetType = UNSET
    allow_unsigned: bool | UnsetType = UNSET
    budget_s: int | UnsetType = UNSET
    on_timeout: OnTimeout | UnsetType = UNSET
    validity_s: int | UnsetType = UNSET
    channel: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


def add(tx: Tx, account_id: str, draft: Draft) -> tuple[Ingress, str | None]:
    """Store an ingress; return it with the secret that was made for it, if one was.

    Raises ``Invalid``, or ``Conflict`` for a known name.
    """
    if len(tx.ingresses.all(account_id)) >= MAX_INGRESSES:
        raise Invalid(f"an account has at most {MAX_INGRESSES} ingresses; remove one first")
    find_dialect(draft.dialect)
    made = None if draft.secrets or draft.allow_unsigned else _make_secret()
    ingress = Ingress(
        account_id=account_id,
        id=tx.new_id(),
        key=_make_key(),
        dialect=draft.dialect,
        name=draft.name.strip(),
        enabled=draft.enabled,
        secrets=(),
        allow_unsigned=draft.allow_unsigned,
        budget_ms=draft.budget_s * 1000,
        on_timeout=draft.on_timeout,
        validity_ms=draft.validity_s * 1000,
        channel_id=draft.channel,
        created_at=tx.now,
        updated_at=tx.now,
    )
    for secret in draft.secrets or ([made] if made else []):
        ingress = _with_secret(tx, ingress, secret, "secrets")
    _check(tx, ingress)
    tx.ingresses.add(ingress)
    _log(tx, ingress, "Ingress added")
    return ingress, made


def change(tx: Tx, account_id: str, ingress_id: str, changes: Changes) -> Ingress:
    """Change what is given. Raises ``NotFound``, ``Invalid`` or ``Conflict``."""
    known = known_ingress(tx, account_id, ingress_id)
    given = {
        name: value
        for name in changes.__struct_fields__
        if (value := getattr(changes, name)) is not UNSET
    }
    fields = dict(given)
    if "name" in given:
        fields["name"] = given["name"].strip()
    for name in ("budget", "validity"):
        if f"{name}_s" in given:
            fields[f"{name}_ms"] = fields.pop(f"{name}_s") * 1000
    if "channel" in given:
        fields["channel_id"] = fields.pop("channel")
    changed: Ingress = msgspec.structs.replace(known, **fields)
    _check(tx, changed, channel="channel" in given)
    said = f"Ingress changed: {', '.join(sorted(given))}"
    if changed.enabled != known.enabled:
        said = "Ingress enabled" if changed.enabled else "Ingress disabled"
        if others := sorted(given.keys() - {"enabled"}):
            said += f"; changed: {', '.join(others)}"
    return _save(tx, changed, said) if given else known


def remove(tx: Tx, account_id: str, ingress_id: str) -> None:
    """Close the address for good; its messages go on. Raises ``NotFound``."""
    ingress = known_ingress(tx, account_id, ingress_id)
    tx.ingresses.remove(account_id, ingress_id)
    _log(tx, ingress, "Ingress removed")


def rotate(tx: Tx, account_id: str, ingress_id: str, *, overlap_ms: Milliseconds) -> Ingress:
    """Give it a new address; the one before stays good for ``overlap_ms``, older ones end now."""
    known = known_ingress(tx, account_id, ingress_id)
    rotated = msgspec.structs.replace(
        known,
        key=_make_key(),
        previous_key=known.key if overlap_ms else None,
        previous_key_until=tx.now + overlap_ms if overlap_ms else 0,
    )
    return _save(tx, rotated, "Ingress rotated: it has a new address")


def add_secret(
    tx: Tx, account_id: str, ingress_id: str, secret: str | None
) -> tuple[IngressSecret, str | None]:
    """Accept what ``secret`` signs, too; None makes one, which is returned beside."""
    known = known_ingress(tx, account_id, ingress_id)
    made = _make_secret() if secret is None else None
    changed = _with_secret(tx, known, secret or made or "", "secret")
    _save(tx, changed, "Ingress secret added")
    return changed.secrets[-1], made


def retire_secret(
    tx: Tx, account_id: str, ingress_id: str, secret_id: str, *, overlap_ms: Milliseconds
) -> IngressSecret:
    """End a secret after ``overlap_ms``, or at an earlier end that it has already.

    Raises ``NotFound``, or ``Conflict`` if no secret were left where one is needed.
    """
    known = known_ingress(tx, account_id, ingress_id)
    secret = next((s for s in known.active(tx.now) if s.id == secret_id), None)
    if secret is None:
        raise NotFound("secret not found")
    ends_at = min(tx.now + overlap_ms, secret.ends_at or tx.now + overlap_ms)
    retired = msgspec.structs.replace(secret, ends_at=ends_at)
    kept = tuple(retired if s.id == secret_id else s for s in known.secrets)
    changed = msgspec.structs.replace(known, secrets=kept)
    if not _can_be_entered(changed):
        raise Conflict("this is the last secret; add its successor first, or allow unsigned")
    _save(tx, changed, "Ingress secret retired")
    return retired


def known_ingress(tx: Tx, account_id: str, ingress_id: str) -> Ingress:
    """Return the ingress. Raises ``NotFound``."""
    ingress = tx.ingresses.get(account_id, ingress_id)
    if ingress is None:
        raise NotFound("ingress not found")
    return ingress


def _make_key() -> str:
    return secrets.token_urlsafe(_KEY_BYTES)


def _make_secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


def _with_secret(tx: Tx, ingress: Ingress, secret: str, field: str) -> Ingress:
    kept = ingress.active(tx.now)
    if len(kept) >= MAX_SECRETS:
        raise Invalid(f"an ingress has at most {MAX_SECRETS} secrets; retire one", field=field)
    fits = SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET
    if not fits or not secret.isprintable() or secret != secret.strip():
        raise Invalid(
            f"a secret has from {SHORTEST_SECRET} to {LONGEST_SECRET} printable characters,"
            " and no blank at its ends",
            field=field,
        )
    if any(secret == other.secret for other in kept):
        raise Conflict("the ingress has this secret already", field=field)
    added = IngressSecret(id=tx.new_id(), secret=secret, created_at=tx.now)
    return msgspec.structs.replace(ingress, secrets=(*kept, added))


def _can_be_entered(ingress: Ingress) -> bool:
    return ingress.allow_unsigned or any(secret.ends_at is None for secret in ingress.secrets)


def _check(tx: Tx, ingress: Ingress, *, channel: bool = True) -> None:
    if not 1 <= len(ingress.name) <= MAX_NAME or not ingress.name.isprintable():
        raise Invalid(f"a name has from 1 to {MAX_NAME} printable characters", field="name")
    for other in tx.ingresses.all(ingress.account_id):
        if other.id != ingress.id and other.name == ingress.name:
            raise Conflict("another ingress of this account has this name", field="name")
    if ingress.budget_ms // 1000 not in BUDGET_S:
        raise Invalid(
            f"budget_s must be from {BUDGET_S[0]} to {BUDGET_S[-1]} seconds", field="budget_s"
        )
    if not MIN_TTL_MS <= ingress.validity_ms <= MAX_TTL_MS:
        raise Invalid(
            f"validity_s must be from {MIN_TTL_MS // 1000} seconds to ten years", field="validity_s"
        )
    chosen = ingress.channel_id if channel else None
    if chosen is not None and tx.channels.get(ingress.account_id, chosen) is None:
        raise Invalid("the account has no channel of this id", field="channel")
    if not _can_be_entered(ingress):
        raise Invalid(
            "without a secret that stays nobody could sign: add one first", field="allow_unsigned"
        )


def _save(tx: Tx, ingress: Ingress, said: str) -> Ingress:
    saved = msgspec.structs.replace(ingress, secrets=ingress.active(tx.now), updated_at=tx.now)
    tx.ingresses.save(saved)
    _log(tx, saved, said)
    return saved


def _log(tx: Tx, ingress: Ingress, message: str) -> None:
    context: dict[str, object] = {
        "ingressId": ingress.id,
        "name": ingress.name,
        "dialect": ingress.dialect,
    }
    tx.logs.add(ingress.account_id, "INFO", "ingresses", message, context)
