"""/v1/ingresses: the ways in for other systems."""

from typing import Any

import msgspec

from textgate.api.fields import DateTime
from textgate.api.native_v1.ingress_secrets import (
    Overlap,
    SecretHint,
    known_ingress,
    secret_hint,
)
from textgate.api.native_v1.paging import Page, Paging, part_of
from textgate.api.native_v1.shapes import location, when
from textgate.api.operation import Answer, Call, Operation
from textgate.config import Settings
from textgate.domain.account import Scope
from textgate.domain.ingress import Ingress, OnTimeout
from textgate.domain.times import Milliseconds, rfc3339
from textgate.gateway import ingresses


class NewIngress(ingresses.Draft, frozen=True):
    """A way in. Without secrets one is made, unless unsigned requests are allowed."""


class IngressChanges(ingresses.Changes, frozen=True):
    """What is to be different; the rest stays."""


class IngressShape(msgspec.Struct, kw_only=True):
    """A way in as it is stored."""

    id: str
    name: str
    dialect: str
    enabled: bool
    url: str
    """Where the other system sends to; without the host if the server's public_url is not set.
    Who knows it and a secret can send, so keep it to yourself."""
    previous_url: str | None
    """The address before, while it is still good."""
    previous_url_until: DateTime | None
    secrets: list[SecretHint]
    allow_unsigned: bool
    budget_s: int
    """How long a caller waits for the verdict."""
    on_timeout: OnTimeout
    """What a caller is told when that is over: ok (accepted), or timeout."""
    validity_s: int
    """How long a message may try to go out."""
    channel: str | None
    """The only channel that may carry its messages; null: the route decides."""
    created_at: DateTime
    updated_at: DateTime


class AddedIngress(IngressShape, kw_only=True):
    """A way in that is new."""

    made_secret: str | None
    """The secret that was made for it, shown this once; null: none was."""


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """How long the address before stays good, in seconds."""

    overlap_s: Overlap = 86_400


def ingress_shape(ingress: Ingress, settings: Settings, now: Milliseconds) -> IngressShape:
    overlaps = ingress.previous_key is not None and now < ingress.previous_key_until
    return IngressShape(
        id=ingress.id,
        name=ingress.name,
        dialect=ingress.dialect,
        enabled=ingress.enabled,
        url=_url(ingress, ingress.key, settings),
        previous_url=_url(ingress, ingress.previous_key, settings) if overlaps else None,
        previous_url_until=when(ingress.previous_key_until if overlaps else None),
        secrets=[secret_hint(secret) for secret in ingress.active(now)],
        allow_unsigned=ingress.allow_unsigned,
        budget_s=ingress.budget_ms // 1000,
        on_timeout=ingress.on_timeout,
        validity_s=ingress.validity_ms // 1000,
        channel=ingress.channel_id,
        created_at=rfc3339(ingress.created_at),
        updated_at=rfc3339(ingress.updated_at),
    )


def _url(ingress: Ingress, key: str | None, settings: Settings) -> str:
    return f"{(settings.public_url or '').rstrip('/')}/ingress/{ingress.dialect}/{key}"


def _shape(call: Call[Any, Any], ingress: Ingress) -> IngressShape:
    return ingress_shape(ingress, call.services.settings, call.services.clock.now())


async def _list(call: Call[Paging, None]) -> Answer:
    found = await call.services.store.read(lambda tx: tx.ingresses.all(call.account.id))
    page, following = part_of(found, call.query, tuple[str], lambda ingress: (ingress.id,))
    return Answer(200, Page([_shape(call, ingress) for ingress in page], following))


async def _add(call: Call[None, NewIngress]) -> Answer:
    account_id, draft = call.account.id, call.body
    added, made = await call.services.store.write(lambda tx: ingresses.add(tx, account_id, draft))
    shape = _shape(call, added)
    members = {name: getattr(shape, name) for name in shape.__struct_fields__}
    return Answer(201, AddedIngress(**members, made_secret=made), location("ingresses", added.id))


async def _get(call: Call[None, None]) -> Answer:
    return Answer(200, _shape(call, await known_ingress(call)))


async def _change(call: Call[None, IngressChanges]) -> Answer:
    account_id, ingress_id, changes = call.account.id, call.path["id"], call.body
    changed = await call.services.store.write(
        lambda tx: ingresses.change(tx, account_id, ingress_id, changes)
    )
    return Answer(200, _shape(call, changed))


async def _remove(call: Call[None, None]) -> Answer:
    account_id, ingress_id = call.account.id, call.path["id"]
    await call.services.store.write(lambda tx: ingresses.remove(tx, account_id, ingress_id))
    return Answer(204)


async def _rotate(call: Call[None, Rotation | None]) -> Answer:
    account_id, ingress_id = call.account.id, call.path["id"]
    overlap_ms = (call.body or Rotation()).overlap_s * 1000
    rotated = await call.services.store.write(
        lambda tx: ingresses.rotate(tx, account_id, ingress_id, overlap_ms=overlap_ms)
    )
    return Answer(200, _shape(call, rotated))


_TAG = "ingresses"
_UNKNOWN = {404: "No such ingress."}
_BROKEN = {400: "A rule is broken.", 409: "Another ingress has this name."}
OPERATIONS = (
    Operation(
        "GET",
        "/ingresses",
        "List the ways in, oldest first",
        _TAG,
        Scope.INGRESSES_READ,
        _list,
        query=Paging,
        answer=Page[IngressShape],
        errors={400: "The cursor or the limit is wrong."},
    ),
    Operation(
        "POST",
        "/ingresses",
        "Open a way in for another system",
        _TAG,
        Scope.INGRESSES_WRITE,
        _add,
        body=NewIngress,
        answer=AddedIngress,
        status=201,
        errors=_BROKEN,
    ),
    Operation(
        "GET",
        "/ingresses/{id}",
        "Get a way in",
        _TAG,
        Scope.INGRESSES_READ,
        _get,
        answer=IngressShape,
        errors=_UNKNOWN,
    ),
    Operation(
        "PATCH",
        "/ingresses/{id}",
        "Change a way in, disable or enable it",
        _TAG,
        Scope.INGRESSES_WRITE,
        _change,
        body=IngressChanges,
        answer=IngressShape,
        errors={**_UNKNOWN, **_BROKEN},
        description="A disabled one answers as if it were not there.",
    ),
    Operation(
        "DELETE",
        "/ingresses/{id}",
        "Close a way in for good",
        _TAG,
        Scope.INGRESSES_WRITE,
        _remove,
        status=204,
        errors=_UNKNOWN,
        description="Messages that came in by it go on.",
    ),
    Operation(
        "POST",
        "/ingresses/{id}/rotate",
        "Give a way in a new address",
        _TAG,
        Scope.INGRESSES_WRITE,
        _rotate,
        body=Rotation,
        body_optional=True,
        answer=IngressShape,
        errors={**_UNKNOWN, 400: "The overlap is out of range."},
    ),
)
