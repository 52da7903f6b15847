"""One turn: phones listen, some are woken at a steady rate, then some carry as much as they can."""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from bench import machine
from bench.measure import Incomplete
from bench.peers.textgate import Door, serve
from bench.phones.line import Ear, Line
from bench.processes import rss, usage
from bench.scripts.measure import nearest_rank
from bench.toolchain import BUILD

LIMIT_S = 110
QUIET_S = 2.0
"""Before memory is read: what the requests before left behind is given back."""
LAST_S = 10.0
"""The last message may take so long to its phone."""
ASKING = 16
"""Connections that send and register."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What every turn does."""

    streams: int = 1_000
    rate: int = 200
    """Messages a second, to be told to the phones that listen."""
    seconds: int = 10
    phones: int = 32
    messages: int = 3_000
    """Sent by these phones, as fast as it goes."""
    folder: Path = BUILD


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn showed. CPU and memory are those of the server alone.

    ``others_cpu_share`` is what neither server nor benchmark used of the machine, from 0 to 1.
    """

    streams: int
    rss_before_bytes: int
    rss_with_bytes: int
    kib_per_stream: float
    woken: int
    wake_p50_ms: float
    wake_p99_ms: float
    wake_max_ms: float
    wake_cpu_share: float
    """Of one core, while phones were woken."""
    sent: int
    messages_per_second: float
    cpu_ms_per_message: float
    others_cpu_share: float


def measure(plan: Plan) -> Turn:
    """Do one turn with a fresh server. Raises Incomplete, or TimeoutError after 110 s."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=plan.folder, prefix="phones-") as folder,
        serve(Path(folder), accounts=2) as (pid, doors),
    ):
        turn: Turn = uvloop.run(_turn(pid, doors, plan))
    return turn


async def _turn(pid: int, doors: list[Door], plan: Plan) -> Turn:
    async with asyncio.timeout(LIMIT_S):
        noise = _Noise()
        waking = await _wake(pid, doors[0], plan)
        carrying = await _carry(pid, doors[1], plan)
        return Turn(**waking, **carrying, others_cpu_share=noise.share())


async def _wake(pid: int, door: Door, plan: Plan) -> dict[str, Any]:
    """Open the streams, and tell one after another that there is a message for it."""
    async with _asking(door) as lines:
        phones = await _register(lines, plan.streams)
        due: list[deque[float]] = [deque() for _ in phones]
        spent: list[float] = []

        def heard(n: int) -> None:
            if due[n]:
                spent.append((time.perf_counter() - due[n].popleft()) * 1000)

        await asyncio.sleep(QUIET_S)
        before = rss(pid)
        ears = [await _listen(door, phone, partial(heard, n)) for n, phone in enumerate(phones)]
        await asyncio.sleep(QUIET_S)
        with_streams = rss(pid)
        cpu = usage((pid,)).cpu_seconds
        count = plan.rate * plan.seconds
        await _post_steadily(lines, phones, due, count, plan.rate)
        await _until(lambda: len(spent) >= count, what=f"{count} messages wake their phones")
        cpu = usage((pid,)).cpu_seconds - cpu
        for ear in ears:
            ear.close()
    return {
        "streams": len(ears),
        "rss_before_bytes": before,
        "rss_with_bytes": with_streams,
        "kib_per_stream": (with_streams - before) / 1024 / len(ears),
        "woken": len(spent),
        "wake_p50_ms": statistics.median(spent),
        "wake_p99_ms": nearest_rank(spent),
        "wake_max_ms": max(spent),
        "wake_cpu_share": cpu / plan.seconds,
    }


async def _post_steadily(
    lines: list[Line], phones: list["_Phone"], due: list[deque[float]], count: int, rate: int
) -> None:
    """Post at fixed times, whatever the answers do (an open loop): what comes late counts from
    when it should have been posted."""
    start = time.perf_counter() + 0.1

    async def post(line: Line, first: int) -> None:
        for n in range(first, count, len(lines)):
            at = start + n / rate
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            phone = n % len(phones)
            due[phone].append(at)
            await _submit(line, n, deviceId=phones[phone].id)

    await asyncio.gather(*(post(line, first) for first, line in enumerate(lines)))


async def _carry(pid: int, door: Door, plan: Plan) -> dict[str, Any]:
    """Let some phones carry all messages: told, fetched, reported as sent one by one."""
    async with _asking(door) as lines:
        phones = await _register(lines, plan.phones)
        reported: list[str] = []
        working = [
            asyncio.create_task(_work(door, phone, reported), name="phone") for phone in phones
        ]
        try:
            left = iter(range(plan.messages))
            cpu, began = usage((pid,)).cpu_seconds, time.perf_counter()
            await asyncio.gather(*(_post_all(line, left) for line in lines))
            await _until(
                lambda: len(reported) >= plan.messages, what=f"{plan.messages} messages are sent"
            )
            seconds, cpu = time.perf_counter() - began, usage((pid,)).cpu_seconds - cpu
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        listed = await lines[0].ask("GET", "/3rdparty/v1/messages?state=Sent&limit=1")
    counts = (len(reported), len(set(reported)), int(listed.headers["x-total-count"]))
    if counts != (plan.messages,) * 3:
        raise Incomplete(f"{plan.messages} messages, and reported, distinct, sent are {counts}")
    return {
        "sent": plan.messages,
        "messages_per_second": plan.messages / seconds,
        "cpu_ms_per_message": cpu / plan.messages * 1000,
    }


async def _post_all(line: Line, left: Iterator[int]) -> None:
    for n in left:
        await _submit(line, n)


async def _work(door: Door, phone: "_Phone", reported: list[str]) -> None:
    """Do as the app does: fetch when told to, and report each message by itself."""
    told = asyncio.Event()
    ear = await _listen(door, phone, told.set)
    line = await Line.open(door.port, phone.authorization)
    try:
        while await told.wait():
            told.clear()
            queue = await line.ask("GET", "/mobile/v1/message?order=fifo")
            for message in json.loads(queue.body):
                await _report(line, message)
                reported.append(message["id"])
    finally:
        ear.close()
        line.close()


async def _report(line: Line, message: dict[str, Any]) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    numbers = [{"phoneNumber": number, "state": "Sent"} for number in message["phoneNumbers"]]
    states = {"Sent": stamp}
    report = {"id": message["id"], "state": "Sent", "recipients": numbers, "states": states}
    answer = await line.ask("PATCH", "/mobile/v1/message", [report])
    if answer.status != 204:
        raise Incomplete(f"a report was answered {answer.status}")


@dataclass(frozen=True, slots=True)
class _Phone:
    id: str
    authorization: str


@asynccontextmanager
async def _asking(door: Door) -> AsyncIterator[list[Line]]:
    lines = [await Line.open(door.port, door.authorization) for _ in range(ASKING)]
    try:
        yield lines
    finally:
        for line in lines:
            line.close()


async def _register(lines: list[Line], count: int) -> list[_Phone]:
    phones: list[_Phone] = []
    left = iter(range(count))

    async def register(line: Line) -> None:
        for n in left:
            answer = await line.ask("POST", "/mobile/v1/device", {"name": f"bench/{n}"})
            if answer.status != 201:
                raise Incomplete(f"a registration was answered {answer.status}")
            told = json.loads(answer.body)
            phones.append(_Phone(told["id"], f"Bearer {told['token']}"))

    await asyncio.gather(*(register(line) for line in lines))
    return phones


async def _listen(door: Door, phone: _Phone, heard: Callable[[], None]) -> Ear:
    return await Ear.open(door.port, phone.authorization, heard)


async def _submit(line: Line, n: int, **more: str) -> None:
    message = {"textMessage": {"text": f"Your code is {n}"}, "phoneNumbers": [f"+4915{n:09d}"]}
    answer = await line.ask("POST", "/3rdparty/v1/messages", message | more)
    if answer.status != 202:
        raise Incomplete(f"a message was answered {answer.status}: {answer.body[:200]!r}")


async def _until(done: Callable[[], bool], *, what: str) -> None:
    """Wait for the last ones. Raises TimeoutError after ``LAST_S``."""
    try:
        async with asyncio.timeout(LAST_S):
            while not done():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise TimeoutError(f"{what} within {LAST_S:g} s") from None


class _Noise:
    """What others used of the machine since it was made."""

    def __init__(self) -> None:
        self._ours, self._all = usage((os.getpid(),)).cpu_seconds, machine.busy()

    def share(self) -> float:
        ours, all_ = usage((os.getpid(),)).cpu_seconds - self._ours, machine.busy()
        others = all_.used - self._all.used - ours
        return max(0.0, others) / (all_.total - self._all.total)
