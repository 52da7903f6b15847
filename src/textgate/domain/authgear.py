"""Authgear's wire format for one SMS: the payload, byte for byte, and how an answer is read.

Source: authgear-server, ``pkg/lib/infra/sms/custom`` (B §2.4, §3.4, §4.1).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import phonenumbers

from textgate.domain.errors import Invalid
from textgate.domain.outcome import Reason
from textgate.domain.phone import FIELD

SIGNATURE_HEADER = "X-Authgear-Body-Signature"

OK = "ok"
CODE_OF: Mapping[Reason, str] = {
    Reason.INVALID_NUMBER: "invalid_phone_number",
    Reason.RATE_LIMITED: "rate_limited",
    Reason.AUTHENTICATION_FAILED: "authentication_failed",
    Reason.DELIVERY_REJECTED: "delivery_rejected",
    Reason.UNSUPPORTED: "unsupported_request",
    Reason.TIMEOUT: "timeout",
    Reason.UNREACHABLE: "unknown_error",
    Reason.ADDRESS_REFUSED: "unknown_error",
    Reason.PROVIDER_ERROR: "unknown_error",
    Reason.EXPIRED: "timeout",
    Reason.CANCELLED: "delivery_rejected",
    Reason.NO_CHANNEL: "unknown_error",
    Reason.UNKNOWN: "unknown_error",
}
"""The code that Authgear knows for why a message did not go out (B §4.2)."""

_encode = msgspec.json.Encoder().encode
# Go escapes these five so that JSON may stand inside HTML and JavaScript. Outside of strings none
# of them occurs in JSON, and in UTF-8 none of them begins inside another character.
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


class Payload(msgspec.Struct, frozen=True, gc=False):
    """What Authgear sends; the order of the members is that on the wire."""

    to: str
    body: str
    app_id: str
    template_name: str
    language_tag: str
    template_variables: Mapping[str, Any]


def encode(payload: Payload) -> bytes:
    """Return the payload exactly as Authgear would write it, so that the same bytes are signed."""
    try:
        data = _encode(payload)
    except UnicodeEncodeError:  # half a surrogate pair: Go writes U+FFFD
        builtins = msgspec.to_builtins(payload)
        data = _whole(json.dumps(builtins, ensure_ascii=False, separators=(",", ":"))).encode()
    for raw, escaped in _ESCAPES:
        data = data.replace(raw, escaped)
    return data


class _Received(msgspec.Struct):
    """The payload as it may come: until September 2024 it had the first two members only."""

    to: str
    body: str
    app_id: str | None = None
    template_name: str | None = None
    language_tag: str | None = None
    template_variables: dict[str, Any] | None = None


_read_received = msgspec.json.Decoder(_Received).decode


def read_payload(body: bytes) -> Payload:
    """Return a payload with all that a receiver must tolerate (B §2.6).

    Members that nobody knows are dropped, those that are absent or null are empty; variables of
    any name and type are kept unless they are null. Raises ``Invalid``, naming the member.
    """
    try:
        found = _read_received(body)
    except (ValueError, RecursionError) as wrong:
        told = str(wrong) if isinstance(wrong, ValueError) else "it is nested too deeply"
        raise Invalid(f"this is no SMS as Authgear sends it: {told}") from None
    if not found.body:
        raise Invalid("body is empty: there is nothing to send", field="body")
    variables = found.template_variables or {}
    return Payload(
        to=found.to,
        body=found.body,
        app_id=found.app_id or "",
        template_name=found.template_name or "",
        language_tag=found.language_tag or "",
        template_variables={name: v for name, v in variables.items() if v is not None},
    )


_NUMBER_FORM = re.compile(r" *\+[0-9 \-]*")


def read_number(text: str) -> str:
    """Return a number as E.164 (B §9.2): with ``+``; blanks and dashes do not count.

    It must be possible, by country and length, and not known to be in use: Authgear's projects
    check no more unless told to, and a new range is unknown for a while. Raises ``Invalid``.
    """
    if not _NUMBER_FORM.fullmatch(text):
        raise Invalid("the number is not in the form +85298765432", field=FIELD)
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise Invalid("the number is not in the form +85298765432", field=FIELD) from None
    if not phonenumbers.is_possible_number(number):
        raise Invalid("no number of that country has this length", field=FIELD)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object that a receiver answered with; a member that is absent or null is empty."""

    code: str = ""
    description: str = ""
    provider_error_code: str = ""


# What most receivers say, spared the reading.
_USUAL = {text: Answer(code="ok") for text in (b'{"code":"ok"}', b'{"code": "ok"}')}


def read_answer(body: bytes) -> Answer | None:
    """Return the answer, or None if it is none by the rules of Authgear's decoder (B §3.4).

    Keys count whatever their case, the last of equal ones wins; ``null`` is an empty object. A
    byte-order mark, trailing garbage, another top-level type, a ``code`` or ``description`` that
    is no string and an ``info`` that is no object make it none.
    """
    if body in _USUAL:
        return _USUAL[body]
    try:
        found = _decoder.decode(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if found is None:
        return Answer()
    if not isinstance(found, _Object):
        return None
    members = _Members()
    for key, value in found:
        if value is not None and not members.take(key.casefold(), value):
            return None
    return Answer(
        code=_whole(members.code),
        description=_whole(members.description),
        provider_error_code=_whole(members.provider_error_code()),
    )


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, in order: keys may repeat in different cases."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_refuse
)


class _Members:
    """The members that matter, as they come."""

    __slots__ = ("code", "description", "info", "top")

    def __init__(self) -> None:
        self.code = self.description = ""
        self.info: dict[str, Any] = {}
        self.top: Any = None

    def take(self, name: str, value: Any) -> bool:
        """Remember a member; False if its type makes the whole answer unreadable."""
        if name == "code" or name == "description":
            if type(value) is not str:
                return False
            setattr(self, name, value)
        elif name == "info":
            if not isinstance(value, _Object):
                return False
            self.info = dict(value)
        elif name == "provider_error_code":
            self.top = value
        return True

    def provider_error_code(self) -> str:
        """Inside ``info`` since October 2025, at the top before; a string before a number."""
        places = (self.info.get("provider_error_code"), self.top)
        for kind in (str, _Number):
            for value in places:
                if type(value) is kind and value:
                    return str(value)
        return ""


class AnswerInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who carried the message, as Authgear has read it since October 2025."""

    provider_name: str = ""
    provider_type: str = ""
    provider_error_code: str = ""


class FullAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer as a receiver gives it, for callers of both generations; what is empty is left out.

    Of the two places of ``provider_error_code``, the one at the top is the older (B §4.1).
    """

    code: str
    description: str = ""
    provider_error_code: str = ""
    info: AnswerInfo = AnswerInfo()


def spell_answer(
    code: str,
    *,
    description: str = "",
    provider_error_code: str = "",
    provider_name: str = "",
    provider_type: str = "",
) -> bytes:
    """Return an answer as it goes over the line, with the line feed that the reference ends with.

    ``provider_name`` is one of ours, such as a channel's; ``provider_type`` is its kind.
    """
    answer = FullAnswer(
        code=code,
        description=description,
        provider_error_code=provider_error_code,
        info=AnswerInfo(provider_name, provider_type, provider_error_code),
    )
    return _encode(answer) + b"\n"


def _whole(text: str) -> str:
    """Return ``text`` with U+FFFD for each half of a surrogate pair: it can be stored then."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
