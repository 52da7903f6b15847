"""Signatures, against the vectors of the specifications and against other people's code."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from textgate.domain.signing import (
    body_hex,
    fingerprint,
    standard_webhooks,
    standard_webhooks_secret,
    timestamped_hex,
    verify_body_hex,
)

KEY = "kT9_zQ4wLm2XvB7nRc5HyP8dJf3GsA1e"
V1 = (
    r'{"to":"+85298765432","body":"731904 - your Harbour Shop sign-up check\n",'
    r'"app_id":"harbour-shop","template_name":"verification_sms.txt","language_tag":"en",'
    r'"template_variables":{"app_name":"Harbour Shop","client_id":"web-checkout",'
    r'"code":"731904","host":"auth.harbour.example","phone":"+85298765432","state":"a1b2"}}'
)
V2 = (
    r'{"to":"+4915112345678","body":"Harbour \u0026 Söhne: neues Passwort \u003chier\u003e\n'
    r"https://auth.harbour.example/authflow/v2/reset_password?code="
    r'K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C\n","app_id":"harbour-shop",'
    r'"template_name":"forgot_password_sms.txt","language_tag":"de","template_variables":'
    r'{"app_name":"Harbour \u0026 Söhne","code":"K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C",'
    r'"has_password":true,"host":"auth.harbour.example",'
    r'"link":"https://auth.harbour.example/authflow/v2/reset_password?code='
    r'K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C","phone":"+4915112345678","ui_locales":"de+en",'
    r'"url":"https://auth.harbour.example/authflow/v2/reset_password?code='
    r'K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C"}}'
)
V3 = (
    r'{"to":"+6591230001","body":"[Test] code 000000","app_id":"","template_name":"",'
    r'"language_tag":"","template_variables":{"app_name":"Test","code":"000000"}}'
)
VECTORS = [  # B §3.2
    (KEY, V1, 316, "312d8571caa9514e316e304e0f2f681400a7f86ee7bdb9d3f7a2502229eea27e"),
    (KEY, V2, 671, "433bd44ab5efabe04c3751c1c30c6b0b611ab8d6b2356cae6eb9d56bb647f0e7"),
    (KEY, V3, 154, "153a02a8cd27e717d2d4814a6780933bef0a6d4734de0ac08304337dda6e6d39"),
    (
        "secret",
        '{"to":"+85298765432","body":"hello"}',
        36,
        "067516b15a7ae9c11d6eaa0cc0e9cab6f6ada89e3fbe18ad6989fe903122ef3c",
    ),
    ("secret", "body", 4, "dc46983557fea127b43af721467eb9b3fde2338fe3e14f51952aa8478c13d355"),
    (KEY, "", 0, "7ac97911f8f76a7fd9512329e71488d007e9b49399c8b96b266077d5773d9613"),
]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
secrets = texts.filter(bool)


@pytest.mark.parametrize(
    ("key", "text", "size", "wants"), VECTORS, ids=["V1", "V2", "V3", "V4", "V5", "V6"]
)
def test_an_authgear_body_is_signed_as_in_the_vectors(
    key: str, text: str, size: int, wants: str
) -> None:
    body = text.encode()
    assert len(body) == size
    assert body_hex(key, body) == wants
    assert verify_body_hex([key], body, wants)


@pytest.mark.parametrize(("key", "text", "size", "wants"), VECTORS[:3])
def test_one_flipped_bit_breaks_an_authgear_signature(
    key: str, text: str, size: int, wants: str
) -> None:
    body = bytearray(text.encode())
    body[size // 2] ^= 1
    assert not verify_body_hex([key], bytes(body), wants)
    assert not verify_body_hex(
        [key], text.encode(), wants[:-1] + format(int(wants[-1], 16) ^ 1, "x")
    )


def test_an_authgear_signature_counts_in_capitals_and_with_blanks_around() -> None:
    signature = VECTORS[4][3]
    assert verify_body_hex(["secret"], b"body", f" {signature.upper()} ")


def test_any_active_secret_may_have_signed() -> None:
    signature = body_hex("old", b"body")
    assert verify_body_hex(["new", "old"], b"body", signature)
    assert not verify_body_hex(["new"], b"body", signature)
    assert not verify_body_hex([], b"body", signature)


@given(st.text(max_size=80))
def test_nonsense_is_no_signature_and_no_error(nonsense: str) -> None:
    real = body_hex("secret", b"body")
    if nonsense.strip().lower() != real:
        assert not verify_body_hex(["secret"], b"body", nonsense)


def test_a_call_of_a_webhook_is_signed_as_in_the_vector() -> None:
    """A §4.5."""
    assert (
        timestamped_hex("s3cr3tK1", b'{"event":"system:ping"}', 1_700_000_000)
        == "225cb4a9bd528150ad922fdc3860c696125cb0f33e20ded25856510813f00a45"
    )


@given(secrets, st.binary(max_size=60), st.integers(0, 2**34))
def test_the_timestamped_signature_is_an_hmac_over_body_then_seconds(
    secret: str, body: bytes, at: int
) -> None:
    wants = hmac.new(secret.encode(), body + f"{at}".encode(), hashlib.sha256).hexdigest()
    assert timestamped_hex(secret, body, at) == wants


@given(secrets, st.text(st.sampled_from("abcXYZ019-_"), min_size=1, max_size=30), texts)
@settings(max_examples=60)
def test_the_standard_webhooks_library_accepts_what_we_sign(
    secret: str, event_id: str, text: str
) -> None:
    now, body = int(time.time()), json.dumps({"text": text}).encode()
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": standard_webhooks(secret, event_id, now, body),
    }
    library = Webhook(standard_webhooks_secret(secret))
    assert library.verify(body, headers) == {"text": text}
    with pytest.raises(WebhookVerificationError):
        library.verify(body + b" ", headers)


def test_a_receiver_with_either_secret_accepts_a_call_during_a_rotation() -> None:
    now, body = int(time.time()), b"{}"
    both = " ".join(standard_webhooks(secret, "id", now, body) for secret in ("new", "old"))
    headers = {"webhook-id": "id", "webhook-timestamp": str(now), "webhook-signature": both}
    for secret in ("new", "old"):
        Webhook(standard_webhooks_secret(secret)).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(standard_webhooks_secret("other")).verify(body, headers)


def test_the_standard_secret_is_the_base64_of_the_secrets_bytes() -> None:
    coded = standard_webhooks_secret("s3cr3t")
    assert coded.startswith("whsec_")
    assert base64.b64decode(coded.removeprefix("whsec_")) == b"s3cr3t"


@given(st.binary(max_size=60))
def test_a_fingerprint_tells_a_content_from_itself_with_one_bit_flipped_or_a_byte_more(
    content: bytes,
) -> None:
    others = [content + b"\0", b"\0" + content]
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        others.append(bytes(flipped))
    assert fingerprint(bytes(bytearray(content))) == fingerprint(content)
    assert fingerprint(content) not in {fingerprint(other) for other in others}
