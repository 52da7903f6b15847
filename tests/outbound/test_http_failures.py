"""A slow, broken, hostile or absent far side ends as a value that says if it may have acted."""

import asyncio
import gzip
import socket

import pytest
from outbound_far_side import (
    Behaviour,
    FarSide,
    Line,
    answers,
    deaf,
    far_side,
    keeps_answering,
    says_nothing,
    soon,
)

from textgate.outbound.guard import Guard
from textgate.outbound.http import BODY_LIMIT, Failure, FailureKind, HttpClient, Reply

SECRET = "/path?api_key=sesame"


async def failing(http: HttpClient, url: str, timeout: float = 5.0) -> Failure:
    headers = [("Authorization", "Bearer sesame")]
    ended = await http.request("POST", url, headers=headers, body=b"sesame", timeout=timeout)
    assert isinstance(ended, Failure), ended
    assert "sesame" not in ended.detail
    return ended


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


async def test_a_refused_connection_was_surely_not_acted_on(
    http: HttpClient, closed_port: int
) -> None:
    ended = await failing(http, f"http://127.0.0.1:{closed_port}{SECRET}")
    assert (ended.kind, ended.sent) == (FailureKind.CONNECT, False)
    assert ended.detail == f"127.0.0.1:{closed_port} cannot be reached: Connection refused"


async def test_a_name_that_nobody_knows(http: HttpClient) -> None:
    # libcurl itself refuses to look up .onion (RFC 7686): nothing leaves the machine.
    ended = await failing(http, f"https://nobody.onion{SECRET}")
    assert (ended.kind, ended.sent) == (FailureKind.RESOLVE, False)
    assert ended.detail == "nobody.onion cannot be resolved"


async def slow_headers(line: Line) -> None:
    await line.request()
    await line.say(b"HTTP/1.1 200 OK\r\nX-A")
    await line.until_closed()


async def slow_body(line: Line) -> None:
    await line.request()
    await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc")
    await line.until_closed()


async def trickle(line: Line) -> None:
    await line.request()
    await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    while True:
        await line.say(b".")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("behave", [says_nothing, slow_headers, slow_body, trickle])
async def test_a_slow_answer_ends_in_time_and_may_have_been_acted_on(
    http: HttpClient, behave: Behaviour
) -> None:
    async with far_side(behave) as far:
        ended = await failing(http, far.url(SECRET), timeout=0.3)
        await soon(far.hung_up)
    assert (ended.kind, ended.sent) == (FailureKind.TIMEOUT, True)
    assert ended.detail == f"127.0.0.1:{far.port} did not answer within 0.3 s"
    assert 250 < ended.elapsed_ms < 3000


async def test_a_far_side_that_never_takes_the_connection_was_not_reached(http: HttpClient) -> None:
    with deaf("127.0.0.1") as port:
        ended = await failing(http, f"http://127.0.0.1:{port}{SECRET}", timeout=0.3)
    assert (ended.kind, ended.sent) == (FailureKind.TIMEOUT, False)
    assert ended.detail == f"127.0.0.1:{port} was not reached within 0.3 s"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 20", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", "broke off in the middle"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "broke off in the middle",
        ),
        (b"220 mail.example ESMTP\r\n", "did not answer in HTTP"),
        (b"\x16\x03\x01\0\0\xff\xfe\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"y" * 400_000 + b"\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: yyyyyyyy\r\n" * 40_000 + b"\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000, None),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            "sent an answer that cannot be",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw", "did not answer in HTTP"),
    ],
)
async def test_a_broken_answer_may_have_been_acted_on(
    http: HttpClient, answer: bytes, says: str | None
) -> None:
    async with far_side(answers(answer)) as far:
        ended = await failing(http, far.url(SECRET))
    assert (ended.kind, ended.sent) == (FailureKind.BROKEN, True)
    assert ended.detail.startswith(f"127.0.0.1:{far.port} {says or ''}".rstrip())
    assert far.connections == 1


async def endless(line: Line) -> None:
    await line.request()
    await line.say(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await line.say(b"x" * 10_000)


@pytest.mark.parametrize(
    "behave",
    [
        endless,
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000),
        answers(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 50_000_000)
        ),
    ],
    ids=["endless", "longer than it says", "gzip bomb"],
)
async def test_of_a_body_without_end_only_the_beginning_is_read(
    http: HttpClient, behave: Behaviour
) -> None:
    async with far_side(behave) as far:
        reply = await http.request("POST", far.url(), timeout=10)
        await soon(far.hung_up)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.truncated) == (200, True)
    assert reply.body == b"x" * BODY_LIMIT


async def test_a_body_of_just_the_limit_is_whole_and_its_connection_is_kept(
    http: HttpClient,
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY_LIMIT + b"x" * BODY_LIMIT
    async with far_side(answers(answer, answer)) as far:
        for _ in range(2):
            reply = await http.request("POST", far.url(), timeout=10)
            assert isinstance(reply, Reply)
            assert (len(reply.body), reply.truncated) == (BODY_LIMIT, False)
        assert far.connections == 1


async def test_a_compressed_answer_is_read_though_nobody_asked_for_it(http: HttpClient) -> None:
    packed = gzip.compress(b'{"code":"ok"}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with far_side(answers(head + packed)) as far:
        reply = await http.request("POST", far.url(), timeout=5)
    assert isinstance(reply, Reply)
    assert reply.body == b'{"code":"ok"}'
    assert b"accept" not in far.requests[0].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(http: HttpClient, status: int) -> None:
    async with far_side(keeps_answering) as inside:
        to = f"HTTP/1.1 {status} x\r\nLocation: {inside.url()}\r\nContent-Length: 0\r\n\r\n"
        async with far_side(answers(to.encode())) as far:
            reply = await http.request("POST", far.url(), timeout=5)
        assert isinstance(reply, Reply)
        assert reply.status == status
        assert inside.connections == 0


async def test_cancelling_the_caller_hangs_up(http: HttpClient) -> None:
    async with far_side(says_nothing) as far:
        call = asyncio.create_task(http.request("POST", far.url(), body=b"b", timeout=60))
        await soon(far.came)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(far.hung_up)
    async with far_side(keeps_answering) as other:
        assert isinstance(await http.request("POST", other.url(), timeout=5), Reply)


async def test_closing_ends_what_is_under_way_and_refuses_what_comes() -> None:
    http = HttpClient(Guard(allow_loopback=True), user_agent="t")
    async with far_side(says_nothing) as far:
        calls = [asyncio.create_task(failing(http, far.url(SECRET), 60)) for _ in range(3)]
        await soon(far.came)
        async with asyncio.timeout(5):
            await http.close()
            ended = await asyncio.gather(*calls)
        await soon(far.hung_up)
        assert [failure.kind for failure in ended] == [FailureKind.BROKEN] * 3
        assert any(failure.sent for failure in ended)
        late = await failing(http, far.url())
        assert (late.kind, late.sent) == (FailureKind.BROKEN, False)
    await http.close()


async def test_a_slow_far_side_delays_no_other(http: HttpClient) -> None:
    async with far_side(says_nothing) as slow, far_side(keeps_answering) as quick:
        stuck = [
            asyncio.create_task(http.request("POST", slow.url(), timeout=60)) for _ in range(50)
        ]
        await soon(slow.came)
        for _ in range(10):
            reply = await http.request("POST", quick.url(), timeout=5)
            assert isinstance(reply, Reply)
            assert reply.elapsed_ms < 1000
        for call in stuck:
            call.cancel()


def proxy_variables(far: FarSide) -> list[tuple[str, str]]:
    names = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    return [(name, far.url()) for name in names]


async def test_proxies_of_the_environment_are_not_used(
    http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with far_side(keeps_answering) as proxy, far_side(keeps_answering) as far:
        for name, value in proxy_variables(proxy):
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("no_proxy", raising=False)
        assert isinstance(await http.request("POST", far.url(), timeout=5), Reply)
        assert (proxy.connections, far.connections) == (0, 1)
