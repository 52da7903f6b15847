"""Authgear sends through us: its custom SMS webhook, and the older gateway's ``/send``.

Source: authgear-server, ``pkg/lib/hook`` and ``pkg/lib/infra/sms/custom``; authgear-sms-gateway
(B §2 to §4, §8.2, §8.5, §8.6). Both doors take the same payload and give the same answer.
"""

from collections.abc import Mapping, Sequence

from textgate.domain.authgear import (
    CODE_OF,
    OK,
    SIGNATURE_HEADER,
    FullAnswer,
    read_number,
    read_payload,
    spell_answer,
)
from textgate.domain.message import Submission
from textgate.domain.signing import verify_body_hex
from textgate.ingress.base import Dialect, Refusal, Reply, Request, Signature, Verdict

STATUS_OF: Mapping[str, int] = {
    OK: 200,
    "invalid_phone_number": 400,
    "rate_limited": 429,
    "unsupported_request": 400,
}
"""The HTTP status of a code (B §8.6); all others are 500. Authgear itself goes by the code."""

NOT_ADMITTED = frozenset({401, 404})
"""The secret or the address is wrong: the portal then points to the gateway's credentials."""

_HEADER = SIGNATURE_HEADER.lower()


def verify(request: Request, secrets: Sequence[str]) -> Signature:
    """Compare the signature with the raw body, before anything of it is read (B §3.2)."""
    given = request.headers.get(_HEADER)
    if not given or not secrets:
        return Signature.MISSING
    good = verify_body_hex(secrets, request.body, given)
    return Signature.GOOD if good else Signature.WRONG


def read(request: Request) -> Submission:
    """Return the message. Everything beside number and text travels with it as its context."""
    payload = read_payload(request.body)
    return Submission(
        numbers=(read_number(payload.to),),
        text=payload.body,
        skip_validation=True,  # of our own rule, which takes only numbers that are known as mobile
        context={
            "app_id": payload.app_id,
            "template_name": payload.template_name,
            "language_tag": payload.language_tag,
            "template_variables": dict(payload.template_variables),
        },
    )


def answer(said: Verdict | Refusal) -> Reply:
    """Spell what became of a request in Authgear's words."""
    if isinstance(said, Refusal):
        code = "invalid_request" if said.status < 500 else "unknown_error"
        if said.status in NOT_ADMITTED:
            code = "authentication_failed"
        return Reply(said.status, code, spell_answer(code, description=said.description))
    code = CODE_OF[said.reason] if said.reason else OK
    body = spell_answer(
        code,
        description=said.description,
        provider_error_code=said.provider_code,
        provider_name=said.channel,
        provider_type=said.provider,
    )
    return Reply(STATUS_OF.get(code, 500), code, body)


DIALECT = Dialect(
    name="authgear",
    title="Authgear Custom SMS Gateway",
    doors={
        "": "Send an SMS for an Authgear project",
        "/send": "Send an SMS for a project that appends /send to its base URL",
    },
    answer_type=FullAnswer,
    verify=verify,
    read=read,
    answer=answer,
)
