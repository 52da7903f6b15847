"""The ways out of an account: adding, changing, ordering and removing them.

What saving settings owes and what takes its time (a script is checked) comes before: ``prepare``,
and then ``add`` or ``change`` with what it returned, in one transaction.

Work that a channel still has when it is disabled or removed goes to the next channel of its
route, or fails: the engine does that as soon as it comes to it.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from textgate.domain.account import Channel
from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.domain.script import Module, ScriptVersion
from textgate.outbound.guard import Guard
from textgate.outbound.script.desk import Desk
from textgate.providers import phone
from textgate.providers.discovery import find
from textgate.store.base import Store, Tx

MAX_CHANNELS = 100
"""Per account, beside its phones: each message keeps the ids of those that may carry it."""
MAX_NAME = 64
MAX_IN_FLIGHT = 1000
MAX_RATE = 100_000.0
MAX_WAITS = 20
LONGEST_WAIT_S = 7 * 86_400
DEFAULT_IN_FLIGHT = 64
MAX_VERSIONS = 100
"""Of a script; older ones are forgotten."""


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel that is wanted."""

    provider: str
    name: str
    settings: dict[str, Any] = {}
    enabled: bool = True
    max_in_flight: int = DEFAULT_IN_FLIGHT
    rate: float | None = None
    """Messages a second."""
    retry_waits: tuple[int, ...] | None = None
    """Seconds."""


class Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; the rest stays. A setting given as null gets its default again."""

    name: str | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    max_in_flight: int | UnsetType = UNSET
    rate: float | UnsetType | None = UNSET
    retry_waits: tuple[int, ...] | UnsetType | None = UNSET


class Prepared(msgspec.Struct, frozen=True):
    """What ``prepare`` found for one set of settings."""

    of: dict[str, Any]
    """The settings it was made from."""
    hidden: dict[str, Any]


async def prepare(
    store: Store,
    desk: Desk,
    account_id: str,
    provider_kind: str,
    settings: dict[str, Any],
    channel_id: str | None = None,
) -> Prepared | None:
    """Do what saving these settings owes; None if it owes nothing.

    ``channel_id``: they are changes to the settings of this channel. May take seconds. Raises
    ``Invalid``, ``NotFound``, or ``Unavailable`` if what it takes is missing on this machine.
    """
    provider = find(provider_kind)
    if provider.prepare is None:
        return None
    stored: dict[str, Any] = {}
    if channel_id is not None:
        channel = await store.read(lambda tx: known_channel(tx, account_id, channel_id))
        stored = channel.settings
    wanted = _settings(provider_kind, stored, settings)
    sources = _sources(provider_kind, wanted)
    if sources == _sources(provider_kind, stored):
        return None
    return Prepared(sources, await provider.prepare(provider.parse(wanted), desk))


def add(
    tx: Tx, account_id: str, draft: Draft, guard: Guard, prepared: Prepared | None = None
) -> Channel:
    """Store a channel, the last in order. Raises ``Invalid``, or ``Conflict`` for a known name."""
    if draft.provider == phone.PROVIDER.kind:
        raise Invalid(
            "a phone adds itself: type the server's address into its app, and a one-time code of"
            " POST /v1/devices/pairing or textgate phone-code",
            field="provider",
        )
    others = tx.channels.all(account_id)
    if sum(other.provider != phone.PROVIDER.kind for other in others) >= MAX_CHANNELS:
        raise Invalid(f"an account has at most {MAX_CHANNELS} channels; remove one first")
    channel = Channel(
        account_id=account_id,
        id=tx.new_id(),
        name=draft.name.strip(),
        provider=draft.provider,
        settings=_prepared(draft.provider, {}, draft.settings, prepared),
        enabled=draft.enabled,
        position=max((other.position for other in others), default=-1) + 1,
        max_in_flight=draft.max_in_flight,
        rate=draft.rate,
        retry_waits=draft.retry_waits,
        created_at=tx.now,
        updated_at=tx.now,
    )
    _check(tx, channel)
    _check_settings(channel, guard)
    tx.channels.add(channel)
    if find(channel.provider).scripted:
        keep_version(tx, channel)
    log_change(tx, channel, "Channel added")
    return channel


def change(
    tx: Tx,
    account_id: str,
    channel_id: str,
    changes: Changes,
    guard: Guard,
    prepared: Prepared | None = None,
) -> Channel:
    """Change what is given. Raises ``NotFound``, ``Invalid`` or ``Conflict``."""
    known = known_channel(tx, account_id, channel_id)
    given = {
        name: value
        for name in changes.__struct_fields__
        if (value := getattr(changes, name)) is not UNSET
    }
    if "settings" in given:
        given["settings"] = _prepared(known.provider, known.settings, given["settings"], prepared)
    if "name" in given:
        given["name"] = given["name"].strip()
    changed: Channel = msgspec.structs.replace(known, **given, updated_at=tx.now)
    _check(tx, changed)
    if "settings" in given or (changed.enabled and not known.enabled):
        _check_settings(changed, guard)  # else what has become invalid could not be disabled
    tx.channels.save(changed)
    if "settings" in given and find(known.provider).scripted and _new_script(known, changed):
        keep_version(tx, changed)
    if changed.enabled != known.enabled:
        log_change(tx, changed, "Channel enabled" if changed.enabled else "Channel disabled")
    if others := sorted(given.keys() - {"enabled"}):
        log_change(tx, changed, f"Channel changed: {', '.join(others)}")
    return changed


def remove(tx: Tx, account_id: str, channel_id: str) -> None:
    """Remove a channel and its settings. Raises ``NotFound``. For phones: ``devices.remove``."""
    channel = known_channel(tx, account_id, channel_id)
    tx.channels.remove(account_id, channel_id)
    log_change(tx, channel, "Channel removed")


def reorder(tx: Tx, account_id: str, ids: tuple[str, ...]) -> tuple[Channel, ...]:
    """Try the channels in this order from now on. Raises ``Invalid`` unless it names each once."""
    channels = {channel.id: channel for channel in tx.channels.all(account_id)}
    if sorted(ids) != sorted(channels):
        raise Invalid("the order must name each channel of the account once", field="ids")
    for position, channel_id in enumerate(ids):
        channel = channels[channel_id]
        if channel.position != position:
            tx.channels.save(msgspec.structs.replace(channel, position=position, updated_at=tx.now))
    return tx.channels.all(account_id)


def known_channel(tx: Tx, account_id: str, channel_id: str) -> Channel:
    """Return the channel. Raises ``NotFound``."""
    channel = tx.channels.get(account_id, channel_id)
    if channel is None:
        raise NotFound("channel not found")
    return channel


def keep_version(tx: Tx, channel: Channel) -> ScriptVersion:
    """Remember what the channel's script is from now on."""
    last = tx.scripts.last(channel.account_id, channel.id)
    version = ScriptVersion(
        account_id=channel.account_id,
        channel_id=channel.id,
        n=last.n + 1 if last else 1,
        source=channel.settings["source"],
        modules=msgspec.convert(channel.settings["modules"], dict[str, Module]),
        created_at=tx.now,
    )
    tx.scripts.add(version)
    tx.scripts.remove(channel.account_id, channel.id, version.n - MAX_VERSIONS)
    return version


def _new_script(known: Channel, changed: Channel) -> bool:
    return bool(known.settings.get("source") != changed.settings.get("source"))


def _sources(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that ``prepare`` reads."""
    return {name: settings.get(name) for name in find(kind).prepared_from}


def _prepared(
    kind: str, stored: dict[str, Any], given: dict[str, Any], prepared: Prepared | None
) -> dict[str, Any]:
    """Return the settings to store. Raises ``Conflict`` if they are not those prepared for."""
    wanted = _settings(kind, stored, given)
    sources = _sources(kind, wanted)
    if sources == _sources(kind, stored):
        return wanted
    if prepared is None or prepared.of != sources:
        raise Conflict("somebody else saved these settings meanwhile; look at them and save again")
    return wanted | prepared.hidden


def _settings(kind: str, stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = find(kind).merged(stored, given)
    return {name: value for name, value in merged.items() if value is not None}


def _check_settings(channel: Channel, guard: Guard) -> None:
    provider = find(channel.provider)
    provider.check(provider.parse(channel.settings), guard)


def _check(tx: Tx, channel: Channel) -> None:
    if not 1 <= len(channel.name) <= MAX_NAME or not channel.name.isprintable():
        raise Invalid(f"a name has from 1 to {MAX_NAME} printable characters", field="name")
    for other in tx.channels.all(channel.account_id):
        if other.id != channel.id and other.name == channel.name:
            raise Conflict("another channel of this account has this name", field="name")
    if not 1 <= channel.max_in_flight <= MAX_IN_FLIGHT:
        raise Invalid(f"max_in_flight must be from 1 to {MAX_IN_FLIGHT}", field="max_in_flight")
    if channel.rate is not None and not 0 < channel.rate <= MAX_RATE:
        raise Invalid(
            f"rate must be above 0 and at most {MAX_RATE:.0f} messages a second,"
            " or null for no limit",
            field="rate",
        )
    _check_waits(channel.retry_waits)


def _check_waits(waits: tuple[int, ...] | None) -> None:
    if waits is None:
        return
    if len(waits) > MAX_WAITS or not all(0 <= wait <= LONGEST_WAIT_S for wait in waits):
        raise Invalid(
            f"retry_waits has at most {MAX_WAITS} waits of 0 to {LONGEST_WAIT_S} seconds,"
            " or is null for the default",
            field="retry_waits",
        )


def log_change(tx: Tx, channel: Channel, message: str) -> None:
    context: dict[str, object] = {
        "channelId": channel.id,
        "name": channel.name,
        "provider": channel.provider,
    }
    tx.logs.add(channel.account_id, "INFO", "channels", message, context)
