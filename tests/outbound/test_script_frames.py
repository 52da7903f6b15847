"""What the host makes of a runner that lies: the call fails, nothing else does."""

import json
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from outbound_script import Bench, bench

from textgate.outbound.script.deno import Deno
from textgate.outbound.script.run import Ended, EndReason, Returned, Threw
from textgate.testing.far_side import FarSide

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def false(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    program = tmp_path_factory.mktemp("false") / "deno"
    runner = Path(__file__).with_name("outbound_false_runner.py")
    command = shlex.join([sys.executable, "-I", "-S", str(runner)])
    tells = '[ "$1" != --version ] || exec echo deno 2.9.8'
    program.write_text(f"#!/bin/sh\n{tells}\nexec {command}\n", "utf-8")
    program.chmod(0o755)
    async with bench(deno=Deno(program)) as one:
        yield one


def says(*words: Any) -> str:
    return json.dumps(words)


OK = {"t": "value", "id": "own", "body": '"ok"'}
FETCH = {"t": "fetch", "id": "own", "fetch": 1, "method": "GET", "url": "http://127.0.0.1:1/",
         "redirect": "follow", "headers": []}  # fmt: skip

LIES = [
    ["raw", "00000000"],
    ["raw", "00000001ff"],
    ["raw", "ffffffff"],
    ["raw", "7fffffff" + "00" * 40],
    ["raw", b"hello, world, this is no frame".hex()],
    ["raw", "00000024" + "00" * 36],
    ["secret", "0" * 32],
    ["secret", ""],
    ["json", ""],
    ["json", "{"],
    ["json", "[]"],
    ["json", "null"],
    ["json", '{"t":"value"}'],
    ["json", '{"t":"nothing","id":"1"}'],
    ["json", '{"t":"nothing","id":-1}'],
    ["json", '{"t":"nothing","id":1e300}'],
    ["json", '{"t":"nothing","id":999}'],
    ["json", '{"t":"unheard of","id":1}'],
    ["json", '{"t":"nothing","id":1,"more":1}'],
    ["json", '{"t":"console","id":1,"level":"x","text":""}'],
    ["json", '{"t":"console","id":1,"level":"log","text":7}'],
    ["json", '{"t":"threw","id":1,"message":"' + "x" * 30_000 + '","stack":""}'],
    ["json", '{"t":"nothing","id":1,"\\ud800":1}'],
    ["json", '{"t":"ready"}'],
    ["json", "[" * 5000],
    {"t": "nothing", "id": "own", "body": "there is none"},
    ["again", 12_000, {"t": "nothing", "id": 0}],
    FETCH | {"method": 7},
    FETCH | {"headers": [["a"]]},
    FETCH | {"headers": [["a", "b", "c"]]},
    FETCH | {"headers": [["a", "b"]] * 200},
    FETCH | {"redirect": "sometimes"},
    FETCH | {"url": "http://127.0.0.1/" + "x" * 20_000},
    ["exit", 0],
    ["exit", 7],
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie)[:60])
async def test_the_first_bad_frame_ends_the_process(false: Bench, lie: Any) -> None:
    run = await false.run(says(lie, OK), key=f"lie {lie}"[:100])
    assert isinstance(run.end, Ended), run
    assert run.end.reason is EndReason.CRASH
    assert run.end.detail in (
        "the script's process said what it must not say",
        "the script's process ended",
    )


async def test_a_true_frame_is_heard_however_it_comes(false: Bench) -> None:
    assert (await false.run(says(OK))).end == Returned(b'"ok"')
    assert (await false.run(says(["slowly"]))).end == Returned(b'"slow"')


@pytest.mark.parametrize("body", ["", "{", "NaN", "'x'", '"\\ud80"', "[1,]", "1 2", "[" * 100_000])
async def test_a_value_that_is_no_json_is_no_value(false: Bench, body: str) -> None:
    end = (await false.run(says(OK | {"body": body}))).end
    assert isinstance(end, Threw)
    assert "cannot be written as JSON" in end.message


async def test_only_the_first_word_about_a_call_counts(false: Bench) -> None:
    second = {"t": "threw", "id": "own", "message": "second", "stack": ""}
    run = await false.run(says(OK, second, OK | {"body": "3"}, FETCH, FETCH))
    assert run.end == Returned(b'"ok"')
    assert run.fetches == ()


async def test_output_is_bounded_whatever_the_runner_says(false: Bench) -> None:
    line = {"t": "console", "id": "own", "level": "log", "text": "x" * 1000}
    run = await false.run(says(["again", 5000, line], OK))
    assert run.end == Returned(b'"ok"')
    assert len(run.console) == 65
    assert run.console_cut


BAD_REQUESTS = [
    ({"method": "GET\r\nX: y"}, "are not made"),
    ({"method": "get"}, "are not made"),
    ({"method": "CONNECT"}, "are not made"),
    ({"url": "file:///etc/passwd"}, "http: and https: URLs only"),
    ({"url": "HTTP:/\\evil"}, "the request failed: the URL"),
    ({"url": "gopher://127.0.0.1/"}, "http: and https: URLs only"),
    ({"url": ""}, "http: and https: URLs only"),
    ({"url": "http://"}, "the URL has no host"),
    ({"url": "http://127.0.0.1:1/\r\nX: y"}, "the URL"),
    ({"url": "http://127.0.0.1:0/"}, "port"),
    ({"url": "http://[::1"}, "http: and https: URLs only"),
    ({"url": "http://169.254.169.254/"}, "169.254.169.254 may not be called from here"),
    ({"url": "http://127.1.2.3.4/"}, "the URL's host"),
    ({"headers": [["a", "b\r\nc: d"]]}, "a header's value"),
    ({"headers": [["a", "b\u0000"]]}, "a header's value"),
    ({"headers": [["a", "\u20ac"]]}, "a header's value"),
    ({"headers": [[f"a{n}", "b" * 900] for n in range(50)]}, "the headers are longer than 32 KiB"),
]


@pytest.mark.parametrize(("change", "message"), BAD_REQUESTS, ids=lambda it: str(it)[:60])
async def test_each_part_of_a_request_is_looked_at(
    false: Bench, change: dict[str, Any], message: str
) -> None:
    run = await false.run(says(FETCH | change, ["hear"]))
    assert isinstance(run.end, Returned), run
    head, body = json.loads(run.end.value or b"")
    assert (head["t"], head["fetch"], body) == ("failed", 1, "")
    assert message in head["message"]
    assert not any(fetch.sent for fetch in run.fetches)


async def test_headers_that_frame_a_message_are_left_out(false: Bench) -> None:
    async with FarSide() as far:
        url = far.on("/framed")
        headers = [
            ["Host", "evil.example"], ["content-length", "7"], ["Transfer-Encoding", "chunked"],
            ["a b", "no token"], ["", "no name"], ["X-Kept", "kept"],
        ]  # fmt: skip
        request = FETCH | {"url": url, "headers": headers, "method": "POST", "body": "12"}
        run = await false.run(says(request, ["hear"]))
        assert isinstance(run.end, Returned)
        [got] = far.requests["/framed"]
    assert got.body == b"12"
    assert got.headers["content-length"] == "2"
    assert "evil" not in got.headers["host"]
    assert got.headers["x-kept"] == "kept"
    assert "transfer-encoding" not in got.headers


async def test_a_number_used_twice_is_a_lie(false: Bench) -> None:
    async with FarSide() as far:
        url = far.on("/twice")
        run = await false.run(says(FETCH | {"url": url}, FETCH | {"url": url}, OK))
    assert isinstance(run.end, Ended)
    assert run.end.reason is EndReason.CRASH
