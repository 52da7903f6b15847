"""Plain http without libcurl: whom a limit keeps waiting, and how calls end."""

import asyncio
from collections.abc import Iterator

import pytest
from outbound_direct import client, failed, replied
from outbound_far_side import (
    OK,
    Behaviour,
    FarSide,
    Line,
    deaf,
    far_side,
    keeps_answering,
    says_nothing,
    soon,
)

from textgate.outbound.direct import DirectClient
from textgate.outbound.reply import FailureKind


async def waits_for(far: FarSide, count: int) -> None:
    """Return when so many requests have come."""
    while len(far.requests) < count:
        far.came.clear()
        await soon(far.came)


def answers_when(told: asyncio.Event) -> Behaviour:
    """Take requests, and answer all when the test sets ``told``."""

    async def behave(line: Line) -> None:
        while True:
            await line.request()
            await told.wait()
            await line.say(OK)

    return behave


async def test_calls_beyond_the_limit_of_a_host_wait_in_line() -> None:
    told = asyncio.Event()
    async with client(max_host_connections=2) as direct, far_side(answers_when(told)) as far:
        calls = [asyncio.create_task(replied(direct, far.url(f"/{n}"))) for n in range(6)]
        await waits_for(far, 2)
        late = await asyncio.gather(
            *(failed(direct, far.url("/late"), timeout=timeout) for timeout in (0.2, 0.1))
        )
        told.set()
        await asyncio.gather(*calls)
        assert far.connections == 2
        assert [r.split()[1] for r in far.requests] == [b"/%d" % n for n in range(6)]
    assert [(each.kind, each.sent) for each in late] == [(FailureKind.TIMEOUT, False)] * 2
    assert late[0].elapsed_ms < 2000


async def test_at_the_limit_of_all_an_idle_connection_makes_room_for_another_host() -> None:
    async with (
        client(max_connections=1) as direct,
        far_side(keeps_answering) as one,
        far_side(keeps_answering) as other,
    ):
        for _ in range(3):
            await replied(direct, one.url())
            await replied(direct, other.url())
        assert (one.connections, other.connections) == (3, 3)


async def test_a_busy_host_leaves_a_connection_to_the_others() -> None:
    async with (
        client(max_connections=2) as direct,
        far_side(keeps_answering) as busy,
        far_side(keeps_answering) as other,
    ):
        done = False

        async def keeps_calling() -> None:
            while not done:
                await replied(direct, busy.url())

        crowd = [asyncio.create_task(keeps_calling()) for _ in range(8)]
        await waits_for(busy, 20)
        for _ in range(5):
            await replied(direct, other.url(), timeout=5)
        done = True
        await asyncio.gather(*crowd)
        assert len(other.requests) == 5


async def test_a_host_that_answers_nothing_does_not_keep_others_waiting_for_longer() -> None:
    async with (
        client(max_connections=4) as direct,
        far_side(says_nothing) as stuck,
        far_side(keeps_answering) as other,
    ):
        hopeless = [failed(direct, stuck.url(), timeout=0.2) for _ in range(12)]
        tasks = [asyncio.create_task(call) for call in hopeless]
        await waits_for(stuck, 4)
        await replied(direct, other.url(), timeout=5)
        kinds = {(ended.kind, ended.sent) for ended in await asyncio.gather(*tasks)}
    assert kinds == {(FailureKind.TIMEOUT, True), (FailureKind.TIMEOUT, False)}


# Ends.


async def test_each_call_has_its_own_time(direct: DirectClient) -> None:
    order = []

    async def call(far: FarSide, timeout: float) -> None:
        ended = await failed(direct, far.url(), timeout=timeout)
        assert ended.kind is FailureKind.TIMEOUT
        assert timeout * 1000 <= ended.elapsed_ms < timeout * 1000 + 2000
        order.append(timeout)

    async with far_side(says_nothing) as far:
        timeouts = [0.5, 0.1, 0.4, 0.2, 0.3]
        await asyncio.gather(*(call(far, timeout) for timeout in timeouts))
    assert order == sorted(timeouts)


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose backlog is full: who dials it is not answered."""
    with deaf("127.0.0.2") as port:
        yield port


async def test_a_caller_that_leaves_while_it_is_dialled_for_leaves_nothing(full_port: int) -> None:
    async with client(max_connections=1) as direct, far_side(keeps_answering) as far:
        call = asyncio.create_task(failed(direct, f"http://127.0.0.2:{full_port}/", timeout=60))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await replied(direct, far.url(), timeout=5)


async def test_a_caller_that_leaves_the_line_leaves_its_place_to_the_next() -> None:
    told = asyncio.Event()
    async with client(max_connections=1) as direct, far_side(answers_when(told)) as far:
        first = asyncio.create_task(replied(direct, far.url("/first")))
        await waits_for(far, 1)
        second = asyncio.create_task(replied(direct, far.url("/second")))
        third = asyncio.create_task(replied(direct, far.url("/third")))
        await asyncio.sleep(0)
        second.cancel()
        told.set()
        await first
        await third
        assert [r.split()[1] for r in far.requests] == [b"/first", b"/third"]
        assert far.connections == 1


async def test_closing_ends_calls_that_wait_that_are_dialled_for_and_that_are_sent(
    full_port: int,
) -> None:
    async with far_side(says_nothing) as far:
        async with client(max_host_connections=1) as direct:
            urls = [far.url(), far.url(), f"http://127.0.0.2:{full_port}/"]
            calls = [asyncio.create_task(failed(direct, url, timeout=60)) for url in urls]
            await soon(far.came)
        ended = await asyncio.gather(*calls)
        await soon(far.hung_up)
        assert [(each.kind, each.sent) for each in ended] == [
            (FailureKind.BROKEN, True),
            (FailureKind.BROKEN, False),
            (FailureKind.BROKEN, False),
        ]
        late = await failed(direct, far.url())
        assert (late.kind, late.sent, far.connections) == (FailureKind.BROKEN, False, 1)
