"""Whole scripts: Authgear's own samples, those that ship, and three real APIs, each run."""

import base64
import json
import re
from typing import Any
from urllib.parse import parse_qsl

import pytest
from provider_case import NUMBER, TEXT, Bench, an_sms, kind
from script_case import EXAMPLES, ROOT, SEED, Towards, example, open_script, seed_samples

from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.providers.script import default_sample
from textgate.testing.raw_far_side import Answer, Request, answer

REFUSED = Rejected(Reason.DELIVERY_REJECTED)
PAYLOAD = {
    "to": NUMBER,
    "body": TEXT,
    "app_id": "",
    "template_name": "",
    "language_tag": "",
    "template_variables": {},
}


Told = tuple[tuple[type, Reason | None], str | None]
Says = dict[str, tuple[Answer, Outcome]]


def told(outcome: Outcome) -> Told:
    """An outcome without its words, and the provider's own code."""
    return kind(outcome), getattr(outcome, "code", None)


async def check(
    bench: Bench, source: str, origin: str, says: Says, secrets: dict[str, str] | None = None
) -> Request:
    """Run a script once for each thing that its provider may say; return the last request."""
    bench.http = Towards(bench.http, bench.far.url, [origin])  # type: ignore[assignment]
    channel = await open_script(bench, source, secrets)
    outcomes: dict[str, Outcome] = {}
    for name, (said, _) in says.items():
        bench.far.script(said)
        outcomes[name] = await channel.send(an_sms())
    assert {n: told(o) for n, o in outcomes.items()} == {n: told(w) for n, (_, w) in says.items()}
    assert len(bench.far.requests) == len(says)
    for secret in (secrets or {}).values():
        assert secret not in repr(outcomes)
    return bench.far.requests[-1]


def by_status(**wants: Outcome) -> Says:
    """``s503=…``: what becomes of an answer of that status without a body."""
    return {name: (answer(int(name[1:])), outcome) for name, outcome in wants.items()}


OK_OR_REFUSED = by_status(s200=Accepted(), s204=Accepted(), s400=REFUSED, s503=REFUSED)

# Authgear's own.

SEEN = pytest.mark.skipif(
    not SEED.is_file(), reason=f"{SEED} is absent: Authgear's samples were NOT run"
)


@SEEN
async def test_the_default_sample_of_authgear_runs_byte_for_byte(bench: Bench) -> None:
    origin = "https://some.sms.gateway"
    request = await check(bench, seed_samples()[0], origin, OK_OR_REFUSED)
    assert (request.method, request.json) == ("POST", PAYLOAD)
    assert request.headers["content-type"] == "text/plain;charset=UTF-8"


@SEEN
async def test_the_json_sample_of_authgear_runs_byte_for_byte(bench: Bench) -> None:
    origin = "https://api.example.com"
    request = await check(bench, seed_samples()[1], origin, OK_OR_REFUSED)
    assert (request.method, request.target) == ("POST", "/sendsms.json")
    assert request.headers["content-type"] == "application/json"
    sent = request.json["SMS"]
    assert sent["message"]["messagetext"] == TEXT
    assert sent["recipients"]["gsm"] == [{"msidn": NUMBER}]


# Those that ship.


async def test_the_script_that_an_editor_shows_first(bench: Bench) -> None:
    origin = "https://sms.example.com"
    request = await check(bench, default_sample(), origin, OK_OR_REFUSED)
    assert (request.target, request.json) == ("/send", PAYLOAD)


async def test_a_gateway_that_takes_json(bench: Bench) -> None:
    origin = "https://gateway.example.com"
    request = await check(bench, example("json_gateway.ts"), origin, OK_OR_REFUSED)
    assert request.target == "/v2/send.json"
    assert request.json["sms"] == {"sender": "Harbour", "text": TEXT, "flash": False}
    assert request.json["recipients"] == [{"msisdn": NUMBER}]


async def test_the_older_style_returns_nothing_and_throws(bench: Bench) -> None:
    says = by_status(
        s204=Accepted(),
        s400=Rejected(Reason.PROVIDER_ERROR),
        s429=Deferred(Reason.RATE_LIMITED),
        s500=Unknown(Reason.PROVIDER_ERROR),
    )
    request = await check(bench, example("legacy.ts"), "https://gateway.example.com", says)
    assert request.method == "GET"
    assert dict(parse_qsl(request.target.partition("?")[2])) == {"phone": NUMBER, "text": TEXT}


# Three real APIs. The answers are those of their documents, in our own words.

TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC0123456789abcdef",
    "TWILIO_AUTH_TOKEN": "token-of-the-account",
    "TWILIO_FROM": "+15005550006",
}


def refused(code: int, status: int = 400) -> Answer:
    return answer(status, {"code": code, "message": "not so", "status": status})


TWILIO_SAYS: Says = {
    "queued": (answer(201, {"sid": "SM1", "status": "queued"}), Accepted()),
    "wrong number": (refused(21211), Rejected(Reason.INVALID_NUMBER, code="21211")),
    "wrong token": (refused(20003, 401), Rejected(Reason.AUTHENTICATION_FAILED, code="20003")),
    "too fast": (refused(20429, 429), Deferred(Reason.RATE_LIMITED, code="20429")),
    "unsubscribed": (refused(21610), Rejected(Reason.DELIVERY_REJECTED, code="21610")),
    "a code unheard of": (refused(29999), Rejected(Reason.PROVIDER_ERROR, code="29999")),
    "breakdown": (answer(500, "<html>"), Unknown(Reason.PROVIDER_ERROR)),
}


async def test_twilio(bench: Bench) -> None:
    source, origin = example("twilio.ts"), "https://api.twilio.com"
    request = await check(bench, source, origin, TWILIO_SAYS, TWILIO)
    assert request.target == "/2010-04-01/Accounts/AC0123456789abcdef/Messages.json"
    basic = base64.b64encode(b"AC0123456789abcdef:token-of-the-account").decode()
    assert request.headers["authorization"] == f"Basic {basic}"
    assert request.headers["content-type"].startswith("application/x-www-form-urlencoded")
    form = dict(parse_qsl(request.body.decode()))
    assert form == {"To": NUMBER, "From": "+15005550006", "Body": TEXT}


VONAGE = {"VONAGE_API_KEY": "abcd1234", "VONAGE_API_SECRET": "secret-of-key", "VONAGE_FROM": "Shop"}


def parts(*statuses: str) -> Answer:
    said = [{"status": s, **({} if s == "0" else {"error-text": "not so"})} for s in statuses]
    return answer(200, {"message-count": str(len(said)), "messages": said})


VONAGE_SAYS: Says = {
    "taken": (parts("0"), Accepted()),
    "taken in two parts": (parts("0", "0"), Accepted()),
    "too fast": (parts("1"), Deferred(Reason.RATE_LIMITED, code="1")),
    "half of it too fast": (parts("0", "1"), Deferred(Reason.RATE_LIMITED, code="1")),
    "wrong key": (parts("4"), Rejected(Reason.AUTHENTICATION_FAILED, code="4")),
    "no credit": (parts("9"), Rejected(Reason.DELIVERY_REJECTED, code="9")),
    "their own error": (parts("5"), Unknown(Reason.PROVIDER_ERROR, code="5")),
    "nothing": (parts(), Unknown(Reason.PROVIDER_ERROR)),
    "a page": (answer(502, "<html>"), Unknown(Reason.PROVIDER_ERROR)),
}


async def test_vonage(bench: Bench) -> None:
    source, origin = example("vonage.ts"), "https://rest.nexmo.com"
    request = await check(bench, source, origin, VONAGE_SAYS, VONAGE)
    assert request.target == "/sms/json"
    assert dict(parse_qsl(request.body.decode())) == {
        "api_key": "abcd1234",
        "api_secret": "secret-of-key",
        "from": "Shop",
        "to": NUMBER[1:],
        "text": TEXT,
        "type": "text",
    }


SINCH = {"SINCH_PLAN_ID": "plan-4f0c", "SINCH_API_TOKEN": "token-of-plan", "SINCH_FROM": "12345"}
SINCH_SAYS: Says = {
    "taken": (answer(201, {"id": "01FC66621", "canceled": False}), Accepted()),
    "wrong parameter": (
        answer(400, {"code": "syntax_invalid_parameter_format", "text": "not so"}),
        Rejected(Reason.DELIVERY_REJECTED, code="syntax_invalid_parameter_format"),
    ),
    "wrong token": (answer(401), Rejected(Reason.AUTHENTICATION_FAILED)),
    "too fast": (answer(429, "slow down"), Deferred(Reason.RATE_LIMITED)),
    "breakdown": (answer(500, "<html>"), Unknown(Reason.PROVIDER_ERROR)),
}


async def test_sinch(bench: Bench) -> None:
    source, origin = example("sinch.ts"), "https://us.sms.api.sinch.com"
    request = await check(bench, source, origin, SINCH_SAYS, SINCH)
    assert request.target == "/xms/v1/plan-4f0c/batches"
    assert request.headers["authorization"] == "Bearer token-of-plan"
    assert request.json == {"from": "12345", "to": [NUMBER], "body": TEXT}


# Documents.


def test_every_example_is_shown_and_run() -> None:
    page = (ROOT / "docs/providers/script.md").read_text("utf-8")
    here = (ROOT / "tests/providers/test_script_examples.py").read_text("utf-8")
    for file in sorted(EXAMPLES.glob("*.ts")):
        assert f"../../examples/scripts/{file.name}" in page
        assert f'"{file.name}"' in here


def shown(language: str) -> list[str]:
    page = (ROOT / "docs/providers/script.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


async def test_the_record_that_the_page_shows_has_the_members_of_a_real_one(bench: Bench) -> None:
    [record] = [json.loads(block) for block in shown("json") if '"script": {' in block]
    source = f"""export default async () => {{
      console.log((await fetch("{bench.far.url}")).status);
    }};"""
    channel = await open_script(bench, source)
    assert members((await channel.send(an_sms())).trace) == members(record)


def members(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return {p for k, v in value.items() for p in members(v, f"{path}.{k}".lstrip("."))}
    if isinstance(value, list) and value:
        return {p for item in value for p in members(item, path)}
    return {path} if not isinstance(value, list) else set()
