"""What becomes of a request when the kept connection that it was to use is gone."""

import asyncio
import socket
import struct

import pytest
from outbound_far_side import OK, Behaviour, Line, answers, far_side, keeps_answering, soon

from textgate.outbound.http import Failure, FailureKind, HttpClient, Reply


async def dies_on_the_second(line: Line) -> None:
    """The second request of the first connection is taken, maybe acted on, never answered."""
    await line.request()
    await line.say(OK)
    await line.request()
    if line.far.connections > 1:
        await line.say(OK)


async def test_a_request_lost_with_a_kept_connection_is_not_sent_twice(http: HttpClient) -> None:
    async with far_side(dies_on_the_second) as far:
        await http.request("POST", far.url(), body=b"1", timeout=5)
        ended = await http.request("POST", far.url(), body=b"2", timeout=5)
        assert isinstance(ended, Failure)
        assert (ended.kind, ended.sent) == (FailureKind.BROKEN, True)
        assert len(far.requests) == 2


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", [("Idempotency-Key", "k")]),
        ("POST", [("webhook-id", "w")]),
        ("GET", []),
        ("DELETE", []),
    ],
)
async def test_a_request_that_may_be_repeated_is_sent_again_on_a_new_connection(
    http: HttpClient, method: str, headers: list[tuple[str, str]]
) -> None:
    async with far_side(dies_on_the_second) as far:
        await http.request("POST", far.url(), timeout=5)
        reply = await http.request(method, far.url(), headers=headers, timeout=5)
        assert isinstance(reply, Reply)
        assert (far.connections, len(far.requests)) == (2, 3)


async def resets_after_one(line: Line) -> None:
    await line.request()
    await line.say(OK)
    abrupt = struct.pack("ii", 1, 0)
    line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abrupt)


@pytest.mark.parametrize("behave", [answers(OK), resets_after_one], ids=["closed", "reset"])
async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(
    http: HttpClient, behave: Behaviour
) -> None:
    async with far_side(behave) as far:
        for _ in range(3):
            far.hung_up.clear()
            assert isinstance(await http.request("POST", far.url(), body=b"b", timeout=5), Reply)
            await soon(far.hung_up)
        assert (far.connections, len(far.requests)) == (3, 3)


async def test_many_kept_connections_that_were_closed_meanwhile_are_replaced(
    http: HttpClient,
) -> None:
    async with far_side(keeps_answering) as far:
        calls = [http.request("POST", far.url(), timeout=10) for _ in range(40)]
        assert all(isinstance(reply, Reply) for reply in await asyncio.gather(*calls))
        await far.hang_up_on_all()
        calls = [http.request("POST", far.url(), timeout=10) for _ in range(40)]
        assert all(isinstance(reply, Reply) for reply in await asyncio.gather(*calls))
        assert len(far.requests) == 80
