"""The ways out of an account: adding, changing, ordering and removing them.

Work that a channel still has when it is disabled or removed goes to the next channel of its
route, or fails: the engine does that as soon as it comes to it.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from textgate.domain.account import Channel
from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.outbound.guard import Guard
from textgate.providers.discovery import find
from textgate.store.base import Tx

MAX_CHANNELS = 100
"""Per account: each message keeps the ids of those that may carry it."""
MAX_NAME = 64
MAX_IN_FLIGHT = 1000
MAX_RATE = 100_000.0
MAX_WAITS = 20
LONGEST_WAIT_S = 7 * 86_400
DEFAULT_IN_FLIGHT = 64


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


def add(tx: Tx, account_id: str, draft: Draft, guard: Guard) -> Channel:
    """Store a channel, the last in order. Raises ``Invalid``, or ``Conflict`` for a known name."""
    others = tx.channels.all(account_id)
    if len(others) >= MAX_CHANNELS:
        raise Invalid(f"an account has at most {MAX_CHANNELS} channels; remove one first")
    channel = Channel(
        account_id=account_id,
        id=tx.new_id(),
        name=draft.name.strip(),
        provider=draft.provider,
        settings=_settings(draft.provider, {}, draft.settings),
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
    _log(tx, channel, "Channel added")
    return channel


def change(tx: Tx, account_id: str, channel_id: str, changes: Changes, guard: Guard) -> Channel:
    """Change what is given. Raises ``NotFound``, ``Invalid`` or ``Conflict``."""
    known = known_channel(tx, account_id, channel_id)
    given = {
        name: value
        for name in changes.__struct_fields__
        if (value := getattr(changes, name)) is not UNSET
    }
    if "settings" in given:
        given["settings"] = _settings(known.provider, known.settings, given["settings"])
    if "name" in given:
        given["name"] = given["name"].strip()
    changed: Channel = msgspec.structs.replace(known, **given, updated_at=tx.now)
    _check(tx, changed)
    if "settings" in given or (changed.enabled and not known.enabled):
        _check_settings(changed, guard)  # else what has become invalid could not be disabled
    tx.channels.save(changed)
    if changed.enabled != known.enabled:
        _log(tx, changed, "Channel enabled" if changed.enabled else "Channel disabled")
    elif given:
        _log(tx, changed, f"Channel changed: {', '.join(sorted(given))}")
    return changed


def remove(tx: Tx, account_id: str, channel_id: str) -> None:
    """Remove a channel and its settings. Raises ``NotFound``."""
    channel = known_channel(tx, account_id, channel_id)
    tx.channels.remove(account_id, channel_id)
    _log(tx, channel, "Channel removed")


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


def _log(tx: Tx, channel: Channel, message: str) -> None:
    context: dict[str, object] = {
        "channelId": channel.id,
        "name": channel.name,
        "provider": channel.provider,
    }
    tx.logs.add(channel.account_id, "INFO", "channels", message, context)
