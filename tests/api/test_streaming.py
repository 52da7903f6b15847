"""Answers without end: whatever ends one, its chunks are closed and the connection is served on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog
from serving import serving

from textgate.api.operation import Call, Group, Operation, Stream
from textgate.api.problem import NATIVE

PATIENCE_S = 10.0


class Source:
    """Gives one chunk, then waits, or fails if it is to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.closed = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            yield b": hello\n\n"
            if self.fails:
                raise ValueError("secret")
            await asyncio.Event().wait()
        finally:
            self.closed += 1

    @property
    def group(self) -> Group:
        async def handler(call: Call[None, None]) -> Stream:
            return Stream(self.chunks())

        operation = Operation(
            "GET",
            "/news",
            "News",
            "news",
            None,
            handler,
            answer=str,
            answer_type="text/event-stream",
            public=True,
        )
        return Group("News", ("/test",), NATIVE, (operation,))


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not so():
            await asyncio.sleep(0.001)


async def test_who_goes_away_closes_it(tmp_path: Path) -> None:
    source = Source()
    async with serving(tmp_path, source.group) as served:
        async with served.client() as client, client.stream("GET", "/test/news") as answer:
            assert await anext(answer.aiter_bytes()) == b": hello\n\n"
            assert source.closed == 0
        await until(lambda: source.closed == 1)


async def test_one_that_fails_ends_and_the_log_says_where_and_not_what(tmp_path: Path) -> None:
    source = Source(fails=True)
    async with serving(tmp_path, source.group) as served, served.client() as client:
        with structlog.testing.capture_logs() as logged:
            for _ in range(2):  # over the same connection
                assert (await client.get("/test/news")).content == b": hello\n\n"
    assert source.closed == 2
    assert [entry["error"] for entry in logged] == ["ValueError", "ValueError"]
    assert "secret" not in repr(logged)


async def test_a_server_that_stops_ends_them_all_and_those_that_come_after(tmp_path: Path) -> None:
    source = Source()
    async with serving(tmp_path, source.group) as served, served.client() as client:
        asked = [asyncio.create_task(client.get("/test/news")) for _ in range(3)]
        async with client.stream("GET", "/test/news") as answer:
            body = answer.aiter_bytes()
            assert await anext(body) == b": hello\n\n"
            served.services.stopping.set()
            async with asyncio.timeout(PATIENCE_S):
                assert [chunk async for chunk in body] == []
                assert {(await one).status_code for one in asked} == {200}
                assert (await client.get("/test/news")).status_code == 200
    assert source.closed == 5
