"""What goes out and what comes back when the far side behaves."""

import asyncio
import time
from email.utils import formatdate

import pytest
from outbound_far_side import OK, Line, answers, far_side, keeps_answering

from textgate.outbound.guard import Guard
from textgate.outbound.http import Failure, FailureKind, HttpClient, Reply


async def test_exactly_the_given_headers_go_out_beside_the_clients_own(http: HttpClient) -> None:
    async with far_side(keeps_answering) as far:
        headers = [("X-Signature", "abc"), ("Content-Type", "application/json"), ("X-Empty", "")]
        await http.request(
            "POST", far.url("/a/../b?q=%20#f"), headers=headers, body=b'{"n":"\0"}', timeout=5
        )
        head, _, body = far.requests[0].partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
    assert first == "POST /a/../b?q=%20 HTTP/1.1"
    assert sorted(rest) == [
        "Content-Length: 9",
        "Content-Type: application/json",
        f"Host: 127.0.0.1:{far.port}",
        "User-Agent: Textgate/test",
        "X-Empty:",
        "X-Signature: abc",
    ]
    assert body == b'{"n":"\0"}'


@pytest.mark.parametrize("size", [2_000_000, 0])
async def test_a_body_of_any_size_goes_out_at_once_and_untyped(http: HttpClient, size: int) -> None:
    async with far_side(keeps_answering) as far:
        await http.request("POST", far.url(), body=b"x" * size, timeout=10)
        head, _, body = far.requests[0].partition(b"\r\n\r\n")
    assert len(body) == size
    assert b"expect" not in head.lower()
    assert b"content-type" not in head.lower()


@pytest.mark.parametrize(
    ("method", "body", "first"),
    [
        ("GET", b"", b"GET / HTTP/1.1"),
        ("GET", b"b", b"GET / HTTP/1.1"),
        ("DELETE", b"", b"DELETE / HTTP/1.1"),
        ("DELETE", b"b", b"DELETE / HTTP/1.1"),
        ("PUT", b"", b"PUT / HTTP/1.1"),
        ("PATCH", b"b", b"PATCH / HTTP/1.1"),
        ("POST", b"", b"POST / HTTP/1.1"),
        ("HEAD", b"", b"HEAD / HTTP/1.1"),
        ("OPTIONS", b"", b"OPTIONS / HTTP/1.1"),
    ],
)
async def test_each_method_goes_out_as_asked_after_each_other(
    http: HttpClient, method: str, body: bytes, first: bytes
) -> None:
    async with far_side(keeps_answering) as far:
        for before in ("POST", "GET", "HEAD", "DELETE"):
            await http.request(before, far.url(), timeout=5)
            if before == "HEAD":  # our far side answers it with a body: no more of this line
                continue
            await http.request(method, far.url(), body=body, timeout=5)
            sent = far.requests[-1]
            assert sent.startswith(first)
            assert sent.partition(b"\r\n\r\n")[2] == body
            assert (b"Content-Length: " in sent) == (bool(body) or method in "POST PUT PATCH")


async def test_the_answer_comes_back_with_status_body_and_time(http: HttpClient) -> None:
    async with far_side(
        answers(b"HTTP/1.1 418 x\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc")
    ) as far:
        reply = await http.request("GET", far.url(), timeout=5)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body, reply.truncated, reply.headers) == (418, b"abc", False, {})
    assert reply.retry_after is None
    assert 0 < reply.elapsed_ms < 5000


async def test_headers_are_kept_when_asked_for_and_only_then(http: HttpClient) -> None:
    answer = (
        b"HTTP/1.1 103 Early Hints\r\nLink: early\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\nX-One: 1\r\nx-one: two\r\nX-Odd: \xe9:b\r\n\r\n"
    )
    async with far_side(answers(answer, answer, answer)) as far:
        kept = await http.request("GET", far.url(), timeout=5, keep_headers=True)
        not_kept = await http.request("GET", far.url(), timeout=5)
        again = await http.request("GET", far.url(), timeout=5, keep_headers=True)
    assert isinstance(kept, Reply)
    assert isinstance(not_kept, Reply)
    assert isinstance(again, Reply)
    assert kept.status == 204
    assert kept.headers == again.headers == {"x-one": "1, two", "x-odd": "é:b"}
    assert not_kept.headers == {}


@pytest.mark.parametrize(
    ("value", "status", "wants"),
    [
        ("120", 429, range(120, 121)),
        ("in 90 s", 503, range(80, 92)),
        ("0", 503, None),
        ("soon", 503, None),
        ("120", 200, None),
        ("999999999", 503, range(21_600, 21_601)),
    ],
)
async def test_retry_after_is_understood_in_both_forms(
    http: HttpClient, value: str, status: int, wants: range | None
) -> None:
    if value == "in 90 s":
        value = formatdate(time.time() + 90, usegmt=True)
    answer = f"HTTP/1.1 {status} x\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
    async with far_side(answers(answer.encode())) as far:
        reply = await http.request("GET", far.url(), timeout=5)
    assert isinstance(reply, Reply)
    assert reply.retry_after in wants if wants else reply.retry_after is None


async def test_a_connection_is_used_again_and_again(http: HttpClient) -> None:
    async with far_side(keeps_answering) as far:
        for _ in range(20):
            assert isinstance(await http.request("POST", far.url(), body=b"b", timeout=5), Reply)
        assert (far.connections, len(far.requests)) == (1, 20)


async def test_many_calls_at_once_share_the_connections_that_one_host_may_have() -> None:
    http = HttpClient(Guard(allow_loopback=True), user_agent="t", max_host_connections=40)
    async with far_side(keeps_answering) as far:
        for _ in range(2):
            calls = (http.request("POST", far.url(f"/{n}"), timeout=10) for n in range(150))
            replies = await asyncio.gather(*calls)
            assert all(isinstance(reply, Reply) and reply.body == b"ok" for reply in replies)
        assert len(far.requests) == 300
        assert far.connections == 40
    await http.close()


async def test_a_call_waits_for_a_free_connection_within_its_timeout() -> None:
    http = HttpClient(Guard(allow_loopback=True), user_agent="t", max_connections=1)
    release = asyncio.Event()

    async def behave(line: Line) -> None:
        while True:
            await line.request()
            await release.wait()
            await line.say(OK)

    async with far_side(behave) as far:
        first = asyncio.create_task(http.request("POST", far.url("/1"), timeout=10))
        await far.came.wait()
        late = await http.request("POST", far.url("/2"), timeout=0.2)
        third = asyncio.create_task(http.request("POST", far.url("/3"), timeout=10))
        release.set()
        assert isinstance(await first, Reply)
        assert isinstance(await third, Reply)
        assert far.connections == 1
        assert [r.split()[1] for r in far.requests] == [b"/1", b"/3"]
    assert isinstance(late, Failure)
    assert (late.kind, late.sent) == (FailureKind.TIMEOUT, False)
    await http.close()


async def test_ipv6_is_spoken(http: HttpClient) -> None:
    async with far_side(keeps_answering, host="::1") as far:
        reply = await http.request("GET", far.url(host="[::1]"), timeout=5)
    assert isinstance(reply, Reply)


def test_the_standard_event_loop_will_do_too() -> None:
    async def call() -> Reply | Failure:
        http = HttpClient(Guard(allow_loopback=True), user_agent="t")
        async with far_side(keeps_answering) as far:
            reply = await http.request("GET", far.url(), timeout=5)
        await http.close()
        return reply

    assert isinstance(asyncio.run(call()), Reply)


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\r\n\r\nPOST / HTTP/1.1"),
        ("X-A", "1\nX-B: 2"),
        ("X-A", "1\n"),
        ("X-A", "\r1"),
        ("X-A", "1\0"),
        ("X-A", "é"),
        ("X A", "1"),
        ("X-A\n", "1"),
        ("X-A:", "1"),
        ("X-A: 1\r\nX-B", "2"),
        ("", "1"),
        ("Content-Length", "5"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding", "chunked"),
        ("Host", "elsewhere.example"),
        ("HOST", "elsewhere.example"),
        ("Connection", "upgrade"),
    ],
)
async def test_a_header_that_could_break_the_framing_is_a_programming_error(
    http: HttpClient, header: tuple[str, str]
) -> None:
    async with far_side(keeps_answering) as far:
        for headers in ([header], [("X-1", "1"), header]) * 2:  # names are remembered
            with pytest.raises(ValueError):
                await http.request("POST", far.url(), headers=headers, timeout=5)
        assert far.connections == 0


@pytest.mark.parametrize(("method", "timeout"), [("get", 5), ("G T", 5), ("GET", 0)])
async def test_a_malformed_call_is_a_programming_error(
    http: HttpClient, method: str, timeout: float
) -> None:
    with pytest.raises(ValueError):
        await http.request(method, "https://example.com/", timeout=timeout)
