"""Plain http without libcurl: what goes out, and which connections are used again."""

import asyncio
import contextlib
import socket

import pytest
from outbound_direct import REPEATABLE, failed, replied
from outbound_far_side import OK, Line, far_side, keeps_answering, soon

from textgate.outbound import pools
from textgate.outbound.direct import DirectClient
from textgate.outbound.reply import Failure, FailureKind


async def test_a_request_is_what_was_asked_for_and_what_frames_it(direct: DirectClient) -> None:
    async with far_side(keeps_answering) as far:
        headers = [("X-A", "1"), ("X-Empty", ""), ("Idempotency-Key", "k")]
        await replied(direct, far.url("/p?q=%0d%0a#f"), headers=headers, body=b"{}")
        assert far.requests[-1] == (
            b"POST /p?q=%0d%0a HTTP/1.1\r\n"
            b"Host: 127.0.0.1:" + str(far.port).encode() + b"\r\n"
            b"X-A: 1\r\nX-Empty:\r\nIdempotency-Key: k\r\n"
            b"User-Agent: Textgate/1\r\nContent-Length: 2\r\n\r\n{}"
        )
        await direct.request("GET", far.url(), headers=[("user-agent", "own")], timeout=5)
        assert far.requests[-1].endswith(b"user-agent: own\r\n\r\n")


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "HTTPS://example.com/"])
async def test_tls_is_not_for_this_client(direct: DirectClient, url: str) -> None:
    with pytest.raises(ValueError, match="https is not for this client"):
        await direct.request("POST", url, timeout=5)


async def test_a_large_body_arrives_whole_and_its_connection_is_kept(direct: DirectClient) -> None:
    body = bytes(range(256)) * 80_000
    async with far_side(keeps_answering) as far:
        for _ in range(2):
            await replied(direct, far.url(), body=body)
            assert far.requests[-1].endswith(b"\r\n\r\n" + body)
        assert far.connections == 1


async def test_an_answer_before_the_end_of_the_request_counts_and_is_the_last(
    direct: DirectClient,
) -> None:
    async def refuses_early(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(b"HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n")
        await line.far.came.wait()

    async with far_side(refuses_early) as far:
        reply = await replied(direct, far.url(), body=b"x" * 20_000_000)
        assert reply.status == 413
        reply = await replied(direct, far.url(), body=b"x" * 20_000_000)
        assert reply.status == 413
        assert far.connections == 2
        far.came.set()


async def test_a_far_side_that_does_not_read_ends_by_the_timeout(direct: DirectClient) -> None:
    async def never_reads(line: Line) -> None:
        await line.far.came.wait()

    async with far_side(never_reads) as far:
        ended = await failed(direct, far.url(), body=b"x" * 20_000_000, timeout=0.3)
        far.came.set()
    assert (ended.kind, ended.sent) == (FailureKind.TIMEOUT, True)


# Which connections are used again.


async def test_two_hundred_calls_at_once_are_each_answered_on_kept_connections(
    direct: DirectClient,
) -> None:
    async def echoes(line: Line) -> None:
        while True:
            body = (await line.request()).partition(b"\r\n\r\n")[2]
            await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with far_side(echoes) as far:
        for _ in range(3):
            bodies = [b"%d" % number for number in range(200)]
            replies = await asyncio.gather(*(replied(direct, far.url(), body=b) for b in bodies))
            assert [reply.body for reply in replies] == bodies
        assert len(far.requests) == 600
        assert far.connections <= 200, "as many as one host may have"


async def test_a_connection_is_not_trusted_for_long_by_what_may_not_be_repeated(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "IDLE_S", 0.0)
    async with far_side(keeps_answering) as far:
        await replied(direct, far.url())
        await replied(direct, far.url(), headers=REPEATABLE)
        assert far.connections == 1
        await replied(direct, far.url())
        assert far.connections == 2


async def test_an_idle_connection_is_closed_after_a_while(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "IDLE_REPEATABLE_S", 0.05)
    async with far_side(keeps_answering) as far:
        await replied(direct, far.url(), timeout=60)
        await soon(far.hung_up)
        await replied(direct, far.url())
        assert far.connections == 2


async def test_what_nobody_asked_for_is_not_the_next_answer(direct: DirectClient) -> None:
    idle, said = asyncio.Event(), asyncio.Event()

    async def says_too_much(line: Line) -> None:
        await line.request()
        await line.say(OK)
        await idle.wait()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        said.set()
        with contextlib.suppress(asyncio.IncompleteReadError):
            await keeps_answering(line)

    async with far_side(says_too_much) as far:
        await replied(direct, far.url())
        idle.set()
        await soon(said)  # our side may not have read it yet
        assert (await replied(direct, far.url(), headers=REPEATABLE)).body == b"ok"
        assert far.connections == 2


async def test_a_repeated_request_that_is_lost_again_is_not_sent_a_third_time(
    direct: DirectClient,
) -> None:
    async def dies_on_the_second(line: Line) -> None:
        await line.request()
        if line.far.connections == 1:
            await line.say(OK)
            await line.request()

    async with far_side(dies_on_the_second) as far:
        await replied(direct, far.url())
        ended = await failed(direct, far.url(), headers=REPEATABLE)
        assert len(far.requests) == 3
    assert (ended.kind, ended.sent) == (FailureKind.BROKEN, True)


async def test_a_repeated_request_that_finds_nobody_may_have_been_acted_on(
    direct: DirectClient,
) -> None:
    """The far side restarts: it takes the second request, and is gone for the third."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    loop = asyncio.get_running_loop()

    def serve() -> None:
        line, _ = listening.accept()
        listening.close()
        with line:
            line.recv(65_536)
            line.sendall(OK)
            line.recv(65_536)

    serving = loop.run_in_executor(None, serve)
    await replied(direct, url, headers=REPEATABLE)
    ended = await failed(direct, url, headers=REPEATABLE)
    await serving
    assert (ended.kind, ended.sent) == (FailureKind.CONNECT, True)


@pytest.mark.parametrize("banner", [b"220 mail.example ESMTP\r\n", OK, b""])
async def test_who_speaks_or_leaves_before_it_is_asked_is_not_dialled_over_and_over(
    direct: DirectClient, banner: bytes
) -> None:
    async def greets(line: Line) -> None:
        if banner:
            await line.say(banner)
            await line.until_closed()

    async with far_side(greets) as far:
        ended = await direct.request("POST", far.url(), timeout=5)
        assert far.connections == 1
    assert isinstance(ended, Failure) or ended.body == b"ok"
