"""/v1/ingresses/{id}/secrets: what signs the requests that come in."""

from typing import Annotated, Any

import msgspec

from textgate.api.fields import DateTime
from textgate.api.native_v1.paging import Page
from textgate.api.native_v1.shapes import when
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.ingress import Ingress, IngressSecret
from textgate.domain.times import rfc3339
from textgate.gateway import ingresses
from textgate.gateway.ingresses import LONGEST_OVERLAP_S

HINT_LENGTH = 4
"""Characters of a secret that are shown, so that its owner knows which one it is."""

Overlap = Annotated[int, msgspec.Meta(ge=0, le=LONGEST_OVERLAP_S)]


class SecretHint(msgspec.Struct, kw_only=True):
    """A secret that signs requests. It is never shown again: its owner has it."""

    id: str
    hint: str
    """The first four characters."""
    created_at: DateTime
    ends_at: DateTime | None
    """When it stops being accepted; null: it stays."""


class NewSecret(msgspec.Struct, forbid_unknown_fields=True):
    """A secret of the other system, such as an Authgear project's signature key."""

    secret: Annotated[
        str | None, msgspec.Meta(description="8 to 256 printable characters; null: make one.")
    ] = None


class AddedSecret(SecretHint, kw_only=True):
    """A secret that is new."""

    made_secret: str | None
    """The secret, if it was made here; shown this once."""


class Retirement(msgspec.Struct):
    """When a secret ends."""

    overlap_s: Overlap = 0


def secret_hint(secret: IngressSecret) -> SecretHint:
    return SecretHint(
        id=secret.id,
        hint=secret.secret[:HINT_LENGTH],
        created_at=rfc3339(secret.created_at),
        ends_at=when(secret.ends_at),
    )


async def known_ingress(call: Call[Any, Any]) -> Ingress:
    account_id, ingress_id = call.account.id, call.path["id"]
    return await call.services.store.read(
        lambda tx: ingresses.known_ingress(tx, account_id, ingress_id)
    )


async def _secrets(call: Call[None, None]) -> Answer:
    known = await known_ingress(call)
    active = known.active(call.services.clock.now())
    return Answer(200, Page([secret_hint(secret) for secret in active]))


async def _add_secret(call: Call[None, NewSecret | None]) -> Answer:
    account_id, ingress_id = call.account.id, call.path["id"]
    given = (call.body or NewSecret()).secret
    added, made = await call.services.store.write(
        lambda tx: ingresses.add_secret(tx, account_id, ingress_id, given)
    )
    hint = secret_hint(added)
    members = {name: getattr(hint, name) for name in hint.__struct_fields__}
    return Answer(201, AddedSecret(**members, made_secret=made))


async def _retire_secret(call: Call[Retirement, None]) -> Answer:
    account_id, ingress_id, secret_id = call.account.id, call.path["id"], call.path["secret_id"]
    overlap_ms = call.query.overlap_s * 1000
    retired = await call.services.store.write(
        lambda tx: ingresses.retire_secret(
            tx, account_id, ingress_id, secret_id, overlap_ms=overlap_ms
        )
    )
    return Answer(200, secret_hint(retired))


_TAG = "ingresses"
_UNKNOWN = {404: "No such ingress."}
OPERATIONS = (
    Operation(
        "GET",
        "/ingresses/{id}/secrets",
        "List the secrets of a way in by their hints",
        _TAG,
        Scope.INGRESSES_READ,
        _secrets,
        answer=Page[SecretHint],
        errors=_UNKNOWN,
    ),
    Operation(
        "POST",
        "/ingresses/{id}/secrets",
        "Add a secret, given or made",
        _TAG,
        Scope.INGRESSES_WRITE,
        _add_secret,
        body=NewSecret,
        body_optional=True,
        answer=AddedSecret,
        status=201,
        errors={**_UNKNOWN, 400: "A rule is broken.", 409: "The ingress has this secret."},
        description="From then on what it signs is accepted, beside what the others sign.",
    ),
    Operation(
        "DELETE",
        "/ingresses/{id}/secrets/{secret_id}",
        "Retire a secret, at once or later",
        _TAG,
        Scope.INGRESSES_WRITE,
        _retire_secret,
        query=Retirement,
        answer=SecretHint,
        errors={
            400: "The overlap is out of range.",
            404: "No such ingress, or no such secret.",
            409: "It is the last one.",
        },
    ),
)
