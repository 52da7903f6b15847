"""Requests as bytes: bodies in pieces, too large, too late; and faults of our own."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from serving import PASSWORD, Served, serving
from structlog.testing import capture_logs

from textgate.api import body, thirdparty_v1
from textgate.api.operation import Answer, Call, Group, Operation
from textgate.api.problem import DIALECT, NATIVE

MESSAGES = "/3rdparty/v1/messages"
MESSAGE = {"message": "Hi", "phoneNumbers": ["+41790000001"]}
WHOLE = json.dumps(MESSAGE).encode()
ENDLESS = b"%x\r\n%b\r\n" % (len(WHOLE), WHOLE)
"""A body in chunks that could be stored as it is, were it not for the chunk that ends it."""
LIMIT = 2_000


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)


async def stored(served: Served) -> int:
    return (
        await served.store.read(
            lambda tx: tx.messages.page(served.account.id, since=0, until=2**60, limit=1, offset=0)
        )
    )[1]


def request(served: Served, headers: str, content: bytes = b"") -> bytes:
    basic = base64.b64encode(f"{served.login}:{PASSWORD}".encode()).decode()
    return (
        f"POST {MESSAGES} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Basic {basic}\r\n"
        f"Content-Type: application/json\r\n{headers}\r\n"
    ).encode() + content


async def exchange(served: Served, *sent: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back until the line is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    for part in sent:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_body_in_pieces_is_read_whole(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        whole = json.dumps(MESSAGE).encode()
        content = pieces(whole[:5], whole[5:20], whole[20:])
        headers = {"Content-Type": "application/json"}
        answer = await client.post(MESSAGES, content=content, headers=headers)
        assert answer.status_code == 202


async def test_a_body_that_comes_after_its_headers_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:
        whole = json.dumps(MESSAGE).encode()
        headers = f"Content-Length: {len(whole)}\r\nConnection: close\r\n"
        answer = await exchange(served, request(served, headers), whole[:7], whole[7:])
        assert answer.startswith(b"HTTP/1.1 202 ")
        # The same through the way that other routes go.
        patch = b'{"ping":{"interval_seconds":5}}'
        begin = request(served, f"Content-Length: {len(patch)}\r\nConnection: close\r\n")
        begin = begin.replace(b"POST " + MESSAGES.encode(), b"PATCH /3rdparty/v1/settings")
        answer = await exchange(served, begin, patch[:7], patch[7:])
        assert answer.endswith(b"\r\n\r\n" + patch)


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "in chunks"])
@pytest.mark.parametrize("size", [LIMIT + 1, 20 * LIMIT], ids=["by little", "by far"])
async def test_a_body_over_the_limit_is_refused_and_stores_nothing(
    tmp_path: Path, declared: bool, size: int
) -> None:
    large = json.dumps({**MESSAGE, "x": "y" * size}).encode()
    async with serving(tmp_path, thirdparty_v1.GROUP, body_limit=LIMIT) as served:
        async with served.client() as client:
            content = large if declared else pieces(large[:100], large[100:])
            headers = {"Content-Type": "application/json"}
            answer = await client.post(MESSAGES, content=content, headers=headers)
            assert answer.status_code == 413
            assert answer.json() == {"message": "the body is larger than this server takes"}
            assert answer.headers["Connection"] == "close"
        assert await stored(served) == 0


async def test_a_declared_length_beyond_the_limit_is_waited_for_a_quarter_of_the_usual_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "TIMEOUT_S", 4.0)
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:
        begun = time.monotonic()
        answer = await exchange(served, request(served, "Content-Length: 999999999\r\n", b"{"))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert 0.9 < time.monotonic() - begun < 3


async def test_a_body_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "TIMEOUT_S", 0.2)
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:
        begin = request(served, "Transfer-Encoding: chunked\r\n", ENDLESS)
        assert b" 202 " not in await exchange(served, begin)
        assert await stored(served) == 0


async def test_a_caller_that_hangs_up_within_its_body_stores_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:
        port = int(served.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(served, "Transfer-Encoding: chunked\r\n", ENDLESS))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        async with served.client() as client:
            later = await client.post(MESSAGES, json={**MESSAGE, "id": "later"})
            assert later.status_code == 202
            assert [one["id"] for one in (await client.get(MESSAGES)).json()] == ["later"]


BEGUN = (b"\r\n", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n")


@pytest.mark.parametrize(
    ("whole", "begun"), [(0, b""), *((n, begun) for n in range(3) for begun in BEGUN)]
)
async def test_who_never_ends_its_headers_is_hung_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int, begun: bytes
) -> None:
    monkeypatch.setattr("textgate.api.protocol.HEADERS_S", 0.2)
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:
        before = [b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"] * whole
        answer = await exchange(served, *before, begun)
        assert answer.count(b"HTTP/1.1 200 ") == whole


async def test_a_slow_answer_is_waited_for_longer_than_slow_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textgate.api.protocol.HEADERS_S", 0.1)
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:
        head = request(served, f"Content-Length: {len(WHOLE)}\r\nConnection: close\r\n")
        answer = await exchange(served, head[:20], head[20:], *([b""] * 30), WHOLE)
        assert answer.startswith(b"HTTP/1.1 202 ")


async def test_two_requests_on_one_line_are_answered_in_their_order(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:
        one = json.dumps({**MESSAGE, "id": "one"}).encode()
        two = json.dumps({**MESSAGE, "id": "two"}).encode()
        first = request(served, f"Content-Length: {len(one)}\r\n", one)
        last = request(served, f"Content-Length: {len(two)}\r\nConnection: close\r\n", two)
        answer = await exchange(served, first + last)
        assert answer.count(b"HTTP/1.1 202 ") == 2
        assert answer.index(b'"id":"one"') < answer.index(b'"id":"two"')


async def test_a_message_is_answered_alike_on_its_short_way_and_on_the_long_one(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        headers = {"X-Request-Id": "same"}
        short = await client.post(MESSAGES, json={**MESSAGE, "id": "a"}, headers=headers)
        long = await client.post(MESSAGES + "/", json={**MESSAGE, "id": "a"}, headers=headers)
        assert short.status_code == long.status_code == 202
        assert short.content == long.content
        assert sorted(short.headers.items()) == sorted(long.headers.items())


class Words(msgspec.Struct):
    """A body."""

    secret: str


async def _fail(call: Call[None, Words]) -> Answer:
    raise RuntimeError(f"the caller said {call.body.secret}")


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("edge", [DIALECT, NATIVE], ids=["dialect", "native"])
async def test_a_fault_of_ours_is_logged_without_what_was_said(
    tmp_path: Path, edge: object, quick: bool
) -> None:
    failing = Operation("POST", "/fail", "Fail", "x", None, _fail, body=Words, quick=quick)
    group = Group("Faults", ("/faults",), edge, (failing,))  # type: ignore[arg-type]
    async with serving(tmp_path, group) as served, served.client() as client:
        with capture_logs() as logs:
            answer = await client.post("/faults/fail", json={"secret": "sesame"})
        assert answer.status_code == 500
        assert "failed to handle request" in answer.text
        assert "sesame" not in answer.text
        [entry] = [entry for entry in logs if entry["event"] == "request failed"]
        assert entry["request_id"] == answer.headers["X-Request-Id"]
        assert entry["error"] == "RuntimeError"
        assert "sesame" not in str(entry)


async def _answer_with_what_is_no_json(call: Call[None, Words]) -> Answer:
    return Answer(200, {"a": object()})


@pytest.mark.parametrize("quick", [False, True])
async def test_an_answer_that_cannot_be_written_is_a_fault_and_not_silence(
    tmp_path: Path, quick: bool
) -> None:
    failing = Operation(
        "POST", "/odd", "Odd", "x", None, _answer_with_what_is_no_json, body=Words, quick=quick
    )
    async with serving(tmp_path, Group("Faults", ("/faults",), DIALECT, (failing,))) as served:
        async with served.client() as client:
            answer = await client.post("/faults/odd", json={"secret": "sesame"})
        assert answer.status_code == 500


async def test_our_own_api_tells_errors_in_its_own_envelope(tmp_path: Path) -> None:
    echo = Operation("POST", "/x", "X", "x", None, _fail, body=Words)
    async with serving(tmp_path, Group("V1", ("/v1",), NATIVE, (echo,))) as served:
        async with served.client() as client:
            wrong_type = await client.post("/v1/x", content=b"{}")
            assert wrong_type.status_code == 415
            wrong_shape = await client.post("/v1/x", json={})
            nothing = await client.get("/v1/nothing")
            method = await client.get("/v1/x")
        assert wrong_shape.json() == {
            "error": {"code": "invalid", "message": "secret is required", "field": "secret"}
        }
        assert nothing.json()["error"]["code"] == "not_found"
        assert method.status_code == 405
        assert method.headers["Allow"] == "POST"
