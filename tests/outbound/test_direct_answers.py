"""Every odd, broken and hostile answer ends as what it is, and the next call is not harmed.

After each answer a second call is made. It must get its own answer: on the same connection if that
is still to be trusted, else on a new one.
"""

import asyncio
import socket
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbound_answers import CASES, Case, chunked, head, sized
from outbound_far_side import OK, Line, far_side

from textgate.outbound.answer import HEAD_LIMIT, Answer, Malformed
from textgate.outbound.direct import DirectClient
from textgate.outbound.reply import BODY_LIMIT, Failure, FailureKind, Reply


def check(case: Case, ended: Reply | Failure, place: str) -> None:
    if case.body is None:
        assert isinstance(ended, Failure), ended
        assert (ended.kind, ended.sent) == (FailureKind.BROKEN, True)
        assert ended.detail == f"{place} {case.says}"
    else:
        assert isinstance(ended, Reply), ended
        assert (ended.status, ended.truncated) == (case.status, case.truncated)
        assert ended.body == case.body


async def serve(line: Line, case: Case) -> None:
    """Give the case's answer to the first request of all, and 200 to the others."""
    await line.request()
    if len(line.far.requests) == 1:
        await line.say(case.answer)
        if case.then == "resets":
            abrupt = struct.pack("ii", 1, 0)
            raw = line.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abrupt)
        if case.then != "waits":
            return
        await line.request()
    while True:
        await line.say(OK)
        await line.request()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_answer(direct: DirectClient, case: Case) -> None:
    async with far_side(lambda line: serve(line, case)) as far:
        first = await direct.request(case.method, far.url(), timeout=10)
        check(case, first, f"127.0.0.1:{far.port}")
        second = await direct.request("POST", far.url(), timeout=10)
        assert isinstance(second, Reply), second
        assert second.body == b"ok"
        assert far.connections == (1 if case.kept else 2)


def read(pieces: list[bytes], *, is_ended: bool, to_head: bool) -> tuple[object, ...] | str:
    answer = Answer()
    answer.begin(to_head=to_head, keep_headers=True)
    try:
        for piece in pieces:
            if answer.feed(piece):
                break
        else:
            if not is_ended or not answer.feed_end():
                return "unfinished"
    except Malformed as malformed:
        return str(malformed)
    return answer.status, answer.take_body(), answer.truncated, answer.headers


SMALL = [case for case in CASES if 0 < len(case.answer) < 2_000 and case.then != "resets"]


@given(case=st.sampled_from(SMALL), data=st.data())
def test_where_the_network_cuts_an_answer_changes_nothing(case: Case, data: st.DataObject) -> None:
    places = st.lists(st.integers(1, len(case.answer)), max_size=8)
    cuts = sorted({0, *data.draw(places), len(case.answer)})
    pieces = [case.answer[a:b] for a, b in pairwise(cuts)]
    how = {"is_ended": case.then == "closes", "to_head": case.method == "HEAD"}
    assert read(pieces, **how) == read([case.answer], **how)


@given(
    st.sampled_from(SMALL),
    st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=3)), max_size=4),
)
def test_whatever_comes_is_an_answer_or_malformed_and_within_bounds(
    case: Case, spots: list[tuple[int, bytes]]
) -> None:
    damaged = case.answer
    for at, bytes_there in spots:
        damaged = damaged[:at] + bytes_there + damaged[at + 1 :]
    ended = read([damaged], is_ended=True, to_head=case.method == "HEAD")
    if not isinstance(ended, str):
        status, body, *_ = ended
        assert isinstance(status, int)
        assert isinstance(body, bytes)
        assert 200 <= status <= 999
        assert len(body) <= BODY_LIMIT


async def test_headers_up_to_the_limit_are_read_and_joined(direct: DirectClient) -> None:
    room = HEAD_LIMIT - len(sized(b"")) - len("X-A: \r\nX-a: 2\r\n")
    answer = sized(b"", "X-A: " + "y" * room, "X-a: 2")
    assert len(answer) == HEAD_LIMIT
    case = Case("", answer)
    async with far_side(lambda line: serve(line, case)) as far:
        reply = await direct.request("POST", far.url(), timeout=10, keep_headers=True)
    assert isinstance(reply, Reply)
    assert reply.headers == {"content-length": "0", "x-a": "y" * room + ", 2"}


async def test_an_answer_that_comes_byte_by_byte_is_read(direct: DirectClient) -> None:
    answer = head("Link: early", status="103 x") + chunked(
        b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n", "X-A: b"
    )

    async def behave(line: Line) -> None:
        while True:
            await line.request()
            for byte in answer:
                await line.say(bytes([byte]))
                await asyncio.sleep(0)

    async with far_side(behave) as far:
        for _ in range(3):
            reply = await direct.request("POST", far.url(), timeout=10, keep_headers=True)
            assert isinstance(reply, Reply)
            assert reply.body == b"ok"
            assert reply.headers == {"transfer-encoding": "chunked", "x-a": "b"}
        assert far.connections == 1
