"""The benchmark's own instruments count right; a wrong instrument makes every figure wrong."""

import os
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bench import report
from bench.measure import Incomplete, Plan, Run, measure
from bench.peers.textgate import textgate
from bench.phones import measure as phones
from bench.phones import report as phone_report
from bench.scripts import measure as scripts
from bench.scripts import report as script_report
from bench.scripts.ways import BY_SCRIPT, messages, stage
from bench.toolchain import Load, Loading, Sink, Tools, compile_tools, sink

from textgate.domain.errors import Unavailable
from textgate.outbound.script.deno import Deno
from textgate.testing.receiver import Answer, Receiver

needs_a_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="NO C COMPILER: the benchmark's instruments are untested"
)


def has_deno() -> bool:
    try:
        return Deno().path.is_file()
    except Unavailable:
        return False


needs_deno = pytest.mark.skipif(not has_deno(), reason="NO DENO: scripts are not measured")


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


# --- scripts ---


@needs_deno
@needs_a_compiler
def test_a_small_measurement_of_scripts_has_every_figure(tools: Tools) -> None:
    plan = scripts.Plan(sends=100, process_sends=4, in_flight=2, warm_up=10)
    turn = scripts.measure(tools, plan, backwards=True)
    in_process, in_worker = turn.rates
    assert [(one.way, one.sends) for one in turn.rates] == [("process", 4), ("worker", 100)]
    assert in_worker.sends_per_second > in_process.sends_per_second > 0
    assert in_process.cpu_ms_per_send > 1, "the CPU of processes that have ended counts"
    assert in_worker.cpu_ms_per_send > 0
    one = turn.latency
    assert one.sends == 50
    assert 0 < one.direct_p50_us <= one.direct_p99_us
    assert 0 < one.worker_p50_us <= one.worker_p99_us
    assert one.worker_p50_us < one.worker_first_us, (
        "a process that starts is slower than a warm one"
    )


@needs_deno
async def test_a_send_that_the_far_side_refused_is_no_result() -> None:
    with Receiver(choose=lambda _: Answer(500)) as receiver:
        async with stage(Sink(receiver.port, os.getpid())) as on:
            for way in BY_SCRIPT.values():
                async with way(on) as send:
                    with pytest.raises(Incomplete, match=r"in (the worker|a process)"):
                        await send(messages(7, 1)[0])
    assert [call.json["to"] for call in receiver.calls] == ["+447900000007"] * len(BY_SCRIPT)


def test_the_99th_percentile_is_a_time_that_was_measured() -> None:
    assert scripts.nearest_rank([float(n) for n in range(1, 201)]) == 198
    assert scripts.nearest_rank([3.0]) == 3


def turn(worker: float, process: float, added_us: float) -> scripts.Turn:
    rates = [
        scripts.Rate(way, 10, rate, cpu_ms_per_send=1.0, others_cpu_share=0.0)
        for way, rate in (("worker", worker), ("process", process))
    ]
    return scripts.Turn(
        tuple(rates), scripts.Latency(10, 100.0, 200.0, 100.0 + added_us, 900.0, 90_000.0)
    )


def test_the_verdict_on_scripts_says_met_or_by_how_much_it_is_missed() -> None:
    rate, added = script_report.verdict(script_report.medians([turn(2000, 50, 750)]))
    assert rate.startswith("scripts: 40.0 x")
    assert "adds 0.75 ms" in added
    assert rate.endswith(": met")
    assert added.endswith(": met")
    rate, added = script_report.verdict(script_report.medians([turn(500, 50, 3000)]))
    assert rate.endswith(": missed by 50%")
    assert added.endswith(": missed by 100%")


def test_one_slow_turn_does_not_move_the_median_of_scripts() -> None:
    found = script_report.medians([turn(2000, 50, 750), turn(10, 1, 9000), turn(2000, 50, 700)])
    assert (found.rates["worker"]["sends_per_second"], found.added_p50_ms) == (2000, 0.75)


# --- phones ---


def test_a_small_measurement_of_phones_has_every_figure(tmp_path: Path) -> None:
    plan = phones.Plan(streams=8, rate=40, seconds=1, phones=2, messages=30, folder=tmp_path)
    turn = phones.measure(plan)
    assert (turn.streams, turn.woken, turn.sent) == (8, 40, 30)
    assert 0 < turn.wake_p50_ms <= turn.wake_p99_ms <= turn.wake_max_ms
    assert turn.rss_with_bytes > 2**20
    assert turn.messages_per_second > 0
    assert turn.cpu_ms_per_message > 0
    assert list(tmp_path.iterdir()) == []


PHONES = phones.Turn(
    streams=1000,
    rss_before_bytes=2**26,
    rss_with_bytes=2**27,
    kib_per_stream=30.0,
    woken=2000,
    wake_p50_ms=2.0,
    wake_p99_ms=50.0,
    wake_max_ms=60.0,
    wake_cpu_share=0.3,
    sent=3000,
    messages_per_second=600.0,
    cpu_ms_per_message=1.5,
    others_cpu_share=0.0,
)


def test_the_verdict_on_phones_says_met_or_by_how_much_it_is_missed() -> None:
    met = phone_report.verdict(phone_report.medians([PHONES]))
    assert [text.rpartition(": ")[2] for text in met] == ["met", "met"]
    worse = replace(PHONES, kib_per_stream=90.0, wake_p99_ms=200.0)
    missed = phone_report.verdict(phone_report.medians([worse]))
    assert [text.rpartition(": ")[2] for text in missed] == ["missed by 50%", "missed by 100%"]
