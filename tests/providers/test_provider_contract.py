"""What every provider owes. A new file in providers/ is tested here as soon as it is discovered.

Its own table of tests, ``test_<kind>.py`` beside this file, holds a ``SAMPLE`` with settings.
"""

import asyncio
import importlib
import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest
from provider_case import CODE, NUMBER, TEXT, Bench, Sample, an_sms, kind
from structlog.testing import capture_logs

from textgate.domain.errors import Invalid
from textgate.domain.outcome import Accepted, Outcome, Reason, Rejected, Unknown
from textgate.providers.base import MASK, Provider, Sms
from textgate.providers.discovery import discover, find
from textgate.testing.raw_far_side import BROKEN_LINE, SILENCE, Answer, Then, answer

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs/providers"
NOWHERE = "http://127.0.0.1:1/"
OUTCOMES = Outcome.__args__

ALL = pytest.mark.parametrize("provider", discover().values(), ids=discover())


def sample(provider: Provider[Any]) -> Sample:
    found: Sample = importlib.import_module(f"test_{provider.kind}").SAMPLE
    return found


CALLING = [p for p in discover().values() if sample(p).calls_http]
CALLERS = pytest.mark.parametrize("provider", CALLING, ids=[p.kind for p in CALLING])


def secrets_of(provider: Provider[Any], settings: dict[str, Any]) -> list[str]:
    return [settings[s["name"]] for s in provider.describe() if s["secret"]]


# Paper.


@ALL
def test_it_has_a_page_that_names_each_setting_and_default(provider: Provider[Any]) -> None:
    page = (PAGES / f"{provider.kind}.md").read_text("utf-8")
    assert page.startswith(f"# {provider.kind}:")
    rows = re.findall(r"^\| `(\w+)` \| (required(?:, secret)?|`[^`]*`) \|", page, re.MULTILINE)
    shown = {name: default for name, default in rows if name in _names(provider)}
    assert shown == {setting["name"]: _default(setting) for setting in provider.describe()}


def _names(provider: Provider[Any]) -> set[str]:
    return {setting["name"] for setting in provider.describe()}


def _default(setting: dict[str, Any]) -> str:
    if setting["required"]:
        return "required, secret" if setting["secret"] else "required"
    return f"`{json.dumps(setting['default'])}`"


@ALL
def test_the_overview_says_what_it_carries(provider: Provider[Any]) -> None:
    overview = (PAGES / "README.md").read_text("utf-8")
    kept = (provider.carries_data, provider.carries_encrypted, provider.receipts)
    cells = " | ".join("yes" if carried else "no" for carried in kept)
    assert re.search(
        rf"^\| \[`{provider.kind}`\]\({provider.kind}\.md\) \| [^|]+ \| {re.escape(cells)} \|$",
        overview,
        re.MULTILINE,
    )


@ALL
def test_it_is_found_by_its_kind(provider: Provider[Any]) -> None:
    assert find(provider.kind) is provider
    assert re.fullmatch(r"[a-z][a-z0-9_]*", provider.kind)
    assert provider.title


def test_an_unknown_kind_is_refused_with_those_that_exist() -> None:
    with pytest.raises(Invalid, match="webhook") as refused:
        find("pigeon")
    assert refused.value.field == "provider"


# Settings.


@ALL
def test_each_setting_is_described_for_a_form(provider: Provider[Any]) -> None:
    described = provider.describe()
    assert json.loads(json.dumps(described)) == described
    for setting in described:
        assert setting["label"]
        assert setting["schema"]
        assert not (setting["secret"] and setting["default"])


@ALL
def test_good_settings_are_read_and_bound_the_time_of_an_attempt(provider: Provider[Any]) -> None:
    settings = provider.parse(sample(provider).settings(NOWHERE))
    assert 0 < provider.max_attempt_s(settings) <= 65


@ALL
def test_an_unknown_setting_is_refused_by_its_name(provider: Provider[Any]) -> None:
    with pytest.raises(Invalid, match="colour") as refused:
        provider.parse(sample(provider).settings(NOWHERE) | {"colour": "red"})
    assert refused.value.field == "settings.colour"


@ALL
def test_a_setting_of_the_wrong_type_is_refused_by_its_name(provider: Provider[Any]) -> None:
    for setting in provider.describe():
        with pytest.raises(Invalid) as refused:
            provider.parse(sample(provider).settings(NOWHERE) | {setting["name"]: [{}]})
        assert refused.value.field == f"settings.{setting['name']}"
        assert refused.value.message.startswith(setting["label"])


@ALL
@pytest.mark.parametrize("nothing", [None, ""])
def test_a_required_setting_cannot_be_left_empty(
    provider: Provider[Any], nothing: str | None
) -> None:
    for setting in provider.describe():
        if setting["required"]:
            with pytest.raises(Invalid) as refused:
                provider.parse(sample(provider).settings(NOWHERE) | {setting["name"]: nothing})
            assert refused.value.field == f"settings.{setting['name']}"


@ALL
def test_settings_are_shown_whole_but_for_the_secrets(provider: Provider[Any]) -> None:
    given = sample(provider).settings(NOWHERE)
    shown = provider.masked(given)
    assert list(shown) == [setting["name"] for setting in provider.describe()]
    for setting in provider.describe():
        name = setting["name"]
        wanted = MASK if setting["secret"] else given.get(name, setting["default"])
        assert shown[name] == wanted


@ALL
def test_settings_of_another_version_are_shown_and_can_be_mended(provider: Provider[Any]) -> None:
    given = sample(provider).settings(NOWHERE)
    stored = given | {"colour": "red"}
    assert provider.masked(stored) == provider.masked(given)
    assert provider.merged(stored, {}) == given


@ALL
def test_what_was_shown_can_be_sent_back_without_loss(provider: Provider[Any]) -> None:
    stored = sample(provider).settings(NOWHERE)
    merged = provider.merged(stored, provider.masked(stored))
    assert provider.parse(merged) == provider.parse(stored)


@ALL
def test_no_secret_is_printed(provider: Provider[Any]) -> None:
    given = sample(provider).settings(NOWHERE)
    settings = provider.parse(given)
    for secret in secrets_of(provider, given):
        assert secret not in repr(settings)
        assert secret not in json.dumps(provider.masked(given))


def test_a_message_prints_neither_its_number_nor_its_text() -> None:
    printed = repr(an_sms(context={"template_variables": {"code": CODE}}))
    assert "order-17-0" in printed
    for private in (NUMBER, CODE, "Harbour"):
        assert private not in printed


# Sending.

ECHO = {"code": "delivery_rejected", "description": f"no: {TEXT} to {NUMBER}", "to": NUMBER}
TROUBLE: dict[str, Answer] = {
    "refusal that repeats the message": answer(400, ECHO | {"provider_error_code": CODE}),
    "closed door": answer(401, f"who are you? {TEXT}"),
    "too many": answer(429, "later", {"Retry-After": "99999999999999999999"}),
    "breakdown": answer(500, ECHO | {"code": "unknown_error"}),
    "page": answer(200, "<html>hello"),
    "list": answer(200, [1, 2, 3]),
    "endless": answer(500, b"[" * 100_000),
    "no HTTP": Answer(b"\0\1\2\r\n\r\n", Then.CLOSE),
    "broken gzip": answer(200, b"no gzip", {"Content-Encoding": "gzip"}),
    "broken line": BROKEN_LINE,
}


@CALLERS
@pytest.mark.parametrize("said", TROUBLE.values(), ids=TROUBLE)
async def test_trouble_is_an_outcome_that_tells_nothing_private(
    provider: Provider[Any], said: Answer, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    given = sample(provider).settings(bench.far.url)
    bench.far.script(said)
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        outcome = await bench.open(provider, given).send(an_sms())
    assert isinstance(outcome, OUTCOMES)
    told = repr((outcome, lines, caplog.text))
    for private in (NUMBER, NUMBER[1:], CODE, "Harbour", *secrets_of(provider, given)):
        assert private not in told


@CALLERS
async def test_a_far_side_that_never_answers_is_unknown_within_the_time_limit(
    provider: Provider[Any], bench: Bench
) -> None:
    given = sample(provider).settings(bench.far.url)
    bench.far.script(SILENCE)
    began = time.monotonic()
    outcome = await bench.open(provider, given).send(an_sms())
    limit_s = provider.max_attempt_s(provider.parse(given))
    assert time.monotonic() - began < limit_s + 1
    assert kind(outcome) == (Unknown, Reason.TIMEOUT)


@CALLERS
async def test_a_far_side_that_is_not_there_has_surely_sent_nothing(
    provider: Provider[Any], bench: Bench
) -> None:
    outcome = await bench.open(provider, sample(provider).settings(NOWHERE)).send(an_sms())
    assert not isinstance(outcome, Accepted | Unknown)


@CALLERS
async def test_many_messages_share_a_channel(provider: Provider[Any], bench: Bench) -> None:
    channel = bench.open(provider, sample(provider).settings(bench.far.url))
    outcomes = await asyncio.gather(*(channel.send(an_sms(id=f"m-{n}")) for n in range(50)))
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert len(bench.far.requests) == 50


ODD = [
    an_sms(id="a\r\nX-Admin: yes\0", message_id="ü\n"),
    an_sms(to="", text=""),
    an_sms(to="+49 nobody", text="\0\ud800\U0001f600"),
    an_sms(context={"template_variables": "none", "app_id": 7, "template_name": None}),
    an_sms(context={"template_variables": {"deep": [{"ü": None}], "big": 2**70}}),
    an_sms(text="x" * 65_535),
]


@ALL
@pytest.mark.parametrize("sms", ODD, ids=["ids", "empty", "no text", "context", "deep", "long"])
async def test_an_odd_message_is_an_outcome_too(
    provider: Provider[Any], sms: Sms, bench: Bench
) -> None:
    channel = bench.open(provider, sample(provider).settings(bench.far.url))
    assert isinstance(await channel.send(sms), OUTCOMES)


@ALL
async def test_what_it_cannot_carry_it_refuses_unsent(
    provider: Provider[Any], bench: Bench
) -> None:
    channel = bench.open(provider, sample(provider).settings(bench.far.url))
    data = an_sms(text=None, data="aGVsbG8=", port=53739, to="+4915112345670")
    ciphertext = an_sms(to="$aes-256-cbc$x", text="$aes-256-cbc$y", encrypted=True)
    for sms, carried in ((data, provider.carries_data), (ciphertext, provider.carries_encrypted)):
        outcome = await channel.send(sms)
        if carried and not provider.pulled:  # nothing is ever sent to what fetches by itself
            assert isinstance(outcome, Accepted)
        else:
            assert kind(outcome) == (Rejected, Reason.UNSUPPORTED)
            assert bench.far.requests == []


@ALL
async def test_closing_twice_is_as_good_as_once(provider: Provider[Any], bench: Bench) -> None:
    channel = bench.open(provider, sample(provider).settings(bench.far.url))
    await channel.send(an_sms())
    await asyncio.gather(channel.close(), channel.close())
    await channel.close()
    assert isinstance(await channel.send(an_sms()), OUTCOMES)
