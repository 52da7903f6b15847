"""/v1/channels/{id}/versions and …/secrets: what belongs to a channel that runs a script."""

import asyncio
import hashlib
from typing import Annotated, Any

import msgspec

from textgate.api.fields import DateTime
from textgate.api.native_v1.paging import Page, Paging, decode_cursor, page_of
from textgate.api.native_v1.shapes import location
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid
from textgate.domain.script import ScriptVersion
from textgate.domain.times import rfc3339
from textgate.gateway import scripts
from textgate.store.base import Tx


class ModuleShape(msgspec.Struct):
    """A module that a script imports, as it was fetched when the script was saved."""

    url: str
    sha256: str


class VersionShape(msgspec.Struct, kw_only=True):
    """What a script was when it was saved."""

    n: int
    """From 1."""
    current: bool
    """Whether it is what runs."""
    size: int
    """Bytes of UTF-8."""
    sha256: str
    """Of the source, in lower-case hex."""
    modules: list[ModuleShape]
    created_at: DateTime


class VersionSourceShape(VersionShape, kw_only=True):
    """A version with its text."""

    source: str


class Against(msgspec.Struct):
    """What to compare with."""

    against: Annotated[
        int | None, msgspec.Meta(description="A version; the one before if you say none.")
    ] = None


class DifferenceShape(msgspec.Struct):
    """What changed between two versions."""

    older: int | None
    """Null: there is none before, and all of it is new."""
    newer: int
    diff: str
    """As a unified diff."""


class SecretShape(msgspec.Struct):
    """A secret; its value is never shown."""

    name: str


class SecretValue(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a secret, at most 8 KiB."""

    value: str

    def __repr__(self) -> str:
        return "SecretValue(…)"


def _version(version: ScriptVersion, current: int) -> VersionShape:
    return VersionShape(**_members(version, current))


def _members(version: ScriptVersion, current: int) -> dict[str, Any]:
    source = version.source.encode("utf-8", "replace")
    modules = sorted(version.modules.items())
    return {
        "n": version.n,
        "current": version.n == current,
        "size": len(source),
        "sha256": hashlib.sha256(source).hexdigest(),
        "modules": [ModuleShape(url, module.sha256) for url, module in modules],
        "created_at": rfc3339(version.created_at),
    }


def _current(tx: Tx, account_id: str, channel_id: str) -> int:
    last = tx.scripts.last(account_id, channel_id)
    return last.n if last else 0


async def _versions(call: Call[Paging, None]) -> Answer:
    account_id, channel_id, limit = call.account.id, call.path["id"], call.query.limit
    below = decode_cursor(call.query.cursor, tuple[int])

    def read(tx: Tx) -> tuple[list[ScriptVersion], int]:
        scripts.script_channel(tx, account_id, channel_id)
        found = tx.scripts.before(account_id, channel_id, below[0] if below else None, limit + 1)
        return found, _current(tx, account_id, channel_id)

    found, current = await call.services.store.read(read)
    page, following = page_of(found, limit, lambda version: (version.n,))
    return Answer(200, Page([_version(version, current) for version in page], following))


async def _get_version(call: Call[None, None]) -> Answer:
    account_id, channel_id, n = call.account.id, call.path["id"], _number(call)

    def read(tx: Tx) -> tuple[ScriptVersion, int]:
        version = scripts.known_version(tx, account_id, channel_id, n)
        return version, _current(tx, account_id, channel_id)

    version, current = await call.services.store.read(read)
    return Answer(200, VersionSourceShape(**_members(version, current), source=version.source))


async def _diff(call: Call[Against, None]) -> Answer:
    account_id, channel_id, n = call.account.id, call.path["id"], _number(call)

    def read(tx: Tx) -> tuple[ScriptVersion | None, ScriptVersion]:
        newer = scripts.known_version(tx, account_id, channel_id, n)
        if call.query.against is None:
            return scripts.version_before(tx, newer), newer
        return scripts.known_version(tx, account_id, channel_id, call.query.against), newer

    older, newer = await call.services.store.read(read)
    text = await asyncio.to_thread(scripts.difference, older, newer)
    return Answer(200, DifferenceShape(older.n if older else None, newer.n, text))


async def _restore(call: Call[None, None]) -> Answer:
    account_id, channel_id, n = call.account.id, call.path["id"], _number(call)
    made = await call.services.store.write(
        lambda tx: scripts.restore(tx, account_id, channel_id, n)
    )
    place = location("channels", channel_id)[0][1]
    return Answer(201, _version(made, made.n), (("Location", f"{place}/versions/{made.n}"),))


def _number(call: Call[Any, Any]) -> int:
    text = call.path["n"]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Invalid("a version is named by its number", field="n")
    return int(text)


async def _secrets(call: Call[None, None]) -> Answer:
    account_id, channel_id = call.account.id, call.path["id"]
    channel = await call.services.store.read(
        lambda tx: scripts.script_channel(tx, account_id, channel_id)
    )
    return Answer(200, Page([SecretShape(name) for name in scripts.secret_names(channel)]))


async def _set_secret(call: Call[None, SecretValue]) -> Answer:
    account_id, channel_id, name = call.account.id, call.path["id"], call.path["name"]
    value = call.body.value
    await call.services.store.write(
        lambda tx: scripts.set_secret(tx, account_id, channel_id, name, value)
    )
    return Answer(204)


async def _remove_secret(call: Call[None, None]) -> Answer:
    account_id, channel_id, name = call.account.id, call.path["id"], call.path["name"]
    await call.services.store.write(
        lambda tx: scripts.remove_secret(tx, account_id, channel_id, name)
    )
    return Answer(204)


_TAG = "scripts"
_VERSION = {400: "The channel runs no script.", 404: "No such channel or version."}
_SECRET = {400: "The channel runs no script, or a rule is broken.", 404: "No such channel."}
OPERATIONS = (
    Operation(
        "GET",
        "/channels/{id}/versions",
        "List the versions of a script, the newest first",
        _TAG,
        Scope.CHANNELS_READ,
        _versions,
        query=Paging,
        answer=Page[VersionShape],
        errors={400: "The channel runs no script, or the cursor is wrong.", 404: "No channel."},
        description="The last 100 are kept; the newest is what runs.",
    ),
    Operation(
        "GET",
        "/channels/{id}/versions/{n}",
        "Get a version of a script with its source",
        _TAG,
        Scope.CHANNELS_READ,
        _get_version,
        answer=VersionSourceShape,
        errors=_VERSION,
    ),
    Operation(
        "GET",
        "/channels/{id}/versions/{n}/diff",
        "Compare two versions of a script",
        _TAG,
        Scope.CHANNELS_READ,
        _diff,
        query=Against,
        answer=DifferenceShape,
        errors=_VERSION,
    ),
    Operation(
        "POST",
        "/channels/{id}/versions/{n}/restore",
        "Run a version of a script again",
        _TAG,
        Scope.CHANNELS_WRITE,
        _restore,
        answer=VersionShape,
        status=201,
        errors={**_VERSION, 409: "It is what runs already."},
        description="With the modules it had, as a new version: nothing is fetched or checked.",
    ),
    Operation(
        "GET",
        "/channels/{id}/secrets",
        "List the names of a script's secrets",
        _TAG,
        Scope.CHANNELS_READ,
        _secrets,
        answer=Page[SecretShape],
        errors={400: "The channel runs no script.", 404: "No such channel."},
    ),
    Operation(
        "PUT",
        "/channels/{id}/secrets/{name}",
        "Add a secret of a script, or replace it",
        _TAG,
        Scope.CHANNELS_WRITE,
        _set_secret,
        body=SecretValue,
        status=204,
        errors=_SECRET,
        description="At most 100 for each script; it runs with the new value from now on.",
    ),
    Operation(
        "DELETE",
        "/channels/{id}/secrets/{name}",
        "Remove a secret of a script",
        _TAG,
        Scope.CHANNELS_WRITE,
        _remove_secret,
        status=204,
        errors={400: "The channel runs no script.", 404: "No such channel or secret."},
    ),
)
