"""The script provider: what the end of a run means, and what its record shows."""

import base64
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_case import CODE, NUMBER, TEXT, an_sms, kind

from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.domain.redaction import Redaction
from textgate.outbound.reply import FailureKind
from textgate.outbound.script.run import Ended, EndReason, Fetch, Line, Returned, Run, Threw
from textgate.providers.answers import CODES
from textgate.providers.script_run import judge

ACCEPTED = Accepted()
BROKEN = Rejected(Reason.PROVIDER_ERROR)
DOUBT = Unknown(Reason.PROVIDER_ERROR)
SECRET = "s3cret/of+the=channel"
MAX_TRACE = 16 * 1024


def fetch(status: int | None = None, *, sent: bool = True, **more: Any) -> Fetch:
    return Fetch(
        **{
            "method": "POST",
            "url": "https://api.example.com/send",
            "status": status,
            "detail": None if status else "no answer",
            "sent": sent,
            "elapsed_ms": 1.5,
            **more,
        }
    )


UNSENT = fetch(sent=False)
LOST = fetch()
REFUSED = fetch(sent=False, failure=FailureKind.REFUSED)
SLOW = fetch(failure=FailureKind.TIMEOUT)


def run(end: Returned | Threw | Ended, *fetches: Fetch, **more: Any) -> Run:
    return Run(
        **{
            "end": end,
            "console": (),
            "console_cut": False,
            "fetches": fetches,
            "elapsed_ms": 2.0,
            **more,
        }
    )


def outcome(end: Returned | Threw | Ended, *fetches: Fetch, **more: Any) -> Outcome:
    return judge(run(end, *fetches, **more), an_sms(), Redaction((), [SECRET]))


def returned(value: Any, *fetches: Fetch) -> Outcome:
    raw = None if value is None else json.dumps(value).encode()
    return outcome(Returned(raw), *fetches)


# B §5.9, row by row.

SUCCESS: list[Any] = [
    None,
    0,
    1.5,
    True,
    False,
    "",
    "x",
    '{"code":"rate_limited"}',
    [],
    [{"code": "rate_limited"}],
    {"code": 1},
    {"code": ["rate_limited"]},
    {"code": "rate_limited", "description": 1},
    {"code": "rate_limited", "info": "x"},
    {"code": "rate_limited", "info": []},
    {"code": "ok"},
    {"CODE": "ok"},
    {"code": "ok", "description": "d", "info": {"provider_name": "x"}, "other": [1]},
]


@pytest.mark.parametrize("value", SUCCESS, ids=json.dumps)
def test_it_is_success(value: Any) -> None:
    assert kind(returned(value)) == kind(ACCEPTED)


def test_null_spelt_out_is_success_too() -> None:
    assert kind(outcome(Returned(b"null"))) == kind(ACCEPTED)


@pytest.mark.parametrize("code", [code for code in CODES if code != "ok"])
def test_a_code_means_what_it_means_of_a_webhook(code: str) -> None:
    said = returned({"code": code, "description": "why", "provider_error_code": 21606})
    assert kind(said) == kind(CODES[code])
    assert (said.detail, said.code) == (f"the script returned: {code}: why", "21606")  # type: ignore[union-attr]


NO_KIND = [
    {},
    {"success": True},
    {"code": ""},
    {"code": None},
    {"code": "unknown_error"},
    {"code": "OK"},
]


@pytest.mark.parametrize("value", NO_KIND, ids=json.dumps)
def test_an_object_that_does_not_say_yes_is_a_failure(value: Any) -> None:
    assert kind(returned(value)) == kind(BROKEN)
    assert kind(returned(value, fetch(200))) == kind(DOUBT)
    assert kind(returned(value, fetch(429))) == kind(Deferred(Reason.RATE_LIMITED))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"provider_error_code": "30005"}, "30005"),
        ({"info": {"provider_error_code": "30005"}}, "30005"),
        ({"info": {"provider_error_code": 30005}, "provider_error_code": ""}, "30005"),
        ({"provider_error_code": {"n": 1}}, None),
        ({"provider_error_code": CODE}, "…"),
        ({"provider_error_code": SECRET}, "…"),
    ],
)
def test_the_providers_own_code_is_found_in_both_places(value: Any, code: str | None) -> None:
    said = returned({"code": "delivery_rejected", **value})
    assert isinstance(said, Rejected)
    assert said.code == code


# Failures that do not say their kind.

THREW = Threw("Error: boom", 3, 9)
FETCHES: dict[str, tuple[tuple[Fetch, ...], Outcome]] = {
    "no request": ((), BROKEN),
    "a request that did not get out": ((UNSENT,), Deferred(Reason.UNREACHABLE)),
    "two that did not": ((UNSENT, UNSENT), Deferred(Reason.UNREACHABLE)),
    "an address that may not be called": ((REFUSED,), Rejected(Reason.ADDRESS_REFUSED)),
    "no answer in time": ((SLOW,), Unknown(Reason.TIMEOUT)),
    "no answer": ((LOST,), Unknown(Reason.UNREACHABLE)),
    "no answer after a refusal": ((fetch(400), LOST), Unknown(Reason.UNREACHABLE)),
    "no answer before a refusal": ((LOST, fetch(400)), Unknown(Reason.UNREACHABLE)),
    "an answer": ((fetch(200),), DOUBT),
    "an answer, then a refusal": ((fetch(204), fetch(401)), DOUBT),
    "a refusal": ((fetch(400),), BROKEN),
    "a redirect": ((fetch(302),), BROKEN),
    "a closed door": ((fetch(401),), Rejected(Reason.AUTHENTICATION_FAILED)),
    "the last refusal": ((fetch(401), fetch(429)), Deferred(Reason.RATE_LIMITED)),
    "a refusal after one that did not get out": ((UNSENT, fetch(404)), BROKEN),
    "a refusal before one that did not": ((fetch(503), UNSENT), Deferred(Reason.UNREACHABLE)),
    "a breakdown": ((fetch(500),), DOUBT),
    "a gateway's timeout": ((fetch(504),), Unknown(Reason.TIMEOUT)),
}


@pytest.mark.parametrize(("fetches", "wants"), FETCHES.values(), ids=FETCHES)
def test_an_error_is_judged_by_the_requests(fetches: tuple[Fetch, ...], wants: Outcome) -> None:
    said = outcome(THREW, *fetches)
    assert kind(said) == kind(wants)
    assert said.detail == "the script threw in line 3: Error: boom"


def test_an_error_without_a_place_names_none() -> None:
    assert (
        outcome(Threw("out of luck", None, None)).detail == "the script threw an error: out of luck"
    )


@pytest.mark.parametrize("end", [THREW, Returned(b'{"code":"rate_limited"}')])
def test_the_last_answer_says_how_long_to_wait(end: Threw | Returned) -> None:
    said = outcome(end, fetch(429, retry_after=7), fetch(429, retry_after=30), UNSENT)
    assert isinstance(said, Deferred)
    assert said.after == timedelta(seconds=30)


ENDS = {
    EndReason.TIMEOUT: (Rejected(Reason.TIMEOUT), Unknown(Reason.TIMEOUT)),
    EndReason.MEMORY: (BROKEN, DOUBT),
    EndReason.CRASH: (BROKEN, DOUBT),
    EndReason.NOT_LOADED: (BROKEN, BROKEN),
    EndReason.UNAVAILABLE: (Deferred(Reason.UNREACHABLE), Deferred(Reason.UNREACHABLE)),
}


@pytest.mark.parametrize("reason", EndReason)
def test_a_run_that_was_ended_is_in_doubt_once_something_went_out(reason: EndReason) -> None:
    unsent, sent = ENDS[reason]
    end = Ended(reason, "because")
    for fetches in ((), (UNSENT,)):
        assert kind(outcome(end, *fetches)) == kind(unsent)
    for fetches in ((LOST,), (fetch(200),), (fetch(400), UNSENT)):
        assert kind(outcome(end, *fetches)) == kind(sent)
    assert outcome(end).detail == "because"


# The record.


def trace(end: Returned | Threw | Ended, *fetches: Fetch, **more: Any) -> dict[str, Any]:
    found = outcome(end, *fetches, **more).trace
    assert found is not None
    script: dict[str, Any] = found["script"]
    return script


def test_the_record_tells_what_happened() -> None:
    console = (Line("log", "hello"), Line("error", "oh\nno"))
    assert trace(Returned(b'{"code":"ok"}'), fetch(201), console=console) == {
        "returned": '{"code":"ok"}',
        "elapsed_ms": 2.0,
        "fetches": [
            {
                "method": "POST",
                "url": "https://api.example.com/send",
                "status": 201,
                "ms": 1.5,
                "detail": None,
            }
        ],
        "fetches_cut": False,
        "console": [{"level": "log", "text": "hello"}, {"level": "error", "text": "oh\nno"}],
        "console_cut": False,
    }
    assert trace(Returned(None))["returned"] is None
    assert trace(THREW)["threw"] == {"message": "Error: boom", "line": 3, "column": 9}
    ended = trace(Ended(EndReason.TIMEOUT, "took longer than 2 s"))
    assert ended["ended"] == {"reason": "timeout", "detail": "took longer than 2 s"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "https://u:p@api.example.com:8443/a?to=1&key=2#f",
            "https://api.example.com:8443/a?to=…&key=…",
        ),
        ("https://api.example.com/2010-04-01/send", "https://api.example.com/2010-04-01/send"),
        (f"https://api.example.com/{NUMBER}/send", "https://api.example.com/…/send"),
        ("https://api.example.com/?%s", "https://api.example.com/?%s=…"),
        ("https://[bad", "…"),
    ],
)
def test_a_request_is_shown_without_what_it_carries(url: str, shown: str) -> None:
    [request] = trace(Returned(None), fetch(200, url=url))["fetches"]
    assert request["url"] == shown


def test_neither_message_nor_secret_is_in_the_record() -> None:
    basic = base64.b64encode(f"me:{SECRET}".encode()).decode()
    leaks = f"{NUMBER} {TEXT} {SECRET} Basic {basic}"
    one = fetch(200, url=f"https://x.example.com/{SECRET}", detail=leaks, method=CODE)
    ends = (
        Returned(json.dumps({"code": "delivery_rejected", "description": leaks}).encode()),
        Threw(leaks, 1, 1),
        Ended(EndReason.CRASH, leaks),
    )
    for end in ends:
        told = repr(outcome(end, one, console=(Line("log", leaks),)))
        for private in (NUMBER[1:], CODE, "Harbour", SECRET, basic):
            assert private not in told, type(end)


def test_the_record_is_bounded_and_says_what_is_missing() -> None:
    line, url = 'ü"\n' * 3_000, "https://x.example.com/" + "é" * 3_000
    found = trace(
        Returned(json.dumps("\\" * 9_000).encode()),
        *[fetch(200, url=url, detail=line)] * 100,
        console=(Line("log", line),) * 1_000,
    )
    assert len(json.dumps({"script": found}, ensure_ascii=False).encode()) <= MAX_TRACE
    assert found["console_cut"]
    assert found["fetches_cut"]
    assert len(found["console"]) >= 3
    assert len(found["fetches"]) >= 3


def test_the_record_passes_on_that_the_console_was_cut() -> None:
    assert trace(Returned(None), console=(Line("log", "x"),), console_cut=True)["console_cut"]


@given(
    st.binary(max_size=200) | st.none(),
    st.lists(st.text(max_size=50), max_size=3),
    st.lists(st.text(max_size=50), max_size=3),
)
def test_whatever_a_run_says_is_an_outcome_that_can_be_stored(
    value: bytes | None, urls: list[str], lines: list[str]
) -> None:
    fetches = [fetch(200, url=url) for url in urls]
    said = outcome(Returned(value), *fetches, console=tuple(Line("log", line) for line in lines))
    json.dumps(said.trace).encode("utf-8")
    assert re.match(r"the script returned|$", said.detail)
