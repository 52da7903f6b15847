"""One run: fresh far sides, a fresh peer on a fresh folder, a warm-up, then the measured load."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.peers import FarSide, Peer, Running
from bench.processes import Usage, usage
from bench.toolchain import BUILD, Load, Loading, Sink, Tools, sink

# After the last webhook a peer still marks it done; that work belongs to the message.
SETTLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What every run does, whoever the peer is."""

    messages: int = 20_000
    connections: int = 200
    warm_up: int = 1_000
    limit_s: int = 300
    folder: Path = BUILD


@dataclass(frozen=True, slots=True)
class Run:
    """What one run showed. CPU and memory are those of the peer's server processes alone.

    ``outside_cpu_seconds`` is the load generator's and the sinks'; ``others_cpu_share`` is what
    neither the peer nor the benchmark used of the machine, from 0 to 1: high means a noisy run.
    """

    peer: str
    messages_per_second: float
    cpu_seconds_per_1000: float
    accept_p50_us: int
    accept_p99_us: int
    peak_rss_bytes: int
    accepted: int
    accepts_per_second: float
    webhooks: int
    repeated_webhooks: int
    repeated_sends: int
    cpu_seconds: float
    outside_cpu_seconds: float
    others_cpu_share: float
    facts: dict[str, str]


class Incomplete(Exception):
    """A run did not end as it must: messages refused, lost, or not through in time."""


Progress = Callable[[int], None]


def measure(peer: Peer, tools: Tools, plan: Plan, progress: Progress) -> Run:
    """Run ``peer`` once; ``progress`` is told how many webhooks have come. Raises Incomplete."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # Beside the sources and not in /tmp, which may be memory: an fsync has to cost here
        # what it costs on a disk.
        place = tempfile.TemporaryDirectory(dir=plan.folder, prefix=f"{peer.name}-")
        folder = Path(stack.enter_context(place))
        stack.enter_context(_logs_on_failure(folder))
        provider = sink(
            tools,
            marker=peer.provider_marker,
            answer=peer.provider_answer,
            content_type=peer.provider_type,
        )
        hook = sink(tools, marker=peer.hook_marker, answer="ok", content_type="text/plain")
        far = FarSide(stack.enter_context(provider), stack.enter_context(hook))
        running = stack.enter_context(peer.run(folder, far))
        template = folder / "request"
        template.write_bytes(running.template)
        if plan.warm_up:
            with _loading(tools, running, plan, template, 0, plan.warm_up) as loading:
                _drive(loading, far.hook, plan.warm_up, plan.limit_s, lambda _: None)
        far.provider.reset()
        far.hook.reset()
        with _loading(tools, running, plan, template, plan.warm_up, plan.messages) as loading:
            before = _meter(running, far)
            load = _drive(loading, far.hook, plan.messages, plan.limit_s, progress)
        time.sleep(SETTLE_S)
        return _run(peer, running, far, load, before, _meter(running, far))


@contextmanager
def _logs_on_failure(folder: Path) -> Iterator[None]:
    """Note the end of each log on an exception: the folder will be gone when it is read."""
    try:
        yield
    except Exception as problem:
        for log in sorted(folder.glob("*.log")):
            text = log.read_text(errors="replace")[-1500:].strip()
            problem.add_note(f"{log.name} ends with:\n{text}" if text else f"{log.name} is empty")
        raise


@dataclass(frozen=True, slots=True)
class Meter:
    """CPU so far: of the peer, of the far sides, of this process, of the whole machine."""

    peer: Usage
    far_side: Usage
    bench_cpu: float
    machine: machine.Busy


def _meter(running: Running, far: FarSide) -> Meter:
    outside = usage((far.provider.pid, far.hook.pid))
    return Meter(usage(running.pids), outside, time.process_time(), machine.busy())


@contextmanager
def _loading(
    tools: Tools, running: Running, plan: Plan, template: Path, first: int, messages: int
) -> Iterator[Loading]:
    loading = Loading(
        tools,
        template,
        port=running.port,
        messages=messages,
        first=first,
        connections=min(plan.connections, messages),
        seconds=plan.limit_s,
    )
    try:
        yield loading
    finally:
        loading.stop()


def _drive(loading: Loading, hook: Sink, messages: int, limit_s: int, progress: Progress) -> Load:
    """Send one batch and wait for the last of its webhooks. Raises Incomplete."""
    limit = time.monotonic() + limit_s
    load: Load | None = None
    loading.begin()
    while True:
        come = hook.counts().distinct
        progress(come)
        if load is None and loading.is_over():
            load = loading.findings()
            if load.accepted < messages:
                raise Incomplete(f"{messages - load.accepted} of {messages} not accepted: {load}")
        if load is not None and come >= load.accepted:
            return load
        if time.monotonic() > limit:
            raise Incomplete(f"{come} of {messages} webhooks after {limit_s} s")
        time.sleep(0.05)


def _run(
    peer: Peer, running: Running, far: FarSide, load: Load, before: Meter, after: Meter
) -> Run:
    hook, provider = far.hook.counts(), far.provider.counts()
    if hook.unmarked or provider.unmarked:
        raise Incomplete(f"requests without the marker: {provider.unmarked} + {hook.unmarked}")
    seconds = (hook.last_new_ns - load.started_ns) / 1e9
    cpu = after.peer.cpu_seconds - before.peer.cpu_seconds
    outside = after.far_side.cpu_seconds - before.far_side.cpu_seconds + load.cpu_seconds
    ours = cpu + outside + after.bench_cpu - before.bench_cpu
    everyone = after.machine.used - before.machine.used
    return Run(
        peer=peer.name,
        messages_per_second=load.accepted / seconds,
        cpu_seconds_per_1000=cpu / load.accepted * 1000,
        accept_p50_us=load.latency_us["p50"],
        accept_p99_us=load.latency_us["p99"],
        peak_rss_bytes=after.peer.peak_rss_bytes,
        accepted=load.accepted,
        accepts_per_second=load.accepted / load.elapsed_seconds,
        webhooks=hook.distinct,
        repeated_webhooks=hook.requests - hook.distinct,
        repeated_sends=provider.requests - provider.distinct,
        cpu_seconds=cpu,
        outside_cpu_seconds=outside,
        others_cpu_share=max(0.0, everyone - ours) / (after.machine.total - before.machine.total),
        facts=running.facts,
    )
