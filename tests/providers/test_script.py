"""The script provider: real scripts in real processes, what they are given and what comes of it."""

import re
from typing import Any

import pytest
from provider_case import CODE, NUMBER, TEXT, Bench, Sample, an_sms, kind

from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.providers.base import OpenChannel
from textgate.providers.script import PROVIDER
from textgate.testing.raw_far_side import SILENCE, answer

REPEATS = """
export default async function (message: unknown) {
  const answer = await fetch("%s", { method: "POST", body: JSON.stringify(message) });
  const said = await answer.text();
  console.log(message, said);
  return answer.ok ? { code: "ok", said } : { code: "delivery_rejected", description: said };
}
"""
"""Posts the message and repeats whatever it hears."""


def settings(url: str) -> dict[str, Any]:
    return {"source": REPEATS % url, "timeout": 3}  # a process has to start within it


SAMPLE = Sample(settings, calls_http=True)


def open_source(bench: Bench, source: str, **more: Any) -> OpenChannel:
    """Open a script without imports as it is: what it is about is what it does when it runs."""
    return bench.open(PROVIDER, {"source": source, **more})


async def open_impatient(bench: Bench, body: str) -> OpenChannel:
    """Open a script whose process has started, with a time limit for ``body`` alone."""
    source = f"""export default async (message: any) => {{
      if (message.body === "warm up") return;
      {body}
    }};"""
    warm = await open_source(bench, source).send(an_sms(text="warm up"))
    assert isinstance(warm, Accepted)
    return open_source(bench, source, timeout=1)


def threw(outcome: Outcome) -> str:
    assert outcome.trace is not None
    message: str = outcome.trace["script"]["threw"]["message"]
    return message


# What it is given.


async def test_it_is_given_the_payload_and_the_secrets(bench: Bench) -> None:
    source = "export default async (...given: unknown[]) => { throw JSON.stringify(given); };"
    members = {"app_id": "shop", "template_name": "t.txt", "language_tag": "de"}
    context = {**members, "template_variables": {"n": 1, "deep": [{"a": None}]}, "other": 1}
    channel = open_source(bench, source, secrets={"KEY": "abc"})
    told = threw(await channel.send(an_sms(to="+1", text="<Hi>\n", context=context)))
    wanted = '[{"to":"+1","body":"<Hi>\\n","app_id":"shop","template_name":"t.txt",'
    wanted += '"language_tag":"de","template_variables":{"n":1,"deep":[{"a":null}]}},'
    assert wanted + '{"secrets":{"KEY":"abc"}}]' in told


async def test_a_plain_message_takes_the_settings_members(bench: Bench) -> None:
    given = {"app_id": "shop", "template_name": "news.txt", "language_tag": "de-CH"}
    source = (
        "export default (m: any) => { throw [m.app_id, m.template_name, m.language_tag].join() };"
    )
    channel = open_source(bench, source, **given)
    assert "shop,news.txt,de-CH" in threw(await channel.send(an_sms()))
    assert "shop,news.txt,en" in threw(await channel.send(an_sms(context={"language_tag": "en"})))


async def test_secrets_are_frozen_for_the_calls_to_come(bench: Bench) -> None:
    source = """
    export default function (_: unknown, { secrets }: any) {
      const before = secrets.KEY;
      try { secrets.KEY = "other"; } catch (error) { throw new Error(`${before} ${error}`); }
    }
    """
    channel = open_source(bench, source, secrets={"KEY": "abc"})
    for _ in range(2):
        assert re.search("abc TypeError", threw(await channel.send(an_sms())))


# What comes of it (B §5.9, §12.6): in one process, picked by the message's text.

WAYS = """
const ways: Record<string, () => unknown> = {
  nothing: () => undefined,
  "null": () => null,
  zero: () => 0,
  text: () => "x",
  list: () => [],
  "a function": () => () => 1,
  "a symbol": () => Symbol("s"),
  promised: async () => ({ code: "ok" }),
  "code 1": () => ({ code: 1 }),
  ok: () => ({ code: "ok" }),
  "an empty object": () => ({}),
  "an object of its own": () => ({ success: true }),
  "rate limited": () => ({ code: "rate_limited", description: "slow down",
    provider_error_code: 88 }),
  throws: () => { throw new Error("out of luck"); },
  "throws a text": () => { throw "out of luck"; },
  "throws nothing": () => { throw undefined; },
  rejects: () => Promise.reject(new TypeError("out of luck")),
  "a BigInt": () => 1n,
  "a cycle": () => { const a: any = {}; a.a = a; return a; },
};
export default function (message: any) { return ways[message.body](); }
"""
FAILS = Rejected(Reason.PROVIDER_ERROR)
RESULTS: dict[str, Outcome] = {
    **dict.fromkeys(["nothing", "null", "zero", "text", "list"], Accepted()),
    **dict.fromkeys(["a function", "a symbol", "promised", "code 1", "ok"], Accepted()),
    **dict.fromkeys(["an empty object", "an object of its own"], FAILS),
    "rate limited": Deferred(Reason.RATE_LIMITED),
    **dict.fromkeys(["throws", "throws a text", "throws nothing", "rejects"], FAILS),
    **dict.fromkeys(["a BigInt", "a cycle"], FAILS),
}


async def test_each_result_means_what_it_means_to_authgear(bench: Bench) -> None:
    channel = open_source(bench, WAYS)
    found = {way: kind(await channel.send(an_sms(text=way))) for way in RESULTS}
    assert found == {way: kind(outcome) for way, outcome in RESULTS.items()}


async def test_a_failure_is_told_with_its_words_and_its_place(bench: Bench) -> None:
    channel = open_source(bench, WAYS)
    said = await channel.send(an_sms(text="rate limited"))
    assert isinstance(said, Deferred)
    assert (said.code, said.detail) == ("88", "the script returned: rate_limited: slow down")
    line = WAYS.splitlines().index(next(x for x in WAYS.splitlines() if "throws: " in x)) + 1
    said = await channel.send(an_sms(text="throws"))
    assert isinstance(said, Rejected)
    assert re.fullmatch(rf"the script threw in line {line}: (Error: )?out of luck", said.detail)


UNLOADED = {
    "no default export": "export const a = 1;",
    "a default export that is no function": "export default 7;",
    "no module": "this is not TypeScript",
    "an error while it is loaded": "throw new Error('early'); export default () => null;",
}


@pytest.mark.parametrize("source", UNLOADED.values(), ids=UNLOADED)
async def test_what_does_not_load_has_sent_nothing(bench: Bench, source: str) -> None:
    outcome = await open_source(bench, source).send(an_sms())
    assert kind(outcome) == kind(FAILS)
    assert outcome.trace is not None
    assert outcome.trace["script"].keys() & {"ended", "threw"}


STUCK = {
    "a promise that never settles": "await new Promise(() => {});",
    "a loop without end": "while (true);",
}


@pytest.mark.parametrize("body", STUCK.values(), ids=STUCK)
@pytest.mark.parametrize("sent", [False, True])
async def test_a_script_that_does_not_end_is_ended(bench: Bench, body: str, sent: bool) -> None:
    first = f'await fetch("{bench.far.url}");' if sent else ""
    outcome = await (await open_impatient(bench, f"{first} {body}")).send(an_sms())
    assert kind(outcome) == kind(Unknown(Reason.TIMEOUT) if sent else Rejected(Reason.TIMEOUT))
    assert outcome.trace is not None
    assert outcome.trace["script"]["ended"]["reason"] == "timeout"


async def test_a_request_under_way_at_the_end_may_have_gone_out(bench: Bench) -> None:
    bench.far.script(SILENCE)
    outcome = await (await open_impatient(bench, f'await fetch("{bench.far.url}");')).send(an_sms())
    assert kind(outcome) == (Unknown, Reason.TIMEOUT)
    assert outcome.trace is not None
    [request] = outcome.trace["script"]["fetches"]
    assert request["status"] is None


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "https://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/"]
)
async def test_an_address_that_is_not_allowed_is_not_dialled(bench: Bench, url: str) -> None:
    source = f'export default async () => {{ await fetch("{url}"); }};'
    outcome = await open_source(bench, source).send(an_sms())
    assert not isinstance(outcome, Accepted | Unknown)
    assert outcome.trace is not None
    assert "TypeError" in outcome.trace["script"]["threw"]["message"]


async def test_retry_after_is_kept_also_of_a_script_that_throws(bench: Bench) -> None:
    bench.far.script(answer(429, b"", {"Retry-After": "30"}))
    source = f"""export default async () => {{
      if (!(await fetch("{bench.far.url}")).ok) throw new Error("refused");
    }};"""
    outcome = await open_source(bench, source).send(an_sms())
    assert isinstance(outcome, Deferred)
    assert outcome.after is not None
    assert outcome.after.total_seconds() == 30


# The record.


async def test_two_mib_of_console_output_do_no_harm(bench: Bench) -> None:
    source = (
        'export default () => { for (let i = 0; i < 2048; i++) console.log("x".repeat(1024)); };'
    )
    outcome = await open_source(bench, source).send(an_sms())
    assert kind(outcome) == (Accepted, None)
    assert outcome.trace is not None
    assert outcome.trace["script"]["console_cut"]
    assert 0 < len(str(outcome.trace)) <= 16 * 1024


async def test_the_record_hides_the_message_and_the_secrets(bench: Bench) -> None:
    source = f"""export default async (message: any, {{ secrets }}: any) => {{
      console.log("sending", message, secrets);
      const headers = {{ Authorization: "Basic " + btoa("me:" + secrets.KEY) }};
      console.log(headers);
      await fetch("{bench.far.url}/" + secrets.KEY + "?to=" + message.to, {{ headers }});
      throw new Error(message.body + secrets.KEY);
    }};"""
    secret = "a-key/of some-length"
    outcome = await open_source(bench, source, secrets={"KEY": secret}).send(an_sms())
    assert "authorization" in bench.far.requests[0].headers
    assert "sending" in repr(outcome.trace)
    for private in (NUMBER[1:], CODE, "Harbour", "of some", "of%20some", "a2V5L29mIHNvbW"):
        assert private not in repr(outcome), private


# Processes.

OTHER_MODULE = {"code": "", "media_type": "application/typescript", "sha256": "0" * 64}
COUNTS = "let n = 0; export default () => { n++; throw new Error(`call ${n}`); };"


async def test_a_script_keeps_its_process_until_code_or_secrets_change(bench: Bench) -> None:
    async def call(source: str, **more: Any) -> str:
        return threw(await open_source(bench, source, **more).send(an_sms()))

    assert "call 1" in await call(COUNTS)
    assert "call 2" in await call(COUNTS)
    assert "call 1" in await call(COUNTS + " ")
    assert "call 1" in await call(COUNTS, secrets={"KEY": "a"})
    assert "call 1" in await call(COUNTS, secrets={"KEY": "b"})
    assert "call 3" in await call(COUNTS)
    assert "call 1" in await call(COUNTS, modules={"https://a.example/m.ts": OTHER_MODULE})


async def test_two_channels_with_the_same_script_have_nothing_in_common(bench: Bench) -> None:
    for name in ("channel-1", "channel-2"):
        channel = bench.open(PROVIDER, {"source": COUNTS}, name)
        assert "call 1" in threw(await channel.send(an_sms()))


async def test_the_process_ends_with_the_channel(bench: Bench) -> None:
    channel = open_source(bench, COUNTS)
    assert "call 1" in threw(await channel.send(an_sms()))
    await channel.close()
    assert "call 1" in threw(await open_source(bench, COUNTS).send(an_sms()))


async def test_a_message_without_text_is_refused_unsent(bench: Bench) -> None:
    channel = open_source(bench, COUNTS)
    for sms in (an_sms(text=None, data="aGk="), an_sms(text=TEXT, encrypted=True)):
        assert kind(await channel.send(sms)) == (Rejected, Reason.UNSUPPORTED)


# When it is unknown whether a message went out.


@pytest.mark.parametrize(
    ("resend_unknown", "variables", "again"),
    [
        (False, {}, False),
        (False, {"code": ""}, False),
        (False, {"code": "731904"}, True),
        (True, {}, True),
    ],
)
def test_in_doubt_a_one_time_code_is_sent_again_and_another_message_only_if_that_is_wanted(
    resend_unknown: bool, variables: dict[str, str], again: bool
) -> None:
    parsed = PROVIDER.parse({"source": "…", "resend_unknown": resend_unknown})
    sms = an_sms(context={"template_variables": variables})
    assert PROVIDER.resend(parsed, sms) is again
