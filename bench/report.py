"""What the runs say together: medians, ratios, the table, the verdict, the JSON file."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measure import Plan, Run

# Textgate against Kannel: at least this rate, at most this CPU a message.
RATE_TARGET = 3.0
CPU_TARGET = 0.25


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, and its member name in the JSON."""

    name: str
    title: str
    value: Callable[[Run], float]
    form: str


ROWS = (
    Row("messages_per_second", "msgs\n/s", lambda run: run.messages_per_second, ",.0f"),
    Row("cpu_per_1000", "CPU s\n/1000", lambda run: run.cpu_seconds_per_1000, ".3f"),
    Row("accept_p50_ms", "p50\nms", lambda run: run.accept_p50_us / 1000, ",.1f"),
    Row("accept_p99_ms", "p99\nms", lambda run: run.accept_p99_us / 1000, ",.1f"),
    Row("peak_rss_mib", "RSS\nMiB", lambda run: run.peak_rss_bytes / 2**20, ",.0f"),
    Row("others_cpu", "others\n%", lambda run: run.others_cpu_share * 100, ".0f"),
)
COMPARED = ROWS[:5]

Medians = dict[str, dict[str, float]]


def medians(runs: Sequence[Run]) -> Medians:
    """For each peer the median of each row, in the order in which the peers first ran."""
    peers = dict.fromkeys(run.peer for run in runs)
    return {
        peer: {
            row.name: statistics.median(row.value(run) for run in runs if run.peer == peer)
            for row in ROWS
        }
        for peer in peers
    }


def ratios(found: Medians) -> Medians:
    """Textgate's median through each other peer's."""
    ours = found.get("textgate")
    if ours is None:
        return {}
    return {
        peer: {row.name: ours[row.name] / theirs[row.name] for row in COMPARED}
        for peer, theirs in found.items()
        if peer != "textgate"
    }


def verdict(found: Medians) -> list[str]:
    """For each other peer the target, met or missed and by how much."""
    lines = []
    for peer, against in ratios(found).items():
        rate, cpu = against["messages_per_second"], against["cpu_per_1000"]
        rate_word = "met" if rate >= RATE_TARGET else f"missed by {1 - rate / RATE_TARGET:.0%}"
        cpu_word = "met" if cpu <= CPU_TARGET else f"missed by {cpu / CPU_TARGET - 1:.0%}"
        lines += [
            f"rate: {rate:.2f} x {peer}'s, target at least {RATE_TARGET:g} x: {rate_word}",
            f"CPU a message: {cpu:.2f} of {peer}'s, target at most {CPU_TARGET:g}: {cpu_word}",
        ]
    return lines


def show(console: Console, runs: Sequence[Run]) -> None:
    """Print the table of medians and the verdict."""
    found, against = medians(runs), ratios(medians(runs))
    table = Table(
        title="medians from the accept to the last webhook",
        caption="CPU and peak RSS of all server processes; p50, p99 of the accept; ÷ is Textgate's "
        "figure through theirs; others is CPU that neither side of the benchmark used",
    )
    table.add_column("", no_wrap=True)
    table.add_column("n", justify="right")
    for row in ROWS:
        table.add_column(row.title, justify="right")
    for peer, figures in found.items():
        count = sum(run.peer == peer for run in runs)
        table.add_row(peer, str(count), *(format(figures[row.name], row.form) for row in ROWS))
    table.add_section()
    for peer, figures in against.items():
        cells = (format(figures[row.name], ".2f") for row in COMPARED)
        table.add_row(f"÷ {peer}", "", *cells)
    console.print(table)
    for line in verdict(found):
        console.print(line, highlight=False)


def document(runs: Sequence[Run], plan: Plan) -> dict[str, Any]:
    """Everything that was measured, run by run, for the JSON file."""
    found = medians(runs)
    return {
        "plan": {
            "messages": plan.messages,
            "connections": plan.connections,
            "warm_up": plan.warm_up,
        },
        "medians": found,
        "ratios": ratios(found),
        "verdict": verdict(found),
        "runs": [asdict(run) for run in runs],
    }


def write(path: Path, found: Mapping[str, object]) -> None:
    """Write what was found as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
