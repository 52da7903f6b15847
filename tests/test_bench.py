"""The benchmark's own instruments count right; a wrong instrument makes every figure wrong."""

import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bench import report
from bench.measure import Plan, Run, measure
from bench.peers.textgate import textgate
from bench.toolchain import Load, Loading, Sink, Tools, compile_tools, sink

needs_a_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="NO C COMPILER: the benchmark's instruments are untested"
)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return compile_tools(tmp_path_factory.mktemp("build"))


@pytest.fixture
def far(tools: Tools) -> Iterator[Sink]:
    with sink(tools, marker='"to":"', answer='{"code":"ok"}', content_type="text/plain") as it:
        yield it


def drive(tools: Tools, far: Sink, folder: Path, template: str, *, first: int = 0) -> Load:
    path = folder / "request"
    path.write_bytes(template.replace("\n", "\r\n").encode())
    loading = Loading(
        tools, path, port=far.port, messages=200, first=first, connections=20, seconds=20
    )
    loading.begin()
    return loading.findings()


POST = 'POST /p HTTP/1.1\nHost: here\n\n{"to":"+{number}","body":"Your code is {id}"}'


@needs_a_compiler
def test_two_hundred_messages_are_two_hundred_identities(
    tools: Tools, far: Sink, tmp_path: Path
) -> None:
    load = drive(tools, far, tmp_path, POST)
    counts = far.counts()
    assert (load.sent, load.accepted, load.broken, load.unanswered) == (200, 200, 0, 0)
    assert load.statuses == {"200": 200}
    assert (counts.requests, counts.distinct, counts.unmarked) == (200, 200, 0)
    assert load.started_ns < counts.first_ns <= counts.last_new_ns == counts.last_ns
    assert 0 < load.latency_us["p50"] <= load.latency_us["p99"] <= load.latency_us["max"]


@needs_a_compiler
def test_a_repeated_message_is_counted_but_is_not_a_new_identity(
    tools: Tools, far: Sink, tmp_path: Path
) -> None:
    drive(tools, far, tmp_path, POST)
    drive(tools, far, tmp_path, POST, first=100)
    assert (far.counts().requests, far.counts().distinct) == (400, 300)
    far.reset()
    assert (far.counts().requests, far.counts().distinct) == (0, 0)


@needs_a_compiler
def test_a_request_without_the_marker_is_told_apart(
    tools: Tools, far: Sink, tmp_path: Path
) -> None:
    drive(tools, far, tmp_path, "GET /p?to={number} HTTP/1.1\nHost: here\n\n")
    assert (far.counts().distinct, far.counts().unmarked) == (0, 200)


@needs_a_compiler
def test_refused_messages_are_not_accepted_ones(tools: Tools, far: Sink, tmp_path: Path) -> None:
    chunked = "POST /p HTTP/1.1\nHost: here\nTransfer-Encoding: chunked\n\n0"
    load = drive(tools, far, tmp_path, chunked)
    assert load.accepted == 0
    assert load.statuses["501"] + load.broken == 200


@needs_a_compiler
def test_the_provider_gets_the_answer_it_was_promised(far: Sink) -> None:
    with urllib.request.urlopen(far.url("/provider"), timeout=10) as answer:
        assert (answer.status, answer.read()) == (200, b'{"code":"ok"}')


@needs_a_compiler
def test_a_small_measurement_finds_every_message_at_both_far_sides(
    tools: Tools, tmp_path: Path
) -> None:
    come: list[int] = []
    run = measure(textgate(), tools, Plan(messages=50, warm_up=10, folder=tmp_path), come.append)
    assert (run.peer, run.accepted, run.webhooks, come[-1]) == ("textgate", 50, 50, 50)
    assert (run.repeated_sends, run.repeated_webhooks) == (0, 0)
    assert 0 < run.messages_per_second <= run.accepts_per_second
    assert 0 < run.accept_p50_us <= run.accept_p99_us
    assert run.cpu_seconds_per_1000 == run.cpu_seconds / 50 * 1000
    assert run.peak_rss_bytes > 2**20
    assert run.facts["version"].startswith("textgate ")


RUN = Run(
    peer="kannel",
    messages_per_second=1000.0,
    cpu_seconds_per_1000=1.0,
    accept_p50_us=1000,
    accept_p99_us=2000,
    peak_rss_bytes=2**20,
    accepted=10,
    accepts_per_second=1000.0,
    webhooks=10,
    repeated_webhooks=0,
    repeated_sends=0,
    cpu_seconds=1.0,
    outside_cpu_seconds=0.1,
    others_cpu_share=0.0,
    facts={},
)


def against_kannel(rate: float, cpu: float) -> list[str]:
    ours = replace(RUN, peer="textgate", messages_per_second=rate, cpu_seconds_per_1000=cpu)
    return report.verdict(report.medians([ours, RUN]))


def test_the_verdict_says_met_or_by_how_much_it_is_missed() -> None:
    rate, cpu = against_kannel(3000.0, 0.25)
    assert rate.endswith(": met")
    assert cpu.endswith(": met")
    rate, cpu = against_kannel(1500.0, 0.5)
    assert rate.endswith(": missed by 50%")
    assert cpu.endswith(": missed by 100%")


def test_one_slow_run_does_not_move_the_median() -> None:
    runs = [replace(RUN, messages_per_second=rate) for rate in (1000.0, 10.0, 1100.0)]
    assert report.medians(runs)["kannel"]["messages_per_second"] == 1000.0
