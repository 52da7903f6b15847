"""The account setting *Custom SMS Gateway*: on or off, which provider, and each one's settings.

The settings live in channels that the gateway owns, one for each provider that was ever set up.
What is switched on is the chosen provider's channel, the first of the account; the others stay
where they are, disabled. So neither another provider nor off loses anything (unlike B §6.4), and
the account's other channels are there for the messages that this one cannot send.

Those channels can be changed, disabled and removed like any other: what is shown is what is so.
"""

import secrets
import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from textgate.domain.account import Channel
from textgate.domain.errors import Conflict, Invalid
from textgate.domain.signing import body_hex
from textgate.domain.sms_gateway import SmsGateway
from textgate.gateway import channels
from textgate.gateway.channels import Prepared
from textgate.outbound.guard import Guard
from textgate.outbound.script.desk import Desk
from textgate.providers.discovery import find
from textgate.store.base import Store, Tx

WEBHOOK, SCRIPT = "webhook", "script"
KINDS = (WEBHOOK, SCRIPT)
"""The providers on offer, the first of them before anybody has chosen."""
KEY = "signature_key"
KEY_LENGTH = 32
MODULE = "sms-gateway"
"""Of the account's log."""
VERSION_LENGTH = 32

_KEY_LETTERS = string.ascii_letters + string.digits + "_"  # as Authgear makes them (B §1.7)


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be so from now on."""

    enabled: bool
    provider: str
    version: str | None = None
    """What the caller has read; None: nothing was saved then."""
    providers: dict[str, dict[str, Any]] = {}
    """Changed settings by provider; one given as null gets its default again."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What saving stands on."""

    guard: Guard
    version_key: str
    """Keys the digest that is the version: the secrets are part of what it tells apart."""
    max_in_flight: int
    """Of new channels, as is ``rate``."""
    rate: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand: the setting as it was saved, and its channels that are there."""

    gateway: SmsGateway | None
    channels: Mapping[str, Channel]
    """By provider."""
    script_version: int | None

    @property
    def saved(self) -> bool:
        """False while there is only a key that somebody looked at in advance."""
        return self.gateway is not None and self.gateway.updated_at > 0

    @property
    def provider(self) -> str:
        return self.gateway.provider if self.gateway else WEBHOOK

    @property
    def enabled(self) -> bool:
        """Whether messages may really go this way."""
        channel = self.channels.get(self.provider)
        return channel is not None and channel.enabled

    @property
    def problem(self) -> str | None:
        """What was changed behind the setting's back, or None."""
        if self.gateway is None or self.gateway.enabled == self.enabled:
            return None
        if self.enabled:
            return "it was switched off, and its channel was enabled since"
        gone = "disabled" if self.provider in self.channels else "removed"
        return f"it was switched on, and its channel was {gone} since; save it again"

    def settings(self, kind: str) -> dict[str, Any]:
        """Return what is stored for a provider, empty if it was never set up."""
        channel = self.channels.get(kind)
        return channel.settings if channel else {}

    def version(self, key: str) -> str | None:
        """Return a name for all of this that callers may see or set, or None if none was saved."""
        if not self.saved:
            return None
        open_settings = {
            kind: {name: channel.settings.get(name) for name in find(kind).masked({})}
            for kind, channel in self.channels.items()
        }
        told = (self.enabled, self.provider, open_settings)
        return body_hex(key, msgspec.json.encode(told, order="sorted"))[:VERSION_LENGTH]


class Stale(Conflict):
    """Somebody else has saved since the caller has read."""

    def __init__(self, stored: Standing) -> None:
        super().__init__(
            "the setting is not the one that you have read; look at what is stored, and send"
            " its version with what you want",
            field="version",
        )
        self.stored = stored


def standing(tx: Tx, account_id: str) -> Standing:
    gateway = tx.sms_gateways.get(account_id)
    known = {channel.id: channel for channel in tx.channels.all(account_id)}
    ids = gateway.channels if gateway else {}
    own = {kind: known[ids[kind]] for kind in KINDS if ids.get(kind) in known}
    last = tx.scripts.last(account_id, own[SCRIPT].id) if SCRIPT in own else None
    return Standing(gateway, own, last.n if last else None)


async def prepare(
    store: Store, desk: Desk, account_id: str, wanted: Wanted, ground: Ground
) -> dict[str, Prepared]:
    """Do what saving this owes and what takes its time: a script is checked.

    Raises ``Invalid`` (its field names the member), ``Stale``, or ``Unavailable`` if what it takes
    is missing on this machine.
    """
    now = await store.read(lambda tx: standing(tx, account_id))
    _insist(now, wanted, ground)
    found: dict[str, Prepared] = {}
    for kind, given in wanted.providers.items():
        with _within(kind):
            merged = merge(kind, now.settings(kind), given)
            if _missing(kind, merged):
                continue
            channel = now.channels.get(kind)
            prepared = await channels.prepare(
                store, desk, account_id, kind, given, channel.id if channel else None
            )
        if prepared is not None:
            found[kind] = prepared
    return found


def save(
    tx: Tx,
    account_id: str,
    wanted: Wanted,
    prepared: Mapping[str, Prepared],
    ground: Ground,
    *,
    by: str,
) -> Standing:
    """Store all of it: both providers' settings, the choice, the order. See :func:`prepare`."""
    before = standing(tx, account_id)
    _insist(before, wanted, ground)
    ids = {kind: channel.id for kind, channel in before.channels.items()}
    for kind in KINDS:
        on = wanted.enabled and kind == wanted.provider
        given = wanted.providers.get(kind)
        known = before.channels.get(kind)
        if given is None and not on and not (known and known.enabled):
            continue
        with _within(kind):
            channel = _put(tx, account_id, kind, known, given, on, prepared.get(kind), ground)
        ids[kind] = channel.id
    if wanted.enabled:
        _put_first(tx, account_id, ids[wanted.provider])
    tx.sms_gateways.save(
        SmsGateway(
            account_id=account_id,
            enabled=wanted.enabled,
            provider=wanted.provider,
            channels=ids,
            updated_at=tx.now,
        )
    )
    context = {"by": by, "enabled": wanted.enabled, "provider": wanted.provider}
    tx.logs.add(account_id, "INFO", MODULE, "Custom SMS Gateway saved", context)
    return standing(tx, account_id)


def keep_draft(
    tx: Tx,
    account_id: str,
    kind: str,
    known: Channel | None,
    settings: dict[str, Any],
    ground: Ground,
) -> Channel:
    """Store settings that lack what it takes to send, in a disabled channel."""
    if known is not None:
        draft = msgspec.structs.replace(known, settings=settings, enabled=False, updated_at=tx.now)
        tx.channels.save(draft)
        return draft
    others = tx.channels.all(account_id)
    if len(others) >= channels.MAX_CHANNELS:
        raise Invalid(f"an account has at most {channels.MAX_CHANNELS} channels; remove one first")
    draft = Channel(
        account_id=account_id,
        id=tx.new_id(),
        name=_free_name(tx, account_id, kind),
        provider=kind,
        settings=settings,
        enabled=False,
        position=max((other.position for other in others), default=-1) + 1,
        max_in_flight=ground.max_in_flight,
        rate=ground.rate,
        retry_waits=None,
        created_at=tx.now,
        updated_at=tx.now,
    )
    tx.channels.add(draft)
    return draft


def make_key() -> str:
    """Return a fresh signature key, in the form of B §1.7."""
    return "".join(secrets.choice(_KEY_LETTERS) for _ in range(KEY_LENGTH))


def merge(kind: str, stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return stored settings changed by ``given``, without what has its default again."""
    merged = find(kind).merged(stored, _but_empty_key(stored, given))
    return {name: value for name, value in merged.items() if value is not None}


def _but_empty_key(stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Leave out a signature key that is given empty: it has no default, and receivers know it."""
    keeps = stored.get(KEY) and not given.get(KEY)
    return {name: value for name, value in given.items() if not (keeps and name == KEY)}


def _insist(now: Standing, wanted: Wanted, ground: Ground) -> None:
    """Raise ``Invalid`` for a provider that is not on offer, ``Stale`` for an old version."""
    places = {
        "provider": wanted.provider,
        **{f"providers.{kind}": kind for kind in wanted.providers},
    }
    for place, kind in places.items():
        if kind not in KINDS:
            known = " and ".join(KINDS)
            raise Invalid(f"the providers on offer are {known}", field=place)
    if wanted.version != now.version(ground.version_key):
        raise Stale(now)


def _put(
    tx: Tx,
    account_id: str,
    kind: str,
    known: Channel | None,
    given: dict[str, Any] | None,
    on: bool,
    prepared: Prepared | None,
    ground: Ground,
) -> Channel:
    stored = known.settings if known else {}
    changes = _but_empty_key(stored, given or {})
    if kind == WEBHOOK and not merge(kind, stored, changes).get(KEY):
        changes[KEY] = make_key()
    merged = merge(kind, stored, changes)
    if not on and (missing := _missing(kind, merged)):
        # What stands in for what is missing lets the rest be checked.
        find(kind).parse({**merged, **dict.fromkeys(missing, "-")})
        return keep_draft(tx, account_id, kind, known, merged, ground)
    if known is None:
        draft = channels.Draft(
            provider=kind,
            name=_free_name(tx, account_id, kind),
            settings=changes,
            enabled=on,
            max_in_flight=ground.max_in_flight,
            rate=ground.rate,
        )
        return channels.add(tx, account_id, draft, ground.guard, prepared)
    # Not given and switched off: what has become invalid can be disabled.
    settings = UNSET if given is None and not on else changes
    wanted = channels.Changes(settings=settings, enabled=on)
    return channels.change(tx, account_id, known.id, wanted, ground.guard, prepared)


def _missing(kind: str, settings: dict[str, Any]) -> list[str]:
    """Return the settings that it takes to send and that are empty; a key is made."""
    required = [member["name"] for member in find(kind).describe() if member["required"]]
    return [n for n in required if n != KEY and settings.get(n) in (None, "")]


def _put_first(tx: Tx, account_id: str, channel_id: str) -> None:
    others = [c.id for c in tx.channels.all(account_id) if c.id != channel_id]
    channels.reorder(tx, account_id, (channel_id, *others))


def _free_name(tx: Tx, account_id: str, kind: str) -> str:
    taken = {channel.name for channel in tx.channels.all(account_id)}
    name = f"Custom SMS Gateway: {kind}"
    number = 2
    while name in taken:
        name = f"Custom SMS Gateway: {kind} {number}"
        number += 1
    return name


@contextmanager
def _within(kind: str) -> Iterator[None]:
    """Say of a setting that is at fault which provider's it is."""
    try:
        yield
    except (Invalid, Conflict) as wrong:
        if wrong.field and wrong.field.startswith("settings"):
            wrong.field = f"providers.{kind}{wrong.field.removeprefix('settings')}"
        raise
