"""What an answer means, for every provider that speaks Authgear's contract (B §3.4, §4, §5.9).

A webhook's answer and a script's result are the same object; the tables here say what becomes of
it. docs/providers/webhook.md gives the reasons, and a test compares the two.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from textgate.domain.authgear import Answer, Payload
from textgate.domain.masking import HIDDEN, confidential, mask_echo, repeats
from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.outbound.http import Failure, FailureKind
from textgate.providers.base import Sms

CODES: Mapping[str, Outcome] = {
    "ok": Accepted(),
    "invalid_phone_number": Rejected(Reason.INVALID_NUMBER),
    "rate_limited": Deferred(Reason.RATE_LIMITED),
    "authentication_failed": Rejected(Reason.AUTHENTICATION_FAILED),
    "delivery_rejected": Rejected(Reason.DELIVERY_REJECTED),
    "unsupported_request": Rejected(Reason.UNSUPPORTED),
    "timeout": Unknown(Reason.TIMEOUT),
    "invalid_request": Rejected(Reason.PROVIDER_ERROR),
    # Names of the past.
    "authorization_failed": Rejected(Reason.DELIVERY_REJECTED),
    "attempted_to_send_otp_template_without_code": Rejected(Reason.UNSUPPORTED),
    "_provider_timeout": Unknown(Reason.TIMEOUT),
}
"""What a ``code`` means, whatever the HTTP status. All others (``unknown_error``) only say that it
failed, not how: the status decides."""

STATUSES: Mapping[range, Outcome] = {
    range(300, 400): Rejected(Reason.PROVIDER_ERROR, "redirects are not followed"),
    range(401, 402): Rejected(Reason.AUTHENTICATION_FAILED),
    range(403, 404): Rejected(Reason.AUTHENTICATION_FAILED),
    range(408, 409): Deferred(Reason.TIMEOUT),
    range(425, 426): Deferred(Reason.PROVIDER_ERROR),
    range(429, 430): Deferred(Reason.RATE_LIMITED),
    range(400, 500): Rejected(Reason.PROVIDER_ERROR),
    range(501, 502): Rejected(Reason.UNSUPPORTED),
    range(503, 504): Deferred(Reason.UNREACHABLE),
    range(504, 505): Unknown(Reason.TIMEOUT),
}
"""What a status means when no ``code`` does; the first range that holds it counts."""

ANY_OTHER: Outcome = Unknown(Reason.PROVIDER_ERROR)
"""2xx with a JSON object that says neither yes nor no; 500, 502 and what nobody has heard of."""

LINES: Mapping[tuple[FailureKind, bool], Outcome] = {
    (FailureKind.REFUSED, False): Rejected(Reason.ADDRESS_REFUSED),
    (FailureKind.TIMEOUT, True): Unknown(Reason.TIMEOUT),
}
"""What a call without an answer means, by its kind and whether a byte may have left."""

NOT_SENT: Outcome = Deferred(Reason.UNREACHABLE)
SENT: Outcome = Unknown(Reason.UNREACHABLE)
"""All other calls without an answer."""

_LONGEST_CODE = 64
_LONGEST_WAIT_S = 86_400
"""A day and more is nothing that a far side could mean."""


class Members(Protocol):
    """Settings that hold the members of messages that bring none."""

    @property
    def app_id(self) -> str: ...
    @property
    def template_name(self) -> str: ...
    @property
    def language_tag(self) -> str: ...


def payload(sms: Sms, settings: Members) -> Payload:
    """Return the six members; those that the message brings win over the settings."""
    context, variables = sms.context, sms.context.get("template_variables")
    return Payload(
        to=sms.to,
        body=sms.text or "",
        app_id=_text(context, "app_id", settings.app_id),
        template_name=_text(context, "template_name", settings.template_name),
        language_tag=_text(context, "language_tag", settings.language_tag),
        template_variables=variables if isinstance(variables, dict) else {},
    )


def told(sms: Sms) -> list[str]:
    """Return what a far side was told and nobody else may read: number, text, variables."""
    return confidential(sms.to, sms.text, sms.context)


def by_status(status: int) -> Outcome:
    """Return what an HTTP status means when no ``code`` does."""
    for statuses, outcome in STATUSES.items():
        if status in statuses:
            return outcome
    return ANY_OTHER


def by_line(kind: FailureKind | None, sent: bool) -> Outcome:
    """Return what it means that a call ended without an answer; None: it was broken off."""
    usual = SENT if sent else NOT_SENT
    return usual if kind is None else LINES.get((kind, sent), usual)


def judge_failure(failure: Failure) -> Outcome:
    """Return what it means that there was no answer."""
    meant = by_line(failure.kind, failure.sent)
    return worded(meant, failure.detail)


def explained(
    meant: Outcome,
    answer: Answer,
    sms: Sms,
    *,
    heard: str,
    retry_after: int | None,
    hide: Callable[[str], str],
) -> Outcome:
    """Add what the far side said, without what it may repeat of the message and of secrets.

    ``heard``: where it was said ("HTTP 500"); ``retry_after``: seconds; ``hide`` takes secrets out.
    """
    sent = told(sms)
    words = hide(f"{answer.code}: {answer.description}".strip(": "))
    said = mask_echo(words, sent) or meant.detail
    code = hide(answer.provider_error_code)[:_LONGEST_CODE] or None
    if code and repeats(code, sent):
        code = HIDDEN
    after = timedelta(seconds=min(retry_after, _LONGEST_WAIT_S)) if retry_after else None
    return worded(meant, f"{heard}: {said}" if said else heard, after, code)


def worded(
    meant: Outcome, detail: str, after: timedelta | None = None, code: str | None = None
) -> Outcome:
    """Return ``meant`` with these words."""
    match meant:
        case Accepted():
            return meant
        case Rejected(reason=reason):
            return Rejected(reason, detail, code)
        case Deferred(reason=reason):
            return Deferred(reason, detail, after, code)
        case Unknown(reason=reason):
            return Unknown(reason, detail, after, code)


def _text(context: Mapping[str, Any], name: str, default: str) -> str:
    value = context.get(name)
    return value if isinstance(value, str) else default
