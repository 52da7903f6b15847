"""``fetch`` in a script: as in a browser, and each request is the host's."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from outbound_script import PROBE, Bench, bench, program, until

from textgate.outbound.guard import Guard
from textgate.outbound.http import BODY_LIMIT, HttpClient
from textgate.outbound.script.run import Ended, EndReason, Returned, Threw
from textgate.testing.far_side import FarSide, Request, Say

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scripts() -> AsyncIterator[Bench]:
    async with bench() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def far() -> AsyncIterator[FarSide]:
    async with FarSide() as one:
        yield one


async def sent(scripts: Bench, far: FarSide, asked: str) -> Request:
    """What arrives of ``fetch(url, <asked>)``."""
    await scripts.probe(f"await fetch({far.url!r} + '/sent?a=b%20c#part', {asked})")
    return far.requests["/sent"][-1]


async def test_a_plain_request_is_a_get(scripts: Bench, far: FarSide) -> None:
    request = await sent(scripts, far, "undefined")
    assert (request.method, request.path, request.body) == ("GET", "/sent?a=b%20c", b"")
    assert request.headers["accept"] == "*/*"
    assert request.headers["user-agent"] == "Textgate/test"
    assert "content-type" not in request.headers
    assert "content-length" not in request.headers


BODIES = [
    ("'Héllo'", "text/plain;charset=UTF-8", "Héllo".encode()),
    ("JSON.stringify({a: 1})", "text/plain;charset=UTF-8", b'{"a":1}'),
    (
        "new URLSearchParams({a: 'b c', d: 'é'})",
        "application/x-www-form-urlencoded;charset=UTF-8",
        b"a=b+c&d=%C3%A9",
    ),
    ("new Uint8Array([0, 255, 13, 10])", None, b"\x00\xff\r\n"),
    ("new Uint8Array([1, 2, 3]).buffer", None, b"\x01\x02\x03"),
    ("new Blob(['blob'], {type: 'text/x'})", "text/x", b"blob"),
    ("new Response('of a response').body", None, b"of a response"),
    ("''", "text/plain;charset=UTF-8", b""),
    ("null", None, b""),
]


@pytest.mark.parametrize(("body", "content_type", "wanted"), BODIES)
async def test_a_body_is_sent_as_in_a_browser(
    scripts: Bench, far: FarSide, body: str, content_type: str | None, wanted: bytes
) -> None:
    request = await sent(scripts, far, f"{{method: 'POST', body: {body}}}")
    assert request.body == wanted
    assert request.headers.get("content-type") == content_type
    assert request.headers["content-length"] == str(len(wanted))


async def test_a_form_is_sent_with_its_boundary(scripts: Bench, far: FarSide) -> None:
    form = (
        "(() => { const f = new FormData(); f.set('a', 'b'); f.set('c', new File(['d'], 'e.txt'));"
    )
    request = await sent(scripts, far, f"{{method: 'POST', body: {form} return f }})()}}")
    kind, _, boundary = request.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    assert request.body.count(boundary.encode()) == 3
    assert b'name="c"; filename="e.txt"' in request.body


async def test_headers_are_sent_as_given_but_for_those_that_frame_the_message(
    scripts: Bench, far: FarSide
) -> None:
    request = await sent(
        scripts,
        far,
        "{method: 'put', headers: {'X-Api-Key': 'k', 'Content-Type': 'application/json',"
        " 'Accept': 'a/b', 'User-Agent': 'mine', 'Content-Length': '999', 'Host': 'evil.example',"
        " 'Transfer-Encoding': 'chunked', 'Connection': 'close', 'Expect': '100-continue'},"
        " body: '{}'}",
    )
    assert request.method == "PUT"
    assert request.headers["host"] == far.url.removeprefix("http://")
    assert request.headers["content-length"] == "2"
    kept = {name: request.headers.get(name) for name in ("x-api-key", "content-type", "accept")}
    assert kept == {"x-api-key": "k", "content-type": "application/json", "accept": "a/b"}
    assert request.headers["user-agent"] == "mine"
    assert not {"transfer-encoding", "connection", "expect"} & request.headers.keys()


async def test_a_request_object_is_taken_too(scripts: Bench, far: FarSide) -> None:
    url = far.on("/object")
    code = (
        f"const r = new Request({url!r}, {{method: 'PATCH', body: 'x', headers: [['A', 'b']]}});"
        "await fetch(r, {headers: {B: 'c'}}); return r.bodyUsed"
    )
    assert await scripts.probe(code) is True
    [request] = far.requests["/object"]
    assert (request.method, request.body) == ("PATCH", b"x")
    assert (request.headers.get("a"), request.headers["b"]) == (None, "c")


async def test_a_user_in_the_url_becomes_a_header(scripts: Bench, far: FarSide) -> None:
    url = far.on("/user").replace("http://", "http://AC1:to%40ken@")
    await scripts.probe(f"await fetch({url!r})")
    encoded = base64.b64encode(b"AC1:to@ken").decode()
    assert far.requests["/user"][0].headers["authorization"] == f"Basic {encoded}"


SHOW = """
    const text = await response.clone().text();
    return {status: response.status, ok: response.ok, statusText: response.statusText,
        url: response.url, redirected: response.redirected, type: response.type, text,
        kind: response.headers.get("Content-Type"), of: response instanceof Response,
        used: response.bodyUsed, copy: response.clone().url};
"""


@pytest.mark.parametrize(
    ("status", "ok", "phrase"),
    [(200, True, "OK"), (201, True, "Created"), (299, True, ""), (400, False, "Bad Request"),
     (404, False, "Not Found"), (500, False, "Internal Server Error"), (777, False, "")],
)  # fmt: skip
async def test_an_answer_is_a_response(
    scripts: Bench, far: FarSide, status: int, ok: bool, phrase: str
) -> None:
    url = far.on("/answer", Say(status, "né".encode(), {"Content-Type": "text/x"}))
    assert await scripts.probe(f"const response = await fetch({url!r});" + SHOW) == {
        "status": status, "ok": ok, "statusText": phrase, "url": url, "redirected": False,
        "type": "basic", "text": "né", "kind": "text/x", "of": True, "used": False, "copy": url,
    }  # fmt: skip


async def test_a_body_is_read_in_every_way(scripts: Bench, far: FarSide) -> None:
    far.on("/body", script=lambda _: Say(200, b'{"a":[1]}', {"Content-Type": "application/json"}))
    code = f"""
        const get = () => fetch({far.url!r} + "/body");
        const parts = [];
        for await (const part of (await get()).body) parts.push(...part);
        const again = await get(); await again.text();
        return [await (await get()).json(), await (await get()).text(),
            (await (await get()).arrayBuffer()).byteLength, [...await (await get()).bytes()].length,
            (await (await get()).blob()).type, parts.length,
            await again.text().catch((problem) => problem.name)];
    """
    assert await scripts.probe(code) == [
        {"a": [1]}, '{"a":[1]}', 9, 9, "application/json", 9, "TypeError"
    ]  # fmt: skip


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_an_answer_without_content_has_no_body(
    scripts: Bench, far: FarSide, status: int
) -> None:
    url = far.on("/none", Say(status, b""))
    code = f"const r = await fetch({url!r}); return [r.status, r.body, await r.text()]"
    assert await scripts.probe(code) == [status, None, ""]


async def test_a_body_that_is_longer_than_what_is_kept_fails_when_it_is_read(
    scripts: Bench, far: FarSide
) -> None:
    long, fits = (
        far.on("/long", Say(200, b"x" * (BODY_LIMIT + 1))),
        far.on("/fits", Say(200, b"x" * BODY_LIMIT)),
    )
    code = f"""
        const long = await fetch({long!r}), fits = await fetch({fits!r});
        return [long.status, (await fits.text()).length,
            await long.text().catch((problem) => String(problem))];
    """
    assert await scripts.probe(code) == [
        200, BODY_LIMIT, "TypeError: the body of the answer is longer than 64 KiB"
    ]  # fmt: skip


WRONG = [
    ("fetch('/relative')", "Invalid URL"),
    ("fetch('')", "Invalid URL"),
    ("fetch()", "Invalid URL"),
    ("fetch('http://[')", "Invalid URL"),
    ("fetch('ftp://a.example/')", "http: and https:"),
    ("fetch('data:text/plain,x')", "http: and https:"),
    ("fetch('file:///etc/passwd')", "http: and https:"),
    ("fetch('blob:null/x')", "http: and https:"),
    ("fetch('http://a.x/', {method: 'G T'})", "Method is not valid"),
    ("fetch('http://a.x/', {method: 'CONNECT'})", "Method is forbidden"),
    ("fetch('http://a.x/', {method: 'BREW'})", "'BREW' are not made"),
    ("fetch('http://a.x/', {body: 'x'})", "cannot have body"),
    ("fetch('http://a.x/', {headers: {'a b': 'c'}})", "Invalid header name"),
    ("fetch('http://a.x/', {headers: {a: 'b\\r\\nc: d'}})", "Invalid header"),
    ("fetch('http://a.x/', {headers: {a: '\\u20ac'}})", "ByteString"),
    ("fetch('http://127.0.0.1:1/', {headers: {a: 'b\\u00e9'}})", "non-ASCII"),
    ("fetch('http://a.x/' + 'x'.repeat(3000))", "longer than 2048"),
    ("fetch('http://a.x/' + 'x'.repeat(30000))", "the URL is too long"),
    ("fetch('http://a.x/', {headers: {a: 'b'.repeat(40000)}})", "too long"),
    ("fetch('http://a.x/', {method: 'POST', body: 'x'.repeat(2 ** 20 + 1)})", "larger than 1 MiB"),
    ("fetch('http://a.example:99999/')", "Invalid URL"),
    ("fetch('http://127.0.0.1:1/')", "127.0.0.1:1 cannot be reached"),
]


@pytest.mark.parametrize(("code", "message"), WRONG)
async def test_a_request_that_cannot_be_made_is_an_error_that_says_why(
    scripts: Bench, code: str, message: str
) -> None:
    caught = await scripts.probe(
        f"try {{ await {code}; return 'made' }} catch (e) {{ return [e.name, e.message] }}"
    )
    assert caught[0] == "TypeError", caught
    assert message in caught[1]


PLACES = [
    ("\n  r = await fetch('http://127.0.0.1:1/')", "cannot be reached", 3, 13),
    (
        "const go = async () => {\n return await fetch('http://127.0.0.1:1/')}; await\ngo()",
        "",
        3,
        15,
    ),
    ("\n  r = await fetch('http://10.0.0.1/')", "may not be called", 3, 13),
    ("\n  r = await fetch('https://127.0.0.1:1/')", "the request failed", 3, 13),
    ("\n  r = await fetch('ftp://a.example/')", "http: and https:", 3, 13),
    ("\n  r = await fetch('/relative')", "Invalid URL", 3, 13),
    ("\n  r = await fetch('http://a.x/' + 'x'.repeat(30000))", "too long", 3, 13),
    ("\n  r = await fetch(e.url + '/long');\nawait r.text()", "longer than 64 KiB", 3, 13),
    ("\n  for (;;) await fetch(e.url + '/many')", "50 requests", 3, 18),
    ("\n  await Promise.all(e.many.map(() => fetch(e.url + '/many')))", "a script may make", 3, 38),
]


@pytest.mark.parametrize(("code", "message", "line", "column"), PLACES)
async def test_an_error_of_fetch_has_the_place_where_it_was_called(
    scripts: Bench, far: FarSide, code: str, message: str, line: int, column: int
) -> None:
    far.on("/many")
    far.on("/long", Say(200, b"x" * (BODY_LIMIT + 1)))
    source = f"export default async (e: any) => {{ let r;\n{code}\n}};"
    end = (await scripts.run(source, {"url": far.url, "many": [0] * 60})).end
    assert isinstance(end, Threw)
    assert message in end.message
    assert (end.line, end.column) == (line, column)


async def test_a_connection_that_breaks_is_a_type_error_and_is_told(
    scripts: Bench, far: FarSide
) -> None:
    url = far.on("/broken", Say(drop=True))
    run = await scripts.run(PROBE, {"code": f"await fetch({url!r}, {{method: 'POST'}})"})
    assert isinstance(run.end, Threw)
    assert run.end.message.startswith("TypeError: the request failed: 127.0.0.1:")
    [fetch] = run.fetches
    assert (fetch.method, fetch.url, fetch.status, fetch.sent) == ("POST", url, None, True)
    assert fetch.detail
    assert "closed the connection" in fetch.detail


async def test_the_guard_holds_for_scripts_and_tells_them_no_address(far: FarSide) -> None:
    async with bench() as scripts:
        guarded = HttpClient(Guard(), user_agent="Textgate/test")
        code = """
            const said = [];
            for (const host of context.secrets.hosts.split(" ")) {
                try { await fetch(`http://${host}:9/x`); said.push("made") }
                catch (problem) { said.push(`${problem.name}: ${problem.message}`) }
            }
            return said;
        """
        hosts = ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "0x7f.1"]
        run = await scripts.workers.run(
            "guarded",
            program(PROBE),
            json.dumps({"code": code}).encode(),
            secrets={"hosts": " ".join(hosts)},
            timeout=20,
            http=guarded,
        )
        await guarded.close()
    assert isinstance(run.end, Returned)
    said = json.loads(run.end.value or b"")
    assert len(said) == len(hosts)
    for each in said:
        assert each.startswith("TypeError: the request failed: ")
        assert "may not be called from here" in each
    assert not any(fetch.sent for fetch in run.fetches)
    assert "127.0.0.1" not in said[1]


# --- aborting ---


async def test_a_signal_ends_the_request_on_the_host(scripts: Bench, far: FarSide) -> None:
    hold = asyncio.Event()
    url = far.on("/held", script=lambda _: Say(hold=hold))
    code = f"""
        const stop = new AbortController();
        setTimeout(() => stop.abort(new RangeError("enough")), 50);
        try {{ await fetch({url!r}, {{signal: stop.signal}}) }} catch (e) {{ return String(e) }}
    """
    run = await scripts.run(PROBE, {"code": code})
    assert run.end == Returned(b'"RangeError: enough"')
    await until(lambda: far.holding == 0)
    assert [fetch.detail for fetch in run.fetches] == ["the script gave it up"]
    hold.set()


@pytest.mark.parametrize(
    ("signal", "wanted"),
    [
        ("AbortSignal.timeout(30)", "TimeoutError"),
        ("AbortSignal.abort()", "AbortError"),
        ("AbortSignal.any([AbortSignal.timeout(30)])", "TimeoutError"),
        ("AbortSignal.abort('a text')", None),
    ],
)
async def test_the_reason_of_a_signal_is_what_is_thrown(
    scripts: Bench, far: FarSide, signal: str, wanted: str | None
) -> None:
    hold = asyncio.Event()
    url = far.on("/reason", script=lambda _: Say(hold=hold))
    code = f"""
        try {{ await fetch({url!r}, {{signal: {signal}}}) }}
        catch (e) {{ return typeof e === "string" ? e : e.name }}
    """
    assert await scripts.probe(code) == (wanted or "a text")
    assert far.count("/reason") == (1 if wanted == "TimeoutError" else 0)
    hold.set()


# --- redirects ---


def _to(location: str, status: int = 302) -> Say:
    return Say(status, b"moved", {"Location": location})


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (303, "PUT", "GET"),
     (303, "HEAD", "HEAD"), (307, "POST", "POST"), (308, "PUT", "PUT"), (302, "PUT", "PUT")],
)  # fmt: skip
async def test_a_redirect_is_followed_by_the_rules(
    scripts: Bench, far: FarSide, status: int, method: str, then: str
) -> None:
    start, end = far.on("/start", _to("end?x=1", status)), far.on("/end")
    body = "undefined" if method == "HEAD" else "'text'"
    code = f"""
        const headers = {{"Content-Type": "a/b", Authorization: "kept"}};
        const r = await fetch({start!r}, {{method: {method!r}, body: {body}, headers}});
        return [r.status, r.url, r.redirected];
    """
    run = await scripts.run(PROBE, {"code": code})
    assert run.end == Returned(json.dumps([200, end + "?x=1", True]).replace(" ", "").encode())
    [request] = far.requests["/end"]
    kept = then == method and method != "HEAD"
    assert (request.method, request.body) == (then, b"text" if kept else b"")
    assert request.headers.get("content-type") == ("a/b" if then == method else None)
    assert request.headers["authorization"] == "kept"
    assert [fetch.status for fetch in run.fetches] == [status, 200]


async def test_another_origin_gets_no_credentials(scripts: Bench, far: FarSide) -> None:
    async with FarSide() as other:
        there = other.on("/there")
        start = far.on("/start", _to(there, 307))
        headers = "{Authorization: 'secret', Cookie: 'secret', 'X-Api': 'kept'}"
        code = f"await fetch({start!r}, {{method: 'POST', body: 'b', headers: {headers}}})"
        await scripts.probe(code)
        [request] = other.requests["/there"]
    assert not {"authorization", "cookie"} & request.headers.keys()
    assert (request.headers["x-api"], request.body) == ("kept", b"b")


async def test_a_redirect_can_be_an_error_or_the_answer(scripts: Bench, far: FarSide) -> None:
    far.on("/start", script=lambda _: _to("/end"))
    code = f"""
        const url = {far.url!r} + "/start";
        const r = await fetch(url, {{redirect: "manual"}});
        const problem = await fetch(url, {{redirect: "error"}}).catch((problem) => String(problem));
        return [r.status, r.headers.get("location"), await r.text(), problem];
    """
    status, location, text, problem = await scripts.probe(code)
    assert (status, location, text) == (302, "/end", "moved")
    assert problem.startswith("TypeError: the request failed: the answer is a redirect")
    assert far.count("/end") == 0


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/start", "redirected more than 10 times"),
        ("ftp://a.example/", "something that is not of HTTP"),
        ("file:///etc/passwd", "something that is not of HTTP"),
        ("http://u:p@127.0.0.1/", "a URL with a user or password"),
        ("http://[", "something that is no URL"),
        ("http://169.254.169.254/latest", "169.254.169.254 may not be called from here"),
    ],
)
async def test_a_redirect_that_leads_nowhere_is_an_error(
    scripts: Bench, far: FarSide, location: str, message: str
) -> None:
    url = far.on("/start", script=lambda _: _to(location))
    end = (await scripts.run(PROBE, {"code": f"await fetch({url!r})"})).end
    assert isinstance(end, Threw)
    assert message in end.message
    assert far.count("/start") <= 11


# --- limits ---


async def test_a_call_makes_so_many_requests_and_no_more(scripts: Bench, far: FarSide) -> None:
    url = far.on("/many")
    code = f"""
        let made = 0;
        try {{ for (;;) {{ await fetch({url!r}); made++ }} }}
        catch (problem) {{ return [made, problem.message] }}
    """
    assert await scripts.probe(code) == [50, "a script may make 50 requests in one call"]
    assert await scripts.probe(f"return (await fetch({url!r})).status") == 200  # the next call may


async def test_a_call_makes_so_many_requests_at_once_and_no_more(
    scripts: Bench, far: FarSide
) -> None:
    hold = asyncio.Event()
    url = far.on("/once", script=lambda _: Say(hold=hold))
    code = f"""
        const all = Array.from({{length: 20}}, () => fetch({url!r}).then((r) => r.status, String));
        const first = await Promise.race(all);
        await fetch({far.url!r} + "/release").catch(() => {{}});
        return [first, (await Promise.all(all)).filter((one) => one === 200).length];
    """
    far.on("/release")
    running = asyncio.ensure_future(scripts.probe(code))
    await until(lambda: far.holding == 16)
    hold.set()
    first, made = await running
    assert first == "TypeError: a script may make 16 requests at the same time"
    assert made == 16


async def test_a_request_has_the_time_of_its_call(scripts: Bench, far: FarSide) -> None:
    hold = asyncio.Event()
    url = far.on("/slow", script=lambda _: Say(hold=hold))
    run = await scripts.run(PROBE, {"code": f"await fetch({url!r})"}, timeout=0.5)
    assert run.end == Ended(EndReason.TIMEOUT, "the script did not finish within 0.5 s")
    assert 450 < run.elapsed_ms < 5000
    await until(lambda: far.holding == 0)
    [fetch] = run.fetches
    assert (fetch.status, fetch.sent) == (None, True)
    hold.set()


async def test_what_a_call_left_behind_has_no_effect(scripts: Bench, far: FarSide) -> None:
    late, once = far.on("/late"), far.on("/once-more")
    code = f"""
        globalThis.ticks = 0; globalThis.problems = [];
        const tick = () => {{
            globalThis.ticks++;
            fetch({late!r}).catch((problem) => globalThis.problems.push(problem.message));
            console.log("tick");
        }};
        setInterval(tick, 1);
        globalThis.leave = new Promise((done) => globalThis.go = done).then(tick);
    """
    left = await scripts.run(PROBE, {"code": code})
    assert left.end == Returned(None)
    code = f"""
        globalThis.go(); await globalThis.leave; const before = globalThis.ticks;
        await new Promise((done) => setTimeout(done, 30));
        await fetch({once!r});
        return [globalThis.ticks - before, globalThis.problems];
    """
    after = await scripts.run(PROBE, {"code": code})
    assert isinstance(after.end, Returned)
    ticks, problems = json.loads(after.end.value or b"")
    assert ticks == 0
    assert problems == ["fetch is over: the call that it belongs to has ended"]
    assert far.count("/late") == 0
    assert far.count("/once-more") == 1
    assert after.console == ()
