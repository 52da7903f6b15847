"""Streamed answers and the events in them, from a far side that says exactly what a test wants."""

import asyncio
import ssl
from pathlib import Path

import pytest
from outbound_far_side import Line, answers, far_side, says_nothing

from textgate.outbound.dial import Unreachable
from textgate.outbound.event_stream import ServerEvent, open_events
from textgate.outbound.guard import Guard
from textgate.outbound.reply import FailureKind
from textgate.outbound.streamed import Streams

TLS = Path(__file__).parents[1] / "tls"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def streams(guard: Guard | None = None, ca_file: Path | None = None) -> Streams:
    return Streams(guard or Guard(allow_loopback=True), user_agent="okhttp/4", ca_file=ca_file)


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


async def heard(url: str, *, through: Streams | None = None, silence_s: float = 5.0) -> list[str]:
    """All events of a stream that the far side ends."""
    async with (
        asyncio.timeout(10),
        open_events(
            through or streams(), url, headers=[("Authorization", "Bearer t")], silence_s=silence_s
        ) as events,
    ):
        return [f"{event.name} {event.data}" async for event in events]


async def test_events_come_as_they_are_said_however_they_are_cut() -> None:
    said = (
        b":welcome\n\nevent: MessageCancelled\r\ndata: {\"messageId\":\"a\"}\r\n\r\n"
        b"data: one\rdata:two\r\r"
        b"event: nothing\n\nid: 7\nretry: 9\nevent: Late\ndata: null\n\n"
    )  # fmt: skip
    expected = ['MessageCancelled {"messageId":"a"}', "message one\ntwo", "Late null"]
    for size in (1, 2, 7, len(said)):
        pieces = [chunk(said[at : at + size]) for at in range(0, len(said), size)]
        async with far_side(answers(CHUNKED + b"".join(pieces) + b"0\r\n\r\n")) as far:
            assert await heard(far.url("/events")) == expected
            assert far.requests[0].startswith(b"GET /events HTTP/1.1\r\n")
            assert b"User-Agent: okhttp/4\r\n" in far.requests[0]
            assert b"Accept: text/event-stream\r\n" in far.requests[0]


async def test_an_event_is_heard_before_the_stream_ends() -> None:
    async def one_event(line: Line) -> None:
        await line.request()
        await line.say(CHUNKED + chunk(b"event: A\ndata: null\n\n"))
        await line.until_closed()

    async with (
        far_side(one_event) as far,
        asyncio.timeout(10),
        open_events(streams(), far.url(), headers=(), silence_s=5) as events,
    ):
        assert await anext(events) == ServerEvent("A", "null")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 401 x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n", "401"),
        (b"HTTP/1.1 200 x\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n", "text/html"),
        (b"SSH-2.0-OpenSSH\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 x\r\n" + b"a: b\r\n" * 20_000, "headers without end"),
        (b"", "without an answer"),
    ],
)
async def test_what_is_no_event_stream_is_told(answer: bytes, why: str) -> None:
    async with far_side(answers(answer)) as far:
        with pytest.raises(Unreachable, match=why):
            await heard(far.url())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (chunk(b"data: a\n\n"), "broke off"),
        (chunk(b"data: " + b"a" * 70_000), "too long"),
        (chunk(b"data: %s\n" % (b"a" * 60_000)) * 5, "too long"),
    ],
)
async def test_a_stream_that_breaks_or_has_no_bounds_ends_with_a_word(
    said: bytes, why: str
) -> None:
    async with far_side(answers(CHUNKED + said)) as far:
        with pytest.raises(Unreachable, match=why):
            await heard(far.url())


async def test_a_silent_stream_is_given_up() -> None:
    async def silent(line: Line) -> None:
        await line.request()
        await line.say(CHUNKED + chunk(b":here\n\n"))
        await line.until_closed()

    async with far_side(silent) as far:
        with pytest.raises(Unreachable) as given_up:
            await heard(far.url(), silence_s=0.05)
        assert given_up.value.kind is FailureKind.TIMEOUT


async def test_leaving_hangs_up() -> None:
    async with far_side(says_nothing) as far:
        task = asyncio.create_task(heard(far.url()))
        async with asyncio.timeout(10):
            await far.came.wait()
            task.cancel()
            await far.hung_up.wait()
        assert task.cancelling()


async def test_the_guard_has_its_say() -> None:
    async with far_side(answers(HEAD + b"\r\n")) as far:
        with pytest.raises(Unreachable) as refused:
            await heard(far.url(), through=streams(Guard()))
        assert refused.value.kind is FailureKind.REFUSED
        assert far.connections == 0


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with far_side(answers(HEAD + b"\r\ndata: a\n\n")) as far:
        assert await heard(far.url()) == ["message a"]


async def test_over_tls_the_certificate_is_looked_at() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    async with far_side(answers(HEAD + b"\r\ndata: a\n\n"), tls=tls) as far:
        url = far.url(host="localhost")
        with pytest.raises(Unreachable) as refused:
            await heard(url)
        assert refused.value.kind is FailureKind.TLS
        assert await heard(url, through=streams(ca_file=TLS / "localhost.pem")) == ["message a"]
