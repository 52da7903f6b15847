"""What the turns say together: medians, the table, the verdict, their part of the JSON file."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.phones.measure import Plan, Turn

STREAM_TARGET_KIB = 60.0
"""Of memory for each stream, less than."""
WAKE_TARGET_MS = 100.0
"""To the 99th percentile of the time to wake, less than."""

Medians = dict[str, float]


def medians(turns: Sequence[Turn]) -> Medians:
    """Of every figure, over all turns."""
    names = [field.name for field in fields(Turn)]
    return {name: statistics.median(getattr(turn, name) for turn in turns) for name in names}


def verdict(found: Medians) -> list[str]:
    """Each target, met or missed and by how much."""

    def judge(figure: float, target: float) -> str:
        return "met" if figure < target else f"missed by {figure / target - 1:.0%}"

    stream, wake = found["kib_per_stream"], found["wake_p99_ms"]
    return [
        f"phones: {stream:.1f} KiB a stream, target less than {STREAM_TARGET_KIB:g} KiB: "
        f"{judge(stream, STREAM_TARGET_KIB)}",
        f"phones are woken in {wake:.1f} ms (p99), target less than {WAKE_TARGET_MS:g} ms: "
        f"{judge(wake, WAKE_TARGET_MS)}",
    ]


def line(turn: Turn) -> str:
    """One turn, while it is measured."""
    return (
        f"phones: {turn.kib_per_stream:.1f} KiB a stream, woken in p50 {turn.wake_p50_ms:.1f} "
        f"p99 {turn.wake_p99_ms:.1f} ms, {turn.messages_per_second:,.0f} messages/s at "
        f"{turn.cpu_ms_per_message:.2f} ms CPU, others' CPU {turn.others_cpu_share:.0%}"
    )


def show(console: Console, turns: Sequence[Turn], plan: Plan) -> None:
    """Print the table of medians and the verdict."""
    found = medians(turns)
    table = Table(
        title="medians of phones",
        caption="wake: from when the message was to be posted to its event on the phone's stream",
        show_header=False,
    )
    table.add_column("", no_wrap=True)
    table.add_column("", justify="right")
    for title, figure in (
        ("event streams", f"{found['streams']:,.0f}"),
        ("KiB a stream", f"{found['kib_per_stream']:.1f}"),
        ("RSS with all of them, MiB", f"{found['rss_with_bytes'] / 2**20:.0f}"),
        ("wake p50, ms", f"{found['wake_p50_ms']:.1f}"),
        ("wake p99, ms", f"{found['wake_p99_ms']:.1f}"),
        (f"CPU of one core at {plan.rate} messages/s", f"{found['wake_cpu_share']:.0%}"),
        (f"messages/s through {plan.phones} phones", f"{found['messages_per_second']:,.0f}"),
        ("CPU ms a message", f"{found['cpu_ms_per_message']:.2f}"),
        ("others' CPU", f"{found['others_cpu_share']:.0%}"),
    ):
        table.add_row(title, figure)
    console.print(table)
    for text in verdict(found):
        console.print(text, highlight=False, soft_wrap=True)


def document(turns: Sequence[Turn], plan: Plan) -> dict[str, Any]:
    """Everything that was measured, turn by turn, for the JSON file."""
    found = medians(turns)
    planned = asdict(plan)
    del planned["folder"]
    return {
        "plan": planned,
        "medians": found,
        "verdict": verdict(found),
        "turns": [asdict(turn) for turn in turns],
    }
