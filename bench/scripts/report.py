"""What the turns say together: medians, the table, the verdict, their part of the JSON file."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.scripts.measure import Latency, Plan, Rate, Turn

RATE_TARGET = 20.0
"""The worker's rate through that of a process for each call, at least."""
ADDED_TARGET_MS = 1.5
"""What the sandbox adds to the median of one send, less than."""


@dataclass(frozen=True, slots=True)
class Medians:
    """Over all turns. ``rates`` by way; times in ms."""

    rates: dict[str, dict[str, float]]
    direct_p50_ms: float
    direct_p99_ms: float
    worker_p50_ms: float
    worker_p99_ms: float
    added_p50_ms: float
    added_p99_ms: float
    worker_first_ms: float

    @property
    def ratio(self) -> float:
        return self.rates["worker"]["sends_per_second"] / self.rates["process"]["sends_per_second"]


def medians(turns: Sequence[Turn]) -> Medians:
    """What is added is the difference of each turn's two figures, and of these the median."""
    rates: dict[str, list[Rate]] = {}
    for rate in (rate for turn in turns for rate in turn.rates):
        rates.setdefault(rate.way, []).append(rate)

    def of(figure: Callable[[Latency], float]) -> float:
        return statistics.median(figure(turn.latency) for turn in turns) / 1000

    return Medians(
        rates={way: _of_way(found) for way, found in rates.items()},
        direct_p50_ms=of(lambda one: one.direct_p50_us),
        direct_p99_ms=of(lambda one: one.direct_p99_us),
        worker_p50_ms=of(lambda one: one.worker_p50_us),
        worker_p99_ms=of(lambda one: one.worker_p99_us),
        added_p50_ms=of(lambda one: one.worker_p50_us - one.direct_p50_us),
        added_p99_ms=of(lambda one: one.worker_p99_us - one.direct_p99_us),
        worker_first_ms=of(lambda one: one.worker_first_us),
    )


def _of_way(rates: Sequence[Rate]) -> dict[str, float]:
    return {
        "sends_per_second": statistics.median(rate.sends_per_second for rate in rates),
        "cpu_ms_per_send": statistics.median(rate.cpu_ms_per_send for rate in rates),
        "others_cpu": statistics.median(rate.others_cpu_share for rate in rates) * 100,
    }


def verdict(found: Medians) -> list[str]:
    """Each target, met or missed and by how much."""
    rate = "met" if found.ratio >= RATE_TARGET else f"missed by {1 - found.ratio / RATE_TARGET:.0%}"
    over = found.added_p50_ms / ADDED_TARGET_MS - 1
    added = "met" if over < 0 else f"missed by {over:.0%}"
    return [
        f"scripts: {found.ratio:.1f} x the rate of a process for each call, "
        f"target at least {RATE_TARGET:g} x: {rate}",
        f"the sandbox adds {found.added_p50_ms:.2f} ms to the median of one send "
        f"({found.added_p99_ms:.2f} ms to its p99), "
        f"target less than {ADDED_TARGET_MS:g} ms: {added}",
    ]


def line(turn: Turn) -> str:
    """One turn, while it is measured."""
    rates = ", ".join(
        f"{rate.way} {rate.sends_per_second:,.0f}/s at {rate.cpu_ms_per_send:.2f} ms CPU "
        f"(others {rate.others_cpu_share:.0%})"
        for rate in turn.rates
    )
    one = turn.latency
    added = (one.worker_p50_us - one.direct_p50_us) / 1000
    return f"scripts: {rates}; the sandbox adds {added:.2f} ms to p50"


def show(console: Console, turns: Sequence[Turn]) -> None:
    """Print the table of medians and the verdict."""
    found = medians(turns)
    table = Table(
        title="medians of sending by a script",
        caption="CPU of the host and all processes of scripts; p50, p99 of one send at a time; "
        "others is CPU that the benchmark did not use",
    )
    table.add_column("", no_wrap=True)
    for title in ("sends\n/s", "CPU ms\na send", "others\n%", "p50\nms", "p99\nms"):
        table.add_column(title, justify="right")
    times = {
        "worker": (f"{found.worker_p50_ms:.2f}", f"{found.worker_p99_ms:.2f}"),
        "process": ("", ""),
    }
    for way, rate in found.rates.items():
        cells = (
            f"{rate['sends_per_second']:,.0f}",
            f"{rate['cpu_ms_per_send']:.2f}",
            f"{rate['others_cpu']:.0f}",
        )
        table.add_row(way, *cells, *times[way])
    alone = (f"{found.direct_p50_ms:.2f}", f"{found.direct_p99_ms:.2f}")
    table.add_row("no script", "", "", "", *alone)
    console.print(table)
    console.print(
        f"the first send of a new worker: {found.worker_first_ms:.0f} ms",
        highlight=False,
        soft_wrap=True,
    )
    for text in verdict(found):
        console.print(text, highlight=False, soft_wrap=True)


def document(turns: Sequence[Turn], plan: Plan) -> dict[str, Any]:
    """Everything that was measured, turn by turn, for the JSON file."""
    found = medians(turns)
    return {
        "plan": asdict(plan),
        "medians": asdict(found),
        "ratio": found.ratio,
        "verdict": verdict(found),
        "turns": [asdict(turn) for turn in turns],
    }
