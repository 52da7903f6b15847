"""`python -m bench`: peers, scripts and phones in turn; then tables and one JSON file."""

import argparse
import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench import machine, report
from bench.measure import Incomplete, Plan, Run, measure
from bench.peers import Peer
from bench.peers.kannel import Tuning, kannel
from bench.peers.textgate import textgate
from bench.phones import measure as phones
from bench.phones import report as phone_report
from bench.scripts import measure as scripts
from bench.scripts import report as script_report
from bench.toolchain import Missing, Tools, compile_tools
from textgate.domain.errors import Unavailable
from textgate.outbound.script.deno import Deno

PEERS: dict[str, Callable[[], Peer]] = {
    "textgate": textgate,
    "kannel": kannel,
    "kannel-memory": lambda: kannel("kannel-memory", Tuning(in_memory=True)),
    "kannel-file": lambda: kannel("kannel-file", Tuning(store="file")),
}
PARTS = ("messages", "scripts", "phones")
PHONE_TURNS = 3
"""At most: each takes half a minute."""
QUICK_PHONES = phones.Plan(streams=200, seconds=3, messages=500)
FAILURES = (Incomplete, TimeoutError, RuntimeError, OSError, subprocess.SubprocessError)
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    parts: tuple[str, ...]
    plan: Plan
    scripts: scripts.Plan
    phones: phones.Plan
    runs: int
    peers: tuple[str, ...]
    json: Path


def read(words: Sequence[str]) -> Wanted:
    """Parse the command line; ends the program on a wrong word."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="which part (all)")
    parser.add_argument("--messages", type=int, default=20_000, help="of each run (20000)")
    parser.add_argument("--runs", type=int, default=5, help="of each peer, and of scripts (5)")
    parser.add_argument("--connections", type=int, default=200, help="kept alive (200)")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--sends", type=int, default=5_000, help="by a script, each run (5000)")
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    parser.add_argument("--json", type=Path, help="where to write (bench/results/<time>.json)")
    given = parser.parse_args(words)
    names = tuple(given.peers.split(","))
    if unknown := [name for name in names if name not in PEERS]:
        parser.error(f"no such peer: {', '.join(unknown)} (there are {', '.join(PEERS)})")
    if min(given.messages, given.runs, given.connections) < 1:
        parser.error("--messages, --runs and --connections are at least 1")
    if given.sends < 100:
        parser.error("--sends is at least 100")
    numbers = (given.messages, given.sends, given.runs)
    messages, sends, runs = (2_000, 1_000, 1) if given.quick else numbers
    stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    return Wanted(
        parts=(given.part,) if given.part else PARTS,
        scripts=scripts.Plan(sends=sends, process_sends=max(20, sends // 25)),
        phones=QUICK_PHONES if given.quick else phones.Plan(),
        plan=Plan(messages=messages, connections=given.connections),
        runs=runs,
        peers=names,
        json=given.json or RESULTS / f"{stamp}.json",
    )


def present(names: Sequence[str], console: Console) -> list[Peer]:
    """The peers that can run here; says what to install for the others."""
    found = []
    for name in names:
        try:
            found.append(PEERS[name]())
        except Missing as missing:
            console.print(f"[yellow]without {name}:[/] {missing}", highlight=False, soft_wrap=True)
    return found


def turns(peers: Sequence[Peer], runs: int) -> Iterator[Peer]:
    """Alternate, and turn the order round each time, so that no peer always goes first."""
    for turn in range(runs):
        yield from peers if turn % 2 == 0 else reversed(peers)


def run_all(
    peers: Sequence[Peer], wanted: Wanted, tools: Tools, console: Console
) -> tuple[list[Run], list[str]]:
    """Every run in turn; a run that fails is told and does not stop the others."""
    runs: list[Run] = []
    failures: list[str] = []
    for peer in turns(peers, wanted.runs):
        try:
            run = watched(peer, wanted.plan, tools, console)
        except FAILURES as problem:
            words = "\n".join([f"{peer.name}: {problem}", *getattr(problem, "__notes__", [])])
            failures.append(words)
            console.print(words, style="red", markup=False, highlight=False)
            continue
        runs.append(run)
        console.print(
            f"{run.peer:13} {run.messages_per_second:6,.0f}/s, "
            f"{run.cpu_seconds_per_1000:.3f} CPU s per 1000, accept p50 "
            f"{run.accept_p50_us / 1000:.1f} p99 {run.accept_p99_us / 1000:.1f} ms, "
            f"others' CPU {run.others_cpu_share:.0%}",
            highlight=False,
            soft_wrap=True,
        )
    return runs, failures


def watched(peer: Peer, plan: Plan, tools: Tools, console: Console) -> Run:
    """One run, with a bar on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    look = Progress(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=4,
        disable=not console.is_terminal,
    )
    with look as bar:
        task = bar.add_task(peer.name, total=plan.messages)
        return measure(peer, tools, plan, lambda come: bar.update(task, completed=come))


def of_messages(wanted: Wanted, tools: Tools, console: Console) -> tuple[dict[str, Any], list[str]]:
    """The part on messages: what goes into the file, and what failed."""
    peers = present(wanted.peers, console)
    if not peers:
        return {}, []
    console.print(
        f"{wanted.runs} x {wanted.plan.messages:,} messages "
        f"over {wanted.plan.connections} connections",
        highlight=False,
        soft_wrap=True,
    )
    runs, failures = run_all(peers, wanted, tools, console)
    if runs:
        report.show(console, runs)
    return report.document(runs, wanted.plan) if runs else {}, failures


def of_phones(wanted: Wanted, console: Console) -> tuple[dict[str, Any], list[str]]:
    """The part on phones, likewise."""
    plan = wanted.phones
    console.print(
        f"{plan.streams:,} event streams, {plan.rate} messages/s for {plan.seconds} s; "
        f"{plan.messages:,} messages by {plan.phones} phones",
        highlight=False,
        soft_wrap=True,
    )
    turns: list[phones.Turn] = []
    failures: list[str] = []
    for _ in range(min(wanted.runs, PHONE_TURNS)):
        try:
            turns.append(phones.measure(plan))
        except FAILURES as problem:
            failures.append(f"phones: {problem}")
            console.print(failures[-1], style="red", markup=False, soft_wrap=True)
            continue
        console.print(phone_report.line(turns[-1]), highlight=False, soft_wrap=True)
    if not turns:
        return {}, failures
    phone_report.show(console, turns, plan)
    return {"phones": phone_report.document(turns, plan)}, failures


def of_scripts(wanted: Wanted, tools: Tools, console: Console) -> tuple[dict[str, Any], list[str]]:
    """The part on scripts, likewise."""
    try:
        version = asyncio.run(Deno().version())
    except Unavailable as missing:
        console.print(f"[yellow]without scripts:[/] {missing}", highlight=False, soft_wrap=True)
        return {}, []
    plan = wanted.scripts
    console.print(
        f"{wanted.runs} x {plan.sends:,} sends by a script, Deno {version}",
        highlight=False,
        soft_wrap=True,
    )
    turns: list[scripts.Turn] = []
    failures: list[str] = []
    for turn in range(wanted.runs):
        try:
            turns.append(scripts.measure(tools, plan, backwards=turn % 2 == 1))
        except FAILURES as problem:
            failures.append(f"scripts: {problem}")
            console.print(failures[-1], style="red", markup=False, soft_wrap=True)
            continue
        console.print(script_report.line(turns[-1]), highlight=False, soft_wrap=True)
    if not turns:
        return {}, failures
    script_report.show(console, turns)
    found = {"deno": version, **script_report.document(turns, plan)}
    return {"scripts": found}, failures


def main(words: Sequence[str]) -> int:
    """0 when every run ended well, 1 when one did not, 2 when nothing can be measured here."""
    console = Console()
    wanted = read(words)
    try:
        tools = None if wanted.parts == ("phones",) else compile_tools()
    except Missing as missing:
        console.print(f"[red]cannot measure:[/] {missing}", highlight=False, soft_wrap=True)
        return 2
    here = machine.describe(wanted.plan.folder)
    tell_machine(here, console)
    found: dict[str, Any] = {}
    failures: list[str] = []
    for part in wanted.parts:
        if tools is None or part == "phones":
            document, failed = of_phones(wanted, console)
        elif part == "messages":
            document, failed = of_messages(wanted, tools, console)
        else:
            document, failed = of_scripts(wanted, tools, console)
        found |= document
        failures += failed
    if found:
        report.write(wanted.json, {"machine": here, **found, "failures": failures})
        console.print(f"written to {wanted.json}", highlight=False, soft_wrap=True)
    if failures:
        return 1
    return 0 if found else 2


def tell_machine(here: dict[str, str | int | float], console: Console) -> None:
    """What it is measured on, and what is known to colour the figures there."""
    console.print(
        f"{here['cores']} cores of {here['processor']}, {here['file_system']}, "
        f"fdatasync {here['fdatasync_us']} us",
        highlight=False,
        soft_wrap=True,
    )
    if here["journal"] == "none":
        console.print(
            "[yellow]This ext4 has no journal: for minutes after files were deleted it makes new "
            "ones slowly,\nwhich costs Kannel's spool dearly; kannel-memory is its fair form "
            "here.[/]",
            highlight=False,
            soft_wrap=True,
        )


if __name__ == "__main__":
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
