"""The webhook provider: what each answer means (B §3.4 and §4.2)."""

import gzip
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_case import Bench, SendCase, an_sms, kind, webhook_settings

from textgate.domain.authgear import read_answer
from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.providers.answers import ANY_OTHER, CODES, STATUSES
from textgate.providers.webhook import PROVIDER
from textgate.testing.raw_far_side import answer

PAGE = Path(__file__).parents[2] / "docs/providers/webhook.md"


UNREADABLE = {
    "empty": b"",
    "text": b"OK",
    "HTML": b"<html>OK</html>",
    "XML": b"<?xml version='1.0'?><code>ok</code>",
    "a JSON string": b'"ok"',
    "a JSON number": b"1",
    "a JSON truth": b"true",
    "a JSON array": b"[]",
    "a code that is a number": b'{"code":1}',
    "a description that is a number": b'{"code":"delivery_rejected","description":1}',
    "info that is a text": b'{"code":"ok","info":"x"}',
    "info that is a list": b'{"code":"delivery_rejected","info":[]}',
    "a byte-order mark": b'\xef\xbb\xbf{"code":"delivery_rejected"}',
    "trailing garbage": b'{"code":"delivery_rejected"} x',
    "two objects": b'{"code":"delivery_rejected"}{}',
    "half an object": b'{"code":"delivery_rejected"',
    "a constant of JavaScript": b'{"code":"delivery_rejected","x":NaN}',
    "brackets without end": b"[" * 60_000,
    "a page too long to be read": b"<html>" + b"x" * 70_000,
}
NO_CODE = {
    "an empty object": b"{}",
    "another object": b'{"success":true}',
    "an empty code": b'{"code":""}',
    "code null": b'{"code":null}',
    "null": b"null",
}
OTHER_CODE = {
    "unknown_error": b'{"code":"unknown_error"}',
    "unknown_response": b'{"code":"unknown_response"}',
    "_unknown_response_format": b'{"code":"_unknown_response_format"}',
    "a code of nobody": b'{"code":"on_holiday"}',
    "a code in capitals": b'{"code":"OK"}',
}
OK = {
    "ok": b'{"code":"ok"}',
    "ok with more": b'{"code":"ok","description":null,"info":{"provider_name":"x"},"id":7}',
    "the key in capitals": b'{"CODE":"ok"}',
    "the key's last spelling": b'{"code":"delivery_rejected","Code":"rate_limited","CODE":"ok"}',
    "a repeated key": b'{"code":"delivery_rejected","code":"ok"}',
    "null is no repetition": b'{"code":"ok","code":null}',
    "white space": b' \r\n\t{"code" : "ok"}\n',
    "bytes that are no UTF-8": b'{"code":"ok","note":"\xff"}',
}
BY_STATUS = {
    302: Rejected(Reason.PROVIDER_ERROR),
    400: Rejected(Reason.PROVIDER_ERROR),
    500: Unknown(Reason.PROVIDER_ERROR),
}


@pytest.mark.parametrize("status", [200, 201, 302, 400, 500])
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
async def test_an_answer_that_is_no_object_is_judged_by_its_status(
    bench: Bench, body: bytes, status: int
) -> None:
    wanted = BY_STATUS.get(status, Accepted())
    assert kind(await bench.outcome_of(PROVIDER, answer(status, body))) == kind(wanted)


async def test_no_content_is_success(bench: Bench) -> None:
    assert await bench.outcome_of(PROVIDER, answer(204)) == Accepted()


@pytest.mark.parametrize("status", [200, 302, 400, 500])
@pytest.mark.parametrize("body", OK.values(), ids=OK)
async def test_ok_is_success_whatever_the_status(bench: Bench, body: bytes, status: int) -> None:
    assert await bench.outcome_of(PROVIDER, answer(status, body)) == Accepted()


@pytest.mark.parametrize("status", [200, 302, 400, 500])
@pytest.mark.parametrize("body", (NO_CODE | OTHER_CODE).values(), ids=NO_CODE | OTHER_CODE)
async def test_an_object_that_says_nothing_usable_is_never_success(
    bench: Bench, body: bytes, status: int
) -> None:
    wanted = BY_STATUS.get(status, ANY_OTHER)
    assert kind(await bench.outcome_of(PROVIDER, answer(status, body))) == kind(wanted)


@pytest.mark.parametrize("body", NO_CODE.values(), ids=NO_CODE)
async def test_an_object_without_a_code_can_be_accepted_by_setting(
    bench: Bench, body: bytes
) -> None:
    assert (
        await bench.outcome_of(PROVIDER, answer(200, body), accept_without_code=True) == Accepted()
    )


@pytest.mark.parametrize("body", OTHER_CODE.values(), ids=OTHER_CODE)
async def test_that_setting_accepts_no_other_code_and_no_other_status(
    bench: Bench, body: bytes
) -> None:
    outcome = await bench.outcome_of(PROVIDER, answer(200, body), accept_without_code=True)
    assert kind(outcome) == kind(ANY_OTHER)
    channel = bench.open(PROVIDER, webhook_settings(bench.far.url) | {"accept_without_code": True})
    bench.far.script(answer(500, {}))
    assert kind(await channel.send(an_sms())) == kind(ANY_OTHER)


PLACES = {
    "nowhere": ({}, None),
    "in info": ({"info": {"provider_error_code": "E-21"}}, "E-21"),
    "at the top": ({"provider_error_code": "E-21"}, "E-21"),
    "at both": ({"provider_error_code": "E-1", "info": {"provider_error_code": "E-21"}}, "E-21"),
    "a number in info": ({"info": {"provider_error_code": 21.50}}, "21.5"),
    "a number at the top": ({"provider_error_code": 21}, "21"),
    "a number in info, a text at the top": (
        {"provider_error_code": "E-21", "info": {"provider_error_code": 7}},
        "E-21",
    ),
    "neither text nor number": ({"provider_error_code": True, "info": {}}, None),
}


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("place", ["in info", "at the top"])
@pytest.mark.parametrize("code", [code for code in CODES if code != "ok"])
async def test_every_code_means_the_same_whatever_the_status(
    bench: Bench, code: str, place: str, status: int
) -> None:
    more, error_code = PLACES[place]
    said = {"code": code, "description": "Sender is not registered.", **more}
    outcome = await bench.outcome_of(PROVIDER, answer(status, said))
    assert kind(outcome) == kind(CODES[code])
    assert not isinstance(outcome, Accepted)
    assert outcome.detail == f"HTTP {status}: {code}: Sender is not registered."
    assert outcome.code == error_code


@pytest.mark.parametrize(("more", "error_code"), PLACES.values(), ids=PLACES)
async def test_the_providers_error_code_is_found_in_both_places(
    bench: Bench, more: dict[str, Any], error_code: str | None
) -> None:
    said = answer(500, {"code": "delivery_rejected", **more})
    outcome = await bench.outcome_of(PROVIDER, said)
    wanted = Rejected(Reason.DELIVERY_REJECTED, "HTTP 500: delivery_rejected", error_code)
    assert outcome == wanted


CASES = [  # with the words that people read
    SendCase(
        "a compressed answer is read",
        answer(200, gzip.compress(b'{"code":"rate_limited"}'), {"Content-Encoding": "gzip"}),
        Deferred(Reason.RATE_LIMITED, "HTTP 200: rate_limited"),
    ),
    SendCase(
        "a throttled message waits as long as the receiver asks",
        answer(429, {"code": "rate_limited"}, {"Retry-After": "30"}),
        Deferred(Reason.RATE_LIMITED, "HTTP 429: rate_limited", after=timedelta(seconds=30)),
    ),
    SendCase(
        "too many requests without a word of JSON",
        answer(429, "slow down"),
        Deferred(Reason.RATE_LIMITED, "HTTP 429"),
    ),
    SendCase(
        "a gateway before the receiver that has no one behind it",
        answer(503, "<html>"),
        Deferred(Reason.UNREACHABLE, "HTTP 503"),
    ),
    SendCase("a bad gateway", answer(502), Unknown(Reason.PROVIDER_ERROR, "HTTP 502")),
    SendCase("a gateway's time limit", answer(504), Unknown(Reason.TIMEOUT, "HTTP 504")),
    SendCase("a wrong path", answer(404, "<html>"), Rejected(Reason.PROVIDER_ERROR, "HTTP 404")),
    SendCase("a closed door", answer(401), Rejected(Reason.AUTHENTICATION_FAILED, "HTTP 401")),
    SendCase("a status of nobody", answer(999), Unknown(Reason.PROVIDER_ERROR, "HTTP 999")),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_webhook(bench: Bench, case: SendCase) -> None:
    assert await bench.outcome_of(PROVIDER, case.answer) == case.wants


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_answer_breaks_the_reader(body: bytes) -> None:
    found = read_answer(body)
    if found is not None:
        found.code.encode(), found.description.encode(), found.provider_error_code.encode()


# The page and the table are one.


def rows(pattern: str) -> list[tuple[str, ...]]:
    return [tuple(found) for found in re.findall(pattern, PAGE.read_text("utf-8"), re.MULTILINE)]


def told(outcome: Outcome) -> tuple[str, str]:
    return type(outcome).__name__, "" if isinstance(outcome, Accepted) else outcome.reason


def test_the_page_shows_what_every_code_means() -> None:
    shown = {
        code: (was, why)
        for code, was, why in rows(r"^\| `(\w+)` \| ([A-Z]\w+) \|\s*`?(\w*)`?\s*\|")
    }
    assert shown == {code: told(outcome) for code, outcome in CODES.items()}


def test_the_page_shows_what_every_status_means() -> None:
    shown = {}
    for first, last, was, why in rows(r"^\| (\d{3})(?:–(\d{3}))? \| (\w+) \| `(\w+)` \|"):
        shown[range(int(first), int(last or first) + 1)] = (was, why)
    assert shown == {statuses: told(outcome) for statuses, outcome in STATUSES.items()}
