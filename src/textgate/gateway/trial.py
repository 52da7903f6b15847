"""A test send: one message, for real, through settings that need not be saved; none is stored."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import structlog

from textgate.domain.errors import Invalid
from textgate.domain.message import Receipt
from textgate.domain.outcome import Outcome, Reason, Unknown
from textgate.domain.times import Clock, Milliseconds
from textgate.gateway import channels
from textgate.gateway.signature_key import with_key
from textgate.gateway.sms_gateway import KINDS, WEBHOOK, Ground, merge, standing
from textgate.outbound.guard import Guard
from textgate.outbound.http import Http
from textgate.outbound.recorder import Exchange, Recorder
from textgate.outbound.script.desk import Desk
from textgate.outbound.script.workers import Workers
from textgate.providers.base import Provider, Sms, Tools
from textgate.providers.discovery import find
from textgate.store.base import Store

TEXT = "[Test] This is a test of your Custom SMS Gateway. The code is 000000."
VARIABLES: Mapping[str, Any] = {"app_name": "Test", "code": "000000"}
LONGEST_MS = 120_000
GRACE_S = 2.0
"""Beyond the provider's own limit: what it needs to say so itself."""

log = structlog.get_logger("textgate.gateway")


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a test send makes use of."""

    http: Http
    guard: Guard
    clock: Clock
    scripts: Workers


class Trial(msgspec.Struct, frozen=True):
    """How a test send ended."""

    outcome: Outcome
    elapsed_ms: float
    exchanges: tuple[Exchange, ...]
    left_out: int
    """Calls to the outside that were made and are not among them."""


def trial_sms(
    account_id: str, to: str, text: str, context: dict[str, Any], now: Milliseconds
) -> Sms:
    """Return the message of a test (B §6.6); ``context`` may bring what a template would."""
    name = f"test-{secrets.token_hex(8)}"
    return Sms(
        account_id=account_id,
        message_id=name,
        id=name,
        to=to,
        text=text,
        data=None,
        port=None,
        encrypted=False,
        sim_number=None,
        priority=0,
        delivery_report=False,
        attempt=1,
        deadline=now + LONGEST_MS,
        context={**context, "template_variables": dict(VARIABLES)},
    )


async def settings_to_try(
    store: Store, desk: Desk, ground: Ground, account_id: str, kind: str, given: dict[str, Any]
) -> dict[str, Any]:
    """Return what is stored for a provider of the Custom SMS Gateway, changed by ``given``.

    It is checked and prepared as for saving. The webhook's signature key is the stored one unless
    another is given; the first time, one is made and kept. Raises ``Invalid``, or ``Unavailable``.
    """
    if kind not in KINDS:
        raise Invalid(f"the providers on offer are {' and '.join(KINDS)}", field="provider")
    now = await (
        store.write(lambda tx: with_key(tx, account_id, ground))
        if kind == WEBHOOK
        else store.read(lambda tx: standing(tx, account_id))
    )
    settings = merge(kind, now.settings(kind), given)
    find(kind).check(find(kind).parse(settings), ground.guard)
    channel = now.channels.get(kind)
    prepared = await channels.prepare(
        store, desk, account_id, kind, given, channel.id if channel else None
    )
    return settings | (prepared.hidden if prepared else {})


async def try_out(
    provider: Provider[Any], settings: dict[str, Any], sms: Sms, grounds: Grounds
) -> Trial:
    """Open a channel with ``settings``, send ``sms`` once, close it. Every way to end is a result.

    Raises ``Invalid`` for settings of the wrong shape, before anything is sent.
    """
    parsed = provider.parse(settings)
    recorder = Recorder(grounds.http, secrets_of(provider, settings))
    tools = Tools(
        http=recorder,
        guard=grounds.guard,
        clock=grounds.clock,
        scripts=grounds.scripts,
        channel_id=sms.id,
        report=_ignore,
    )
    begun = time.perf_counter()
    outcome = await _attempt(provider, parsed, sms, tools)
    elapsed_ms = round((time.perf_counter() - begun) * 1000, 3)
    return Trial(outcome, elapsed_ms, tuple(recorder.exchanges), recorder.left_out)


async def _attempt(provider: Provider[Any], settings: Any, sms: Sms, tools: Tools) -> Outcome:
    try:
        async with asyncio.timeout(provider.max_attempt_s(settings) + GRACE_S):
            channel = provider.open(settings, tools)
            try:
                return await channel.send(sms)
            finally:
                await channel.close()
    except TimeoutError:
        return Unknown(Reason.TIMEOUT, "the provider took longer than its limit")
    except Exception as problem:
        log.exception("provider failed", channel=sms.id)
        return Unknown(Reason.PROVIDER_ERROR, type(problem).__name__)


def secrets_of(provider: Provider[Any], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every text within the secret settings, the hidden ones too."""
    names = [member.name for member in fields(provider.settings) if member.metadata["secret"]]
    return tuple(text for name in names for text in _texts(settings.get(name)))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)


async def _ignore(_: Receipt) -> None:
    """There is no message that a receipt could belong to."""
