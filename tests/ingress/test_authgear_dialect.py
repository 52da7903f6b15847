"""Authgear's dialect as pure functions: what verifies, what is read, what an outcome is called."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingress_world import SECRET as KEY
from ingress_world import V1, V2, V3

from textgate.domain.authgear import CODE_OF, read_answer, read_number
from textgate.domain.errors import Invalid
from textgate.domain.outcome import Reason
from textgate.domain.phone import FIELD
from textgate.ingress.authgear import DIALECT
from textgate.ingress.base import Refusal, Request, Signature, Verdict

VECTORS = [  # B §3.2
    (KEY, V1, "312d8571caa9514e316e304e0f2f681400a7f86ee7bdb9d3f7a2502229eea27e"),
    (KEY, V2, "433bd44ab5efabe04c3751c1c30c6b0b611ab8d6b2356cae6eb9d56bb647f0e7"),
    (KEY, V3, "153a02a8cd27e717d2d4814a6780933bef0a6d4734de0ac08304337dda6e6d39"),
    (
        "secret",
        '{"to":"+85298765432","body":"hello"}',
        "067516b15a7ae9c11d6eaa0cc0e9cab6f6ada89e3fbe18ad6989fe903122ef3c",
    ),
    ("secret", "body", "dc46983557fea127b43af721467eb9b3fde2338fe3e14f51952aa8478c13d355"),
    (KEY, "", "7ac97911f8f76a7fd9512329e71488d007e9b49399c8b96b266077d5773d9613"),
]


def request(body: bytes, signature: str | None) -> Request:
    headers = {} if signature is None else {"x-authgear-body-signature": signature}
    return Request(headers, body)


@pytest.mark.parametrize(
    ("key", "body", "signature"), VECTORS, ids=["V1", "V2", "V3", "V4", "V5", "V6"]
)
def test_the_vectors_verify_and_one_bit_more_does_not(key: str, body: str, signature: str) -> None:
    raw = body.encode()
    assert DIALECT.verify(request(raw, signature), [key]) is Signature.GOOD
    assert DIALECT.verify(request(raw, signature.upper()), ["another", key]) is Signature.GOOD
    assert DIALECT.verify(request(raw, signature), ["another"]) is Signature.WRONG
    for at in range(0, 64, 9):
        flipped = f"{int(signature[at], 16) ^ 1:x}"
        wrong = signature[:at] + flipped + signature[at + 1 :]
        assert DIALECT.verify(request(raw, wrong), [key]) is Signature.WRONG
    if raw:
        bent = bytes([raw[0] ^ 1]) + raw[1:]
        assert DIALECT.verify(request(bent, signature), [key]) is Signature.WRONG


@given(st.binary(max_size=80), st.text(max_size=70))
def test_no_signature_by_chance(body: bytes, signature: str) -> None:
    found = DIALECT.verify(request(body, signature), [KEY])
    assert found is (Signature.WRONG if signature else Signature.MISSING)


def test_a_request_without_the_header_is_unsigned_whatever_else_it_says() -> None:
    assert DIALECT.verify(request(b"{}", None), [KEY]) is Signature.MISSING


STATUS = {
    "ok": 200,
    "invalid_phone_number": 400,
    "rate_limited": 429,
    "authentication_failed": 500,
    "delivery_rejected": 500,
    "unsupported_request": 400,
    "timeout": 500,
    "unknown_error": 500,
}
"""B §8.6."""
SAID = {
    Reason.INVALID_NUMBER: "invalid_phone_number",
    Reason.RATE_LIMITED: "rate_limited",
    Reason.AUTHENTICATION_FAILED: "authentication_failed",
    Reason.DELIVERY_REJECTED: "delivery_rejected",
    Reason.CANCELLED: "delivery_rejected",
    Reason.UNSUPPORTED: "unsupported_request",
    Reason.TIMEOUT: "timeout",
    Reason.EXPIRED: "timeout",
    Reason.UNREACHABLE: "unknown_error",
    Reason.ADDRESS_REFUSED: "unknown_error",
    Reason.PROVIDER_ERROR: "unknown_error",
    Reason.NO_CHANNEL: "unknown_error",
    Reason.UNKNOWN: "unknown_error",
}


@pytest.mark.parametrize("reason", [None, *Reason], ids=str)
def test_each_reason_has_its_code_and_status(reason: Reason | None) -> None:
    said = Verdict(
        reason=reason, description="Why.", provider_code="21606", channel="hk", provider="twilio"
    )
    reply = DIALECT.answer(said)
    code = SAID[reason] if reason else "ok"
    assert (reply.status, reply.code) == (STATUS[code], code)
    assert reply.body.endswith(b"}\n")
    assert json.loads(reply.body) == {
        "code": code,
        "description": "Why.",
        "provider_error_code": "21606",
        "info": {"provider_name": "hk", "provider_type": "twilio", "provider_error_code": "21606"},
    }
    heard = read_answer(reply.body)  # as Textgate itself would, on the other side
    assert heard is not None
    assert (heard.code, heard.provider_error_code) == (code, "21606")


def test_every_reason_has_a_code() -> None:
    assert set(CODE_OF) == set(Reason)


def test_what_is_empty_is_left_out_of_an_answer() -> None:
    assert DIALECT.answer(Verdict()).body == b'{"code":"ok","info":{}}\n'


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_request"),
        (401, "authentication_failed"),
        (404, "authentication_failed"),
        (405, "invalid_request"),
        (409, "invalid_request"),
        (413, "invalid_request"),
        (500, "unknown_error"),
        (503, "unknown_error"),
    ],
)
def test_a_refused_request_keeps_its_status_and_has_a_code(status: int, code: str) -> None:
    reply = DIALECT.answer(Refusal(status, "Why."))
    assert (reply.status, reply.code) == (status, code)
    assert json.loads(reply.body) == {"code": code, "description": "Why.", "info": {}}


@pytest.mark.parametrize(
    ("text", "number"),
    [  # B §9.2
        ("+85223456789", "+85223456789"),
        ("+85212345678", "+85212345678"),
        ("  +85298765432 ", "+85298765432"),
        ("+852-9876 5432", "+85298765432"),
        ("+852999", None),
        ("+8521823", None),
        ("+85222", None),
        ("+", None),
        ("+852", None),
        ("+85222a", None),
        ("", None),
        ("85298765432", None),
        ("\t+85298765432", None),
        ("+85298765432\n", None),
        ("+٨٥٢٩٨٧٦٥٤٣٢", None),
        ("+8529876543²", None),
        ("+" + "9" * 400, None),
    ],
)
def test_numbers_are_read_as_authgear_reads_them(text: str, number: str | None) -> None:
    if number is not None:
        assert read_number(text) == number
        return
    with pytest.raises(Invalid) as wrong:
        read_number(text)
    assert wrong.value.field == FIELD, "so that it is told by the code for numbers"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
MEMBERS = ["to", "body", "app_id", "template_name", "language_tag", "template_variables", "new"]


@given(st.binary(max_size=90) | st.dictionaries(st.sampled_from(MEMBERS), ANY).map(json.dumps))
def test_no_body_is_worse_than_invalid(body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    with contextlib.suppress(Invalid):
        assert DIALECT.read(Request({}, raw)).text


@pytest.mark.parametrize(
    "body", [b'{"new":' + b"[" * 200_000, b'{"template_variables":{"a":' + b"[" * 200_000]
)
def test_a_body_that_is_nested_without_end_is_invalid(body: bytes) -> None:
    with pytest.raises(Invalid, match="nested too deeply"):
        DIALECT.read(Request({}, body))


@given(st.dictionaries(st.text(max_size=9), ANY))
def test_variables_arrive_as_they_were_without_what_is_null(variables: dict[str, Any]) -> None:
    raw = json.dumps({"to": "+85298765432", "body": "x", "template_variables": variables})
    read = DIALECT.read(Request({}, raw.encode()))
    assert read.context is not None
    kept = {name: value for name, value in variables.items() if value is not None}
    assert read.context["template_variables"] == kept
