"""/v1/sms-gateway: the account setting *Custom SMS Gateway*."""

from typing import Annotated, Any

import msgspec

from textgate.api.fields import DateTime
from textgate.api.native_v1.shapes import when
from textgate.api.operation import Answer, Call, Caller, Operation, Services
from textgate.domain.account import Scope
from textgate.domain.authgear import SIGNATURE_HEADER, Payload
from textgate.domain.errors import Conflict, Invalid
from textgate.domain.times import Milliseconds, rfc3339
from textgate.gateway import signature_key, sms_gateway
from textgate.gateway.signature_key import DEFAULT_OVERLAP_S, LONGEST_OVERLAP_S, Keys
from textgate.gateway.sms_gateway import SCRIPT, WEBHOOK, Ground, Stale, Standing, Wanted
from textgate.providers.base import MASK
from textgate.providers.discovery import find
from textgate.providers.script import default_sample
from textgate.providers.webhook import PAYLOAD_SAMPLE

Kind = Annotated[str, msgspec.Meta(description="webhook or script.")]


class PreviousSecret(msgspec.Struct):
    """A secret that was replaced, while receivers may still know it. It signs nothing any more."""

    secret: str
    ends_at: DateTime


class SecretsShape(msgspec.Struct, kw_only=True):
    """What signs the webhook's requests."""

    header: str
    """Carries the lower-case hex HMAC-SHA256 of the body; the text of the secret is the key."""
    secret: str | None
    """Null: there is none yet; revealing or saving makes one."""
    previous: list[PreviousSecret]


class ProviderPart(msgspec.Struct, kw_only=True):
    """One provider: its settings as they are stored, or as a form begins with."""

    settings: dict[str, Any]
    channel_id: str | None
    """The channel that holds the settings; null: nothing of it was saved yet."""
    problem: str | None
    """Why it cannot work as it is set up, or null."""


class WebhookPart(ProviderPart, kw_only=True):
    """The provider webhook."""

    signature: SecretsShape
    """Masked; see POST /v1/sms-gateway/signature-secret/reveal."""
    payload_sample: Payload
    """What a receiver gets, an invented one."""


class ScriptPart(ProviderPart, kw_only=True):
    """The provider script."""

    version: int | None
    """The number of the script that is stored; null: there is none yet."""


class ProviderParts(msgspec.Struct):
    """Each provider on offer."""

    webhook: WebhookPart
    script: ScriptPart


class GatewayShape(msgspec.Struct, kw_only=True):
    """The setting as it is now."""

    enabled: bool
    """Whether messages may really go this way: the chosen provider's channel is there, enabled."""
    provider: Kind
    version: str | None
    """Names what is stored, to be sent back with what is to be saved; null: nothing was saved."""
    problem: str | None
    """What was changed behind the setting's back, at the channels, or null."""
    providers: ProviderParts
    updated_at: DateTime | None


class WantedGateway(Wanted, frozen=True):
    """What is to be so from now on; settings that are not named stay."""


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """What is to sign from now on, and how long the secret before is still shown."""

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_OVERLAP_S)] = DEFAULT_OVERLAP_S
    secret: Annotated[
        str | None,
        msgspec.Meta(description="One that the receivers already know; null: one is made."),
    ] = None

    def __repr__(self) -> str:
        return f"Rotation(overlap_s={self.overlap_s})"


def gateway_shape(now: Standing, key: str, at: Milliseconds) -> GatewayShape:
    keys = signature_key.keys_of(now, at)
    script_settings = {"source": default_sample(), **now.settings(SCRIPT)}
    return GatewayShape(
        enabled=now.enabled,
        provider=now.provider,
        version=now.version(key),
        problem=now.problem,
        providers=ProviderParts(
            WebhookPart(
                **_part(now, WEBHOOK, {"url": "", **now.settings(WEBHOOK)}),
                signature=_secrets_shape(keys, masked=True),
                payload_sample=PAYLOAD_SAMPLE,
            ),
            ScriptPart(**_part(now, SCRIPT, script_settings), version=now.script_version),
        ),
        updated_at=when(now.gateway.updated_at) if now.gateway and now.saved else None,
    )


def _part(now: Standing, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    channel, provider, problem = now.channels.get(kind), find(kind), None
    if channel is not None:
        try:
            provider.parse(channel.settings)
        except Invalid as error:
            problem = error.message
    return {
        "settings": provider.masked(settings),
        "channel_id": channel.id if channel else None,
        "problem": problem,
    }


def _secrets_shape(keys: Keys | None, *, masked: bool) -> SecretsShape:
    def shown(key: str) -> str:
        return MASK if masked else key

    previous = keys.previous if keys else ()
    return SecretsShape(
        header=SIGNATURE_HEADER,
        secret=shown(keys.key) if keys else None,
        previous=[PreviousSecret(shown(k.key), rfc3339(k.until)) for k in previous],
    )


def ground_of(services: Services) -> Ground:
    """Return what saving stands on here."""
    settings = services.settings
    return Ground(
        guard=services.guard,
        version_key=services.jwt_secret,
        max_in_flight=settings.channel_concurrency,
        rate=settings.channel_rate or None,
    )


def by_whom(caller: Caller | None) -> str:
    """Who does it, for the account's log."""
    return f"token {caller.token_id}" if caller and caller.token_id else "password"


def _shown(call: Call[Any, Any], now: Standing) -> GatewayShape:
    return gateway_shape(now, call.services.jwt_secret, call.services.clock.now())


async def _get(call: Call[None, None]) -> Answer:
    account_id = call.account.id
    now = await call.services.store.read(lambda tx: sms_gateway.standing(tx, account_id))
    return Answer(200, _shown(call, now))


async def _save(call: Call[None, WantedGateway]) -> Answer:
    account_id, services, wanted = call.account.id, call.services, call.body
    ground, by = ground_of(services), by_whom(call.caller)
    try:
        prepared = await sms_gateway.prepare(
            services.store, services.desk, account_id, wanted, ground
        )
        saved = await services.store.write(
            lambda tx: sms_gateway.save(tx, account_id, wanted, prepared, ground, by=by)
        )
    except Stale as stale:
        details = {"yours": _masked(wanted), "stored": _shown(call, stale.stored)}
        raise Conflict(stale.message, field=stale.field, details=details) from None
    return Answer(200, _shown(call, saved))


def _masked(wanted: Wanted) -> dict[str, Any]:
    """Return what somebody wanted to save, without its secrets."""
    told: dict[str, Any] = msgspec.to_builtins(wanted)
    for kind, given in wanted.providers.items():
        shown = find(kind).masked(given)
        told["providers"][kind] = {name: shown[name] for name in given if name in shown}
    return told


async def _reveal(call: Call[None, None]) -> Answer:
    account_id, ground, by = call.account.id, ground_of(call.services), by_whom(call.caller)
    keys = await call.services.store.write(
        lambda tx: signature_key.reveal(tx, account_id, ground, by=by)
    )
    return Answer(200, _secrets_shape(keys, masked=False), _UNCACHED)


async def _rotate(call: Call[None, Rotation | None]) -> Answer:
    account_id, ground, by = call.account.id, ground_of(call.services), by_whom(call.caller)
    body = Rotation() if call.body is None else call.body
    keys = await call.services.store.write(
        lambda tx: signature_key.rotate(
            tx, account_id, ground, overlap_ms=body.overlap_s * 1000, key=body.secret, by=by
        )
    )
    return Answer(200, _secrets_shape(keys, masked=False), _UNCACHED)


_TAG = "sms-gateway"
_UNCACHED = (("Cache-Control", "no-store"),)
OPERATIONS = (
    Operation(
        "GET",
        "/sms-gateway",
        "Get the setting Custom SMS Gateway",
        _TAG,
        Scope.CHANNELS_READ,
        _get,
        answer=GatewayShape,
    ),
    Operation(
        "PUT",
        "/sms-gateway",
        "Save the setting Custom SMS Gateway",
        _TAG,
        Scope.CHANNELS_WRITE,
        _save,
        body=WantedGateway,
        answer=GatewayShape,
        errors={
            400: "A rule is broken, or a script is: ``details`` lists each finding.",
            409: "Somebody else saved meanwhile: ``details`` has yours and what is stored.",
            503: "Scripts cannot be checked on this machine, or not now.",
        },
        description="All of it is stored, or nothing. What is on is the first of the account's"
        " channels; its others follow as fail-over.",
    ),
    Operation(
        "POST",
        "/sms-gateway/signature-secret/reveal",
        "Show what signs the webhook's requests",
        _TAG,
        Scope.CHANNELS_WRITE,
        _reveal,
        answer=SecretsShape,
        errors={400: "The account has no room for one more channel."},
        description="Noted in the account's log. The first time, a secret is made.",
    ),
    Operation(
        "POST",
        "/sms-gateway/signature-secret/rotate",
        "Sign the webhook's requests with another secret from now on",
        _TAG,
        Scope.CHANNELS_WRITE,
        _rotate,
        body=Rotation,
        body_optional=True,
        answer=SecretsShape,
        errors={400: "A rule is broken."},
        description="Noted in the account's log.",
    ),
)
