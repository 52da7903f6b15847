"""What belongs to a script beside its settings: its versions and its secrets."""

import difflib
import re
from typing import Any

import msgspec

from textgate.domain.account import Channel
from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.domain.script import ScriptVersion
from textgate.gateway.channels import keep_version, known_channel, log_change
from textgate.providers.discovery import find
from textgate.store.base import Tx

MAX_SECRETS = 100
"""Per script."""
MAX_SECRET = 8 * 1024
"""Bytes of UTF-8."""
MAX_LINES = 5_000
"""Of each version that is compared: the time it takes may grow with their square."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def script_channel(tx: Tx, account_id: str, channel_id: str) -> Channel:
    """Return a channel that runs a script. Raises ``NotFound``, or ``Invalid`` for another."""
    channel = known_channel(tx, account_id, channel_id)
    if not find(channel.provider).scripted:
        raise Invalid("the channel runs no script")
    return channel


# Versions.


def known_version(tx: Tx, account_id: str, channel_id: str, n: int) -> ScriptVersion:
    """Return a version of a channel's script. Raises ``NotFound`` or ``Invalid``."""
    script_channel(tx, account_id, channel_id)
    version = tx.scripts.get(account_id, channel_id, n)
    if version is None:
        raise NotFound(f"there is no version {n}")
    return version


def version_before(tx: Tx, version: ScriptVersion) -> ScriptVersion | None:
    """Return the version that this one replaced; None if it is forgotten or there was none."""
    found = tx.scripts.before(version.account_id, version.channel_id, version.n, 1)
    return found[0] if found else None


def difference(older: ScriptVersion | None, newer: ScriptVersion) -> str:
    """Return what changed as a unified diff; all of ``newer`` is new beside None.

    May take a second. Raises ``Invalid`` for more lines than can be compared.
    """
    before = older.source.splitlines() if older else []
    after = newer.source.splitlines()
    if max(len(before), len(after)) > MAX_LINES:
        raise Invalid(f"versions of more than {MAX_LINES} lines are not compared")
    names = (f"version {older.n}" if older else "nothing", f"version {newer.n}")
    return "".join(f"{line}\n" for line in difflib.unified_diff(before, after, *names, lineterm=""))


def restore(tx: Tx, account_id: str, channel_id: str, n: int) -> ScriptVersion:
    """Run version ``n`` again, with the modules it had, as a new version.

    Raises ``NotFound``, ``Invalid``, or ``Conflict`` if it is the one that runs.
    """
    channel = script_channel(tx, account_id, channel_id)
    wanted = known_version(tx, account_id, channel_id, n)
    pinned = {"source": wanted.source, "modules": msgspec.to_builtins(wanted.modules)}
    if pinned.items() <= channel.settings.items():
        raise Conflict(f"version {n} is what runs already")
    restored = _store(tx, channel, pinned)
    log_change(tx, restored, f"Script version {n} restored")
    return keep_version(tx, restored)


# Secrets.


def set_secret(tx: Tx, account_id: str, channel_id: str, name: str, value: str) -> None:
    """Add a secret or replace it. Raises ``NotFound`` or ``Invalid``."""
    channel = script_channel(tx, account_id, channel_id)
    _check_secret(name, value)
    secrets = {**_secrets(channel), name: value}
    if len(secrets) > MAX_SECRETS:
        raise Invalid(f"a script has at most {MAX_SECRETS} secrets; remove one first", field="name")
    log_change(tx, _store(tx, channel, {"secrets": secrets}), f"Secret {name} set")


def remove_secret(tx: Tx, account_id: str, channel_id: str, name: str) -> None:
    """Raises ``NotFound``, or ``Invalid`` for a channel without a script."""
    channel = script_channel(tx, account_id, channel_id)
    secrets = _secrets(channel)
    if name not in secrets:
        raise NotFound("there is no such secret")
    kept = {known: value for known, value in secrets.items() if known != name}
    log_change(tx, _store(tx, channel, {"secrets": kept}), f"Secret {name} removed")


def secret_names(channel: Channel) -> list[str]:
    """Return the names of a script's secrets, sorted; values are never shown."""
    return sorted(_secrets(channel))


def _check_secret(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(
            "a secret's name has letters, digits and _, at most 64, and no digit first",
            field="name",
        )
    if not 1 <= len(value.encode("utf-8", "replace")) <= MAX_SECRET:
        raise Invalid(f"a secret has from 1 to {MAX_SECRET} bytes", field="value")


def _secrets(channel: Channel) -> dict[str, str]:
    found: dict[str, str] = channel.settings.get("secrets", {})
    return found


def _store(tx: Tx, channel: Channel, settings: dict[str, Any]) -> Channel:
    changed = msgspec.structs.replace(
        channel, settings=channel.settings | settings, updated_at=tx.now
    )
    tx.channels.save(changed)
    return changed
