"""/v1/sms-gateway/test: a test send through settings that need not be saved."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from textgate.api.native_v1.sms_gateway import Kind, by_whom, ground_of
from textgate.api.native_v1.wording import own_words
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.authgear import CODE_OF, read_number
from textgate.domain.errors import RateLimited
from textgate.domain.outcome import Accepted
from textgate.domain.phone import mask
from textgate.gateway.sms_gateway import MODULE
from textgate.gateway.trial import TEXT, Grounds, Trial, settings_to_try, trial_sms, try_out
from textgate.outbound.recorder import Exchange
from textgate.providers.discovery import find
from textgate.store.base import Tx

LONGEST_NAME = 256
LONGEST_TEXT = 10_000


class TestSend(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom to send a test to, through which settings."""

    to: Annotated[str, msgspec.Meta(description="E.164.")]
    provider: Kind
    settings: Annotated[
        dict[str, Any],
        msgspec.Meta(description="Unsaved changes to what is stored; a masked secret stays."),
    ] = {}
    template_name: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)] | UnsetType = UNSET
    language: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)] | UnsetType = UNSET
    body: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT)] = TEXT


class TestResult(msgspec.Struct, kw_only=True):
    """How a test send ended."""

    code: str
    """ok, or the code that Authgear knows for what went wrong."""
    provider_error_code: str | None
    """What the provider calls it."""
    description: str
    outcome: str
    """accepted, deferred, rejected or unknown."""
    reason: str | None
    elapsed_ms: float
    exchange: list[Exchange]
    """Each request to the outside as it was sent, and its answer as it was received."""
    exchange_left_out: int
    """Further requests, which were made and are not shown."""
    script: dict[str, Any] | None
    """Of a script: its requests, its console, and returned, threw (with line and column of the
    source) or ended; null for a webhook."""


async def _test(call: Call[None, TestSend]) -> Answer:
    services, account_id, body = call.services, call.account.id, call.body
    with own_words():
        number = read_number(body.to)  # what the ingress takes may be tested, too
    settings = await settings_to_try(
        services.store,
        services.desk,
        ground_of(services),
        account_id,
        body.provider,
        body.settings,
    )
    now = services.clock.now()
    if wait := services.trials.take(account_id, now):
        raise RateLimited("that many tests are enough for now", retry_after_s=-(-wait // 1000))
    given = {"template_name": body.template_name, "language_tag": body.language}
    context = {name: value for name, value in given.items() if value is not UNSET}
    trial = await try_out(
        find(body.provider),
        settings,
        trial_sms(account_id, number, body.body, context, now),
        Grounds(services.http, services.guard, services.clock, services.scripts),
    )
    shape, by = _result_shape(trial), by_whom(call.caller)
    await services.store.write(
        lambda tx: _log_test(tx, account_id, body.provider, number, shape.code, by)
    )
    return Answer(200, shape)


def _log_test(tx: Tx, account_id: str, provider: str, number: str, code: str, by: str) -> None:
    context: dict[str, object] = {
        "by": by,
        "to": mask(number),
        "provider": provider,
        "code": code,
    }
    tx.logs.add(account_id, "INFO", MODULE, "Test message sent", context)


def _result_shape(trial: Trial) -> TestResult:
    outcome = trial.outcome
    failed = None if isinstance(outcome, Accepted) else outcome
    return TestResult(
        code=CODE_OF[failed.reason] if failed else "ok",
        provider_error_code=failed.code if failed else None,
        description=outcome.detail,
        outcome=type(outcome).__name__.lower(),
        reason=failed.reason if failed else None,
        elapsed_ms=trial.elapsed_ms,
        exchange=list(trial.exchanges),
        exchange_left_out=trial.left_out,
        script=(outcome.trace or {}).get("script"),
    )


OPERATIONS = (
    Operation(
        "POST",
        "/sms-gateway/test",
        "Send a test through settings that need not be saved",
        "sms-gateway",
        Scope.CHANNELS_WRITE,
        _test,
        body=TestSend,
        answer=TestResult,
        errors={
            400: "A rule is broken, or a script is: ``details`` lists each finding.",
            429: "So many tests are enough for now: 5 a minute, 60 an hour.",
            503: "Scripts cannot be checked on this machine, or not now.",
        },
        description="It is sent for real, and no message is stored. Whatever becomes of it, the"
        " answer is 200 and says so.",
    ),
)
