"""One signed POST for each message, in the format of Authgear's custom SMS webhook.

Source: authgear-server, ``pkg/lib/infra/sms/custom`` and ``pkg/lib/hook`` (B §2 to §4). Any
endpoint written for Authgear can be the far side; docs/providers/webhook.md shows how.
"""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta

from textgate.domain.authgear import SIGNATURE_HEADER, Answer, Payload, encode, read_answer
from textgate.domain.errors import Invalid
from textgate.domain.outcome import Accepted, Outcome, Reason, Rejected, Unknown
from textgate.domain.redaction import Redaction
from textgate.domain.signing import body_hex
from textgate.domain.times import Milliseconds
from textgate.outbound.guard import Guard
from textgate.outbound.http import Failure, Reply
from textgate.providers.answers import CODES, by_status, explained, judge_failure, payload
from textgate.providers.base import Provider, Sms, Tools, setting

PAYLOAD_SAMPLE = Payload(
    to="+447700900123",
    body="731904 is your code for the Harbour Shop\n",
    app_id="harbour-shop",
    template_name="verification_sms.txt",
    language_tag="en",
    template_variables={
        "app_name": "Harbour Shop",
        "client_id": "web-checkout",
        "code": "731904",
        "host": "auth.harbour.example",
        "phone": "+447700900123",
        "state": "a1b2",
    },
)
"""What a receiver gets, for people; the number is one that nobody has."""

_HEADER_SAFE = "".join(map(chr, range(0x21, 0x7F)))


class PreviousKey(msgspec.Struct, frozen=True):
    """A key that was replaced, while receivers may still know it; it signs nothing any more."""

    key: str
    until: Milliseconds

    def __repr__(self) -> str:
        return f"PreviousKey(until={self.until})"


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
    previous_signature_keys: tuple[PreviousKey, ...] = setting(
        "Previous secret keys", default=(), secret=True, hidden=True
    )


class Webhook:
    """The channel: renders, signs, posts, and reads the answer."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._settings, self._request = settings, tools.http.request
        keys = (settings.signature_key, *(old.key for old in settings.previous_signature_keys))
        self._hide = Redaction((), keys).without_secrets

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
        return self._judge(reply, sms)

    async def close(self) -> None:
        pass

    def _judge(self, reply: Reply, sms: Sms) -> Outcome:
        """Return what an answer means (B §3.4, then the tables of ``answers``)."""
        answer, success = read_answer(reply.body), 200 <= reply.status < 300
        if answer is None:
            if reply.truncated and reply.body.lstrip()[:1] == b"{":
                told = f"HTTP {reply.status}: the answer is too long"
                return Unknown(Reason.PROVIDER_ERROR, told)
            meant = CODES["ok"] if success else by_status(reply.status)
            return self._explained(meant, reply, Answer(), sms)
        known = CODES.get(answer.code)
        if success and self._settings.accept_without_code and not answer.code:
            known = CODES["ok"]
        return self._explained(known or by_status(reply.status), reply, answer, sms)

    def _explained(self, meant: Outcome, reply: Reply, answer: Answer, sms: Sms) -> Outcome:
        if isinstance(meant, Accepted):
            return meant
        heard, after = f"HTTP {reply.status}", reply.retry_after
        return explained(meant, answer, sms, heard=heard, retry_after=after, hide=self._hide)


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
    resend=lambda settings, sms: settings.resend_unknown,
    max_attempt_s=lambda settings: float(settings.timeout),
)
