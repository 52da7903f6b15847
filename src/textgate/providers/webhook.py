"""One signed POST for each message, in the format of Authgear's custom SMS webhook.

Source: authgear-server, ``pkg/lib/infra/sms/custom`` and ``pkg/lib/hook`` (B §2 to §4). Any
endpoint written for Authgear can be the far side; docs/providers/webhook.md shows how.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote

from msgspec import Meta

from textgate.domain.authgear import SIGNATURE_HEADER, Answer, Payload, encode, read_answer
from textgate.domain.errors import Invalid
from textgate.domain.masking import HIDDEN, mask_echo, repeats
from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.domain.signing import body_hex
from textgate.outbound.guard import Guard
from textgate.outbound.http import Failure, FailureKind, Reply
from textgate.providers.base import Provider, Sms, Tools, setting

# The outcome table. docs/providers/webhook.md gives the reasons, and a test compares the two.

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
_HEADER_SAFE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Settings:
    url: str = setting(
        "Webhook endpoint",
        help="The full URL, https unless the address is explicitly allowed.",
    )
    signature_key: str = setting(
        "Webhook signature secret key",
        help="Signs each request; the receiver checks it. The text itself is the key.",
        secret=True,
    )
    timeout: Annotated[int, Meta(ge=1, le=60)] = setting(
        "Timeout", help="Seconds for all of a call, 1 to 60.", default=30
    )
    resend_unknown: bool = setting(
        "Repeat when in doubt",
        help="Send again, with the same Idempotency-Key, when it is unknown whether the receiver"
        " has acted. Off: such a message fails.",
        default=True,
    )
    accept_without_code: bool = setting(
        "Accept answers without a code",
        help="Take a 2xx answer that is a JSON object without a code for success.",
        default=False,
    )
    app_id: str = setting("app_id", help="Of messages that bring none.", default="")
    template_name: str = setting("template_name", help="Of messages that bring none.", default="")
    language_tag: str = setting("language_tag", help="Of messages that bring none.", default="")


class Webhook:
    """The channel: renders, signs, posts, and reads the answer."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._settings, self._request = settings, tools.http.request

    async def send(self, sms: Sms) -> Outcome:
        if sms.text is None or sms.encrypted:
            return Rejected(Reason.UNSUPPORTED, "the format carries plain text only")
        settings = self._settings
        body = encode(payload(sms, settings))
        headers = (
            ("Content-Type", "application/json"),
            (SIGNATURE_HEADER, body_hex(settings.signature_key, body)),
            ("Idempotency-Key", _header(sms.id)),
            ("Textgate-Message-Id", _header(sms.message_id)),
        )
        reply = await self._request(
            "POST", settings.url, headers=headers, body=body, timeout=settings.timeout
        )
        if isinstance(reply, Failure):
            return judge_failure(reply)
        return judge(reply, sms, accept_without_code=settings.accept_without_code)

    async def close(self) -> None:
        pass


def payload(sms: Sms, settings: Settings) -> Payload:
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


def judge(reply: Reply, sms: Sms, *, accept_without_code: bool) -> Outcome:
    """Return what an answer means (B §3.4, then the table above)."""
    answer, success = read_answer(reply.body), 200 <= reply.status < 300
    if answer is None:
        if reply.truncated and reply.body.lstrip()[:1] == b"{":
            return Unknown(Reason.PROVIDER_ERROR, f"HTTP {reply.status}: the answer is too long")
        return CODES["ok"] if success else _explained(_by_status(reply), reply, Answer(), sms)
    known = CODES.get(answer.code)
    if isinstance(known, Accepted) or (success and accept_without_code and not answer.code):
        return CODES["ok"]
    return _explained(known or _by_status(reply), reply, answer, sms)


def judge_failure(failure: Failure) -> Outcome:
    """Return what it means that there was no answer."""
    usual = SENT if failure.sent else NOT_SENT
    meant = LINES.get((failure.kind, failure.sent), usual)
    return _with(meant, failure.detail, None, None)


def _by_status(reply: Reply) -> Outcome:
    for statuses, outcome in STATUSES.items():
        if reply.status in statuses:
            return outcome
    return ANY_OTHER


def _explained(meant: Outcome, reply: Reply, answer: Answer, sms: Sms) -> Outcome:
    """Add what the receiver said, without what it may repeat of the message."""
    variables = sms.context.get("template_variables")
    values = variables.values() if isinstance(variables, dict) else ()
    sent = [sms.to, sms.text or "", *(value for value in values if isinstance(value, str))]
    said = mask_echo(f"{answer.code}: {answer.description}".strip(": "), sent) or meant.detail
    detail = f"HTTP {reply.status}: {said}" if said else f"HTTP {reply.status}"
    code = answer.provider_error_code[:_LONGEST_CODE] or None
    if code and repeats(code, sent):
        code = HIDDEN
    # A day and more is nothing that a far side could mean.
    after = timedelta(seconds=min(reply.retry_after, 86_400)) if reply.retry_after else None
    return _with(meant, detail, after, code)


def _with(meant: Outcome, detail: str, after: timedelta | None, code: str | None) -> Outcome:
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


def _header(value: str) -> str:
    """Ids may be any text; what a header cannot carry is percent-encoded."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=_HEADER_SAFE)


def _check(settings: Settings, guard: Guard) -> None:
    try:
        guard.check_url(settings.url)
    except Invalid as wrong:
        raise Invalid(wrong.message, field="settings.url") from None
    if settings.signature_key != settings.signature_key.strip():
        raise Invalid(
            "the signature key begins or ends with a blank or a line break",
            field="settings.signature_key",
        )


PROVIDER = Provider(
    kind="webhook",
    title="Webhook (Authgear format)",
    settings=Settings,
    open=Webhook,
    check=_check,
    resend=lambda settings: settings.resend_unknown,
    max_attempt_s=lambda settings: float(settings.timeout),
)
