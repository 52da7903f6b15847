"""What the runs say together: medians, ratios, the table, the verdict, the JSON file."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Plan, Run

# Textgate against Kannel with its spool store: at least this rate, at most this CPU a message.
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
    Row("messages_per_second", "messages/s", lambda run: run.messages_per_second, ",.0f"),
    Row("cpu_per_1000", "CPU s per 1000", lambda run: run.cpu_seconds_per_1000, ".3f"),
    Row("accept_p50_ms", "accept p50, ms", lambda run: run.accept_p50_us / 1000, ",.1f"),
    Row("accept_p99_ms", "accept p99, ms", lambda run: run.accept_p99_us / 1000, ",.1f"),
    Row("peak_rss_mib", "peak RSS, MiB", lambda run: run.peak_rss_bytes / 2**20, ",.0f"),
    Row("others_cpu", "others' CPU, %", lambda run: run.others_cpu_share * 100, ".0f"),
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
    """The target, met or missed and by how much; empty when one side was not measured."""
    against = ratios(found).get("kannel")
    if against is None:
        return []
    rate, cpu = against["messages_per_second"], against["cpu_per_1000"]
    rate_word = "met" if rate >= RATE_TARGET else f"missed by {1 - rate / RATE_TARGET:.0%}"
    cpu_word = "met" if cpu <= CPU_TARGET else f"missed by {cpu / CPU_TARGET - 1:.0%}"
    return [
        f"rate: {rate:.2f} x Kannel's, target at least {RATE_TARGET:g} x: {rate_word}",
        f"CPU a message: {cpu:.2f} of Kannel's, target at most {CPU_TARGET:g}: {cpu_word}",
    ]


def show(console: Console, runs: Sequence[Run]) -> None:
    """Print the table of medians and the verdict."""
    found, against = medians(runs), ratios(medians(runs))
    counts = {peer: sum(run.peer == peer for run in runs) for peer in found}
    table = Table(title="medians: accept, durable, provider, durable, webhook")
    table.add_column("")
    for peer in found:
        table.add_column(f"{peer} (n={counts[peer]})", justify="right")
    for peer in against:
        table.add_column(f"textgate / {peer}", justify="right")
    for row in ROWS:
        cells = [format(found[peer][row.name], row.form) for peer in found]
        cells += [
            format(against[peer][row.name], ".2f") if row in COMPARED else "" for peer in against
        ]
        table.add_row(row.title, *cells)
    console.print(table)
    for line in verdict(found):
        console.print(line, highlight=False)


def write(
    path: Path,
    runs: Sequence[Run],
    plan: Plan,
    machine: Mapping[str, object],
    failures: Sequence[str],
) -> None:
    """Write everything that was measured, run by run, as JSON."""
    found = medians(runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine,
        "plan": {
            "messages": plan.messages,
            "connections": plan.connections,
            "warm_up": plan.warm_up,
        },
        "medians": found,
        "ratios": ratios(found),
        "verdict": verdict(found),
        "failures": list(failures),
        "runs": [asdict(run) for run in runs],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
