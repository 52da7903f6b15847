"""The webhook provider: what leaves, and what it means when no usable answer comes back."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from provider_case import (
    CODE,
    NUMBER,
    TEXT,
    WEBHOOK_KEY,
    Bench,
    Sample,
    an_sms,
    kind,
    webhook_settings,
)

from textgate.domain.errors import Invalid
from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.outbound.guard import Guard
from textgate.providers.webhook import PROVIDER
from textgate.testing.raw_far_side import BROKEN_LINE, Answer, Then, answer

SAMPLE = Sample(webhook_settings, calls_http=True)

# What leaves.

V1 = (
    b'{"to":"+85298765432","body":"731904 - your Harbour Shop sign-up check\\n",'
    b'"app_id":"harbour-shop","template_name":"verification_sms.txt","language_tag":"en",'
    b'"template_variables":{"app_name":"Harbour Shop","client_id":"web-checkout","code":"731904",'
    b'"host":"auth.harbour.example","phone":"+85298765432","state":"a1b2"}}'
)
_LINK = (
    "https://auth.harbour.example/authflow/v2/reset_password?code=K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C"
)
V2 = (
    '{"to":"+4915112345678","body":"Harbour \\u0026 Söhne: neues Passwort \\u003chier\\u003e\\n'
    f'{_LINK}\\n","app_id":"harbour-shop","template_name":"forgot_password_sms.txt",'
    '"language_tag":"de","template_variables":{"app_name":"Harbour \\u0026 Söhne",'
    '"code":"K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C","has_password":true,'
    f'"host":"auth.harbour.example","link":"{_LINK}","phone":"+4915112345678",'
    f'"ui_locales":"de+en","url":"{_LINK}"}}}}'
).encode()
V3 = (
    b'{"to":"+6591230001","body":"[Test] code 000000","app_id":"","template_name":"",'
    b'"language_tag":"","template_variables":{"app_name":"Test","code":"000000"}}'
)
VECTORS = [
    (V1, 316, "312d8571caa9514e316e304e0f2f681400a7f86ee7bdb9d3f7a2502229eea27e"),
    (V2, 671, "433bd44ab5efabe04c3751c1c30c6b0b611ab8d6b2356cae6eb9d56bb647f0e7"),
    (V3, 154, "153a02a8cd27e717d2d4814a6780933bef0a6d4734de0ac08304337dda6e6d39"),
]


@pytest.mark.parametrize(("wire", "length", "signature"), VECTORS, ids=["V1", "V2", "V3"])
async def test_the_request_is_authgears_byte_for_byte(
    bench: Bench, wire: bytes, length: int, signature: str
) -> None:
    members = json.loads(wire)
    to, text = members.pop("to"), members.pop("body")
    channel = bench.open(PROVIDER, webhook_settings(f"{bench.far.url}/sms?shop=1"))
    await channel.send(an_sms(to=to, text=text, context=members))
    [request] = bench.far.requests
    assert (request.method, request.target) == ("POST", "/sms?shop=1")
    assert request.body == wire
    assert len(request.body) == length
    assert request.headers["x-authgear-body-signature"] == signature
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(length)


async def test_a_plain_message_takes_the_settings_members(bench: Bench) -> None:
    given = {"app_id": "shop", "template_name": "news.txt", "language_tag": "de-CH"}
    channel = bench.open(PROVIDER, webhook_settings(bench.far.url) | given)
    await channel.send(an_sms())
    await channel.send(an_sms(context={"language_tag": "en", "campaign": "spring"}))
    first, second = (request.json for request in bench.far.requests)
    assert first == {"to": NUMBER, "body": TEXT, **given, "template_variables": {}}
    assert second == {**first, "language_tag": "en"}


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("<a href='x'>&</a>/", rb"\u003ca href='x'\u003e\u0026\u003c/a\u003e/"),
        ("\b\f\n\r\t\0\x1f\x7f", rb"\b\f\n\r\t\u0000\u001f" + b"\x7f"),
        ('"\\', rb"\"\\"),
        ("a\u2028b\u2029", rb"a\u2028b\u2029"),
        ("ö 港 😀", "ö 港 😀".encode()),
        ("half a pair \ud83d, a pair \ud83d\ude00", "half a pair \ufffd, a pair 😀".encode()),
    ],
)
async def test_text_is_escaped_as_go_escapes_it(bench: Bench, text: str, wire: bytes) -> None:
    await bench.open(PROVIDER, webhook_settings(bench.far.url)).send(an_sms(text=text))
    assert b'"body":"' + wire + b'"' in bench.far.requests[0].body


async def test_every_attempt_names_the_message_and_repeats_its_key(bench: Bench) -> None:
    channel = bench.open(PROVIDER, webhook_settings(bench.far.url))
    await channel.send(an_sms(attempt=1))
    await channel.send(an_sms(attempt=2))
    names = ("idempotency-key", "textgate-message-id")
    told = [[request.headers[name] for name in names] for request in bench.far.requests]
    assert told == [["order-17-0", "order-17"]] * 2


async def test_an_id_cannot_add_a_header(bench: Bench) -> None:
    channel = bench.open(PROVIDER, webhook_settings(bench.far.url))
    await channel.send(an_sms(id="a\r\nX-Admin: yes", message_id="bestellung-ü"))
    [request] = bench.far.requests
    assert "x-admin" not in request.headers
    assert request.headers["idempotency-key"] == "a%0D%0AX-Admin:%20yes"
    assert request.headers["textgate-message-id"] == "bestellung-%C3%BC"


async def test_a_redirect_is_not_followed(bench: Bench) -> None:
    bench.far.script(answer(302, headers={"Location": f"{bench.far.url}/elsewhere"}))
    outcome = await bench.open(PROVIDER, webhook_settings(bench.far.url)).send(an_sms())
    assert outcome == Rejected(Reason.PROVIDER_ERROR, "HTTP 302: redirects are not followed")
    assert len(bench.far.requests) == 1


# When there is no answer, or a strange one.

LINES = {
    "a line that breaks before the answer": (BROKEN_LINE, Unknown(Reason.UNREACHABLE)),
    "a line that breaks in the answer": (
        Answer(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"code":', Then.CLOSE),
        Unknown(Reason.UNREACHABLE),
    ),
    "an answer that is not HTTP": (
        Answer(b"220 mail\r\n", Then.CLOSE),
        Unknown(Reason.UNREACHABLE),
    ),
    "an answer in broken gzip": (
        answer(200, b"\x1f\x8b\x08broken", {"Content-Encoding": "gzip"}),
        Unknown(Reason.UNREACHABLE),
    ),
    "an answer that stops half way": (
        Answer(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"code":', Then.HANG),
        Unknown(Reason.TIMEOUT),
    ),
    "an object too long to be read": (
        answer(200, b'{"x":"' + b"x" * 70_000 + b'","code":"delivery_rejected"}'),
        Unknown(Reason.PROVIDER_ERROR),
    ),
}


@pytest.mark.parametrize(("said", "wants"), LINES.values(), ids=LINES)
async def test_a_request_that_left_and_was_not_answered_is_unknown(
    bench: Bench, said: Answer, wants: Outcome
) -> None:
    assert kind(await bench.outcome_of(PROVIDER, said)) == kind(wants)


async def test_a_receiver_that_does_not_listen_is_tried_later(bench: Bench) -> None:
    channel = bench.open(PROVIDER, webhook_settings("http://127.0.0.1:1/sms"))
    assert kind(await channel.send(an_sms())) == (Deferred, Reason.UNREACHABLE)


async def test_an_address_that_is_not_allowed_is_refused_with_the_guards_words(
    bench: Bench,
) -> None:
    outcome = await bench.open(PROVIDER, webhook_settings("https://10.0.0.8/sms")).send(an_sms())
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.ADDRESS_REFUSED
    assert "10.0.0.8" in outcome.detail
    assert "TEXTGATE_ALLOW_ADDRESSES" in outcome.detail


async def test_data_and_ciphertext_never_leave_in_this_format(bench: Bench) -> None:
    channel = bench.open(PROVIDER, webhook_settings(bench.far.url))
    for sms in (an_sms(text=None, data="aGVsbG8=", port=53739), an_sms(encrypted=True)):
        assert kind(await channel.send(sms)) == (Rejected, Reason.UNSUPPORTED)
    assert bench.far.requests == []


async def test_what_the_receiver_repeats_of_the_message_is_hidden(bench: Bench) -> None:
    link = "https://shop.example/r/Qx7Lm2Zp"
    sms = an_sms(
        text=f"Harbour Shop: open {link} or type Kw3vTe.",
        context={"template_variables": {"link": link, "state": "secret-state"}},
    )
    description = (
        f"blocked 'harbour shop: OPEN {link}' (KW3VTE, secret-state) for +49 151 1234-5678: spam"
    )
    bench.far.script(answer(400, {"code": "delivery_rejected", "description": description}))
    outcome = await bench.open(PROVIDER, webhook_settings(bench.far.url)).send(sms)
    assert isinstance(outcome, Rejected)
    assert outcome.detail == "HTTP 400: delivery_rejected: blocked '…' (…, …) for …: spam"


@pytest.mark.parametrize("error_code", [CODE, NUMBER, NUMBER[1:], TEXT])
async def test_an_error_code_that_repeats_the_message_is_hidden(
    bench: Bench, error_code: str
) -> None:
    said = answer(500, {"code": "timeout", "provider_error_code": error_code})
    assert await bench.outcome_of(PROVIDER, said) == Unknown(
        Reason.TIMEOUT, "HTTP 500: timeout", code="…"
    )


async def test_a_receiver_that_repeats_a_key_is_not_quoted(bench: Bench) -> None:
    before = "the key that was replaced"
    settings = webhook_settings(bench.far.url) | {
        "previous_signature_keys": [{"key": before, "until": 1}]
    }
    description = f"signed with {before}, not with {WEBHOOK_KEY}"
    said = {"code": "timeout", "description": description, "provider_error_code": WEBHOOK_KEY}
    bench.far.script(answer(500, said))
    outcome = await bench.open(PROVIDER, settings).send(an_sms())
    told = "HTTP 500: timeout: signed with …, not with …"
    assert outcome == Unknown(Reason.TIMEOUT, told, code="…")


async def test_what_is_said_at_length_is_cut(bench: Bench) -> None:
    said = {"code": "timeout", "description": "no " * 5000, "provider_error_code": "E" * 5000}
    outcome = await bench.outcome_of(PROVIDER, answer(500, said))
    assert isinstance(outcome, Unknown)
    assert len(outcome.detail) < 256
    assert outcome.code == "E" * 64


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": 61}, "timeout"),
        ({"timeout": 1.5}, "timeout"),
        ({"url": "ftp://sms.harbour.example/"}, "url"),
        ({"url": "/sms"}, "url"),
        ({"url": "https://10.0.0.8/sms"}, "url"),
        ({"url": "https://me:secret@sms.harbour.example/"}, "url"),
        ({"signature_key": ""}, "signature_key"),
        ({"signature_key": f"{WEBHOOK_KEY}\n"}, "signature_key"),
    ],
)
def test_wrong_settings_are_refused_by_name(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(Invalid) as refused:
        PROVIDER.check(PROVIDER.parse(webhook_settings("https://sms.example/") | wrong), Guard())
    assert refused.value.field == f"settings.{name}"
    assert WEBHOOK_KEY not in refused.value.message


def test_the_time_limit_is_the_settings() -> None:
    parsed = PROVIDER.parse(webhook_settings("https://sms.example/") | {"timeout": 60})
    assert PROVIDER.max_attempt_s(parsed) == 60
    assert PROVIDER.resend(parsed, an_sms())


async def test_the_receiver_on_the_page_works(bench: Bench) -> None:
    page = (Path(__file__).parents[2] / "docs/providers/webhook.md").read_text("utf-8")
    [program] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    world: dict[str, Any] = {}
    exec(compile(program, "webhook.md", "exec"), world)
    server = world["server"]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        here = webhook_settings(f"http://127.0.0.1:{server.server_port}/")
        outcome = await bench.open(PROVIDER, here).send(an_sms())
        wrong_key = await bench.open(PROVIDER, here | {"signature_key": "x"}).send(an_sms())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert outcome == Accepted()
    assert kind(wrong_key) == (Rejected, Reason.AUTHENTICATION_FAILED)
    assert world["seen"] == {"order-17-0"}
