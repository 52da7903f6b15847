"""One turn: a rate of each way that runs the script, then what the sandbox adds to one send."""

import asyncio
import math
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from bench import machine
from bench.measure import Incomplete
from bench.processes import usage
from bench.scripts.ways import (
    ANSWER,
    BY_SCRIPT,
    MARKER,
    Send,
    Stage,
    direct,
    messages,
    stage,
    worker,
)
from bench.toolchain import Sink, Tools, sink

LIMIT_S = 300
BLOCK = 50
"""So many sends one way, then so many the other: what disturbs the machine meets both."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What every turn does."""

    sends: int = 5_000
    process_sends: int = 200
    """A process for each call takes its time; its warm-up is one call for each that may run."""
    in_flight: int = 10
    """For both ways: the most that the script service would run at once."""
    warm_up: int = 500


@dataclass(frozen=True, slots=True)
class Rate:
    """One way under load. CPU is that of the host and every process of it, without the far side."""

    way: str
    sends: int
    sends_per_second: float
    cpu_ms_per_send: float
    others_cpu_share: float


@dataclass(frozen=True, slots=True)
class Latency:
    """One send at a time: the same request without a script, and from a script in a worker."""

    sends: int
    direct_p50_us: float
    direct_p99_us: float
    worker_p50_us: float
    worker_p99_us: float
    worker_first_us: float
    """The first send of a new worker: its process starts and loads the script."""


@dataclass(frozen=True, slots=True)
class Turn:
    rates: tuple[Rate, ...]
    latency: Latency


def measure(tools: Tools, plan: Plan, *, backwards: bool = False) -> Turn:
    """Do one turn, with fresh processes. Raises Incomplete, or TimeoutError after 300 s."""
    with sink(tools, marker=MARKER, answer=ANSWER, content_type="application/json") as far:
        turn: Turn = uvloop.run(_turn(far, plan, backwards))
    return turn


async def _turn(far: Sink, plan: Plan, backwards: bool) -> Turn:
    names = reversed(BY_SCRIPT) if backwards else iter(BY_SCRIPT)
    async with asyncio.timeout(LIMIT_S), stage(far) as on:
        rates = [await _rate(name, on, plan) for name in names]
        return Turn(tuple(rates), await _latency(on, plan))


async def _rate(name: str, on: Stage, plan: Plan) -> Rate:
    by_process, far = name == "process", on.far
    warm_up = plan.in_flight if by_process else plan.warm_up
    count = plan.process_sends if by_process else plan.sends
    async with BY_SCRIPT[name](on) as send:
        await _all(send, messages(0, warm_up), plan.in_flight)
        far.reset()
        batch, before, began = messages(warm_up, count), _Meter.read(far), time.perf_counter()
        await _all(send, batch, plan.in_flight)
        seconds, spent = time.perf_counter() - began, _Meter.read(far).since(before)
    counts = far.counts()
    if (counts.requests, counts.distinct) != (count, count):
        raise Incomplete(f"{name}: {count} sent, and the far side counts {counts}")
    return Rate(
        way=name,
        sends=count,
        sends_per_second=count / seconds,
        cpu_ms_per_send=spent.ours / count * 1000,
        others_cpu_share=spent.others / spent.total,
    )


async def _all(send: Send, payloads: Sequence[bytes], in_flight: int) -> None:
    """Send all of them, ``in_flight`` at a time (a closed loop)."""
    left = iter(payloads)

    async def one_after_another() -> None:
        for payload in left:
            await send(payload)

    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))


async def _latency(on: Stage, plan: Plan) -> Latency:
    spent: dict[str, list[float]] = {"direct": [], "worker": []}
    async with direct(on) as directly, worker(on) as in_worker:
        began = time.perf_counter()
        await in_worker(messages(0, 1)[0])
        first_us = (time.perf_counter() - began) * 1e6
        sends = {"direct": directly, "worker": in_worker}
        for send in sends.values():
            await _all(send, messages(0, plan.warm_up), 1)
        for first in range(0, plan.sends // 2, BLOCK):
            for way, send in sends.items():
                for payload in messages(first, BLOCK):
                    began = time.perf_counter()
                    await send(payload)
                    spent[way].append((time.perf_counter() - began) * 1e6)
    found = {way: (statistics.median(times), nearest_rank(times)) for way, times in spent.items()}
    return Latency(len(spent["worker"]), *found["direct"], *found["worker"], first_us)


def nearest_rank(times: Sequence[float], share: float = 0.99) -> float:
    """The time that ``share`` of all do not exceed."""
    return sorted(times)[math.ceil(share * len(times)) - 1]


@dataclass(frozen=True, slots=True)
class _Meter:
    """CPU seconds so far, or between two readings."""

    ours: float
    others: float
    total: float

    @classmethod
    def read(cls, far: Sink) -> "_Meter":
        family, sinks = usage((os.getpid(),)).cpu_seconds, usage((far.pid,)).cpu_seconds
        everyone = machine.busy()
        return cls(family - sinks, everyone.used - family, everyone.total)

    def since(self, before: "_Meter") -> "_Meter":
        others = max(0.0, self.others - before.others)
        return _Meter(self.ours - before.ours, others, self.total - before.total)
