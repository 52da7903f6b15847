"""The processes of scripts: started, shared, replaced, and gone when they should be."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from outbound_script import ECHO, PROBE, bench, children, cpu_of, until

from textgate import telemetry
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.run import Ended, EndReason, Returned, Threw
from textgate.testing.far_side import FarSide, Say

COUNT = "let calls = 0;\nexport default () => ++calls;"
POST = """
export default async (e: { url: string; body?: string; turns?: number }) => {
  const said = [];
  for (let turn = 0; turn < (e.turns ?? 1); turn++) {
    const body = e.body ?? `${Math.random()}`;
    said.push(await (await fetch(`${e.url}/${turn}`, { method: "POST", body })).text());
  }
  return said;
};
"""


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    async def answer(n: int) -> None:
        assert await scripts.value(POST, {"url": far.url, "body": f"b{n}"}) == [f"b{n}!"]

    async with bench() as scripts, FarSide() as far:
        far.on("/0", script=lambda request: Say(200, request.body + b"!"))
        await asyncio.gather(*(answer(n) for n in range(100)))
        assert far.count("/0") == 100
        assert len(children()) == 1


async def test_a_process_is_replaced_after_so_many_calls() -> None:
    async with bench(most_calls=3) as scripts:
        assert [await scripts.value(COUNT) for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]
        await until(lambda: len(children()) == 1)


async def test_a_process_that_nobody_needs_is_closed() -> None:
    async with bench(idle_seconds=0.5) as scripts:
        assert await scripts.value(COUNT) == 1
        assert len(children()) == 1
        await until(lambda: not children())
        await until(lambda: b"textgate_script_processes 0.0" in telemetry.exposition())
        assert await scripts.value(COUNT) == 1


LEFT_BEHIND = {
    "too much memory": "globalThis.kept = new Uint8Array(120 << 20).fill(1); return 1",
    "microtasks without end": "(async () => { for (;;) await null })(); return 1",
    "work in other threads": """
        const name = "PBKDF2", salt = new Uint8Array(8);
        const key = await crypto.subtle.importKey("raw", salt, name, false, ["deriveBits"]);
        const about = { name, salt, hash: "SHA-512", iterations: 2e6 };
        for (let n = 0; n < 50; n++) crypto.subtle.deriveBits(about, key, 256);
        return 1;
    """,
}


async def test_what_is_left_after_an_answer_ends_with_its_process_and_holds_nobody_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with bench(memory_mb=160) as scripts:
        for name, code in LEFT_BEHIND.items():
            assert await scripts.probe(code, key=name) == 1
        await until(lambda: not children(), 5)
        said = capsys.readouterr().out
        assert said.count("works on after its last answer") == 2
        assert said.count("holds too much memory") == 1
        assert await scripts.probe(LEFT_BEHIND["microtasks without end"]) == 1
        assert await scripts.probe("return 2") == 2


async def test_the_process_used_last_makes_room() -> None:
    async with bench(total=2) as scripts:
        assert await scripts.value(COUNT, key="a") == 1
        assert await scripts.value(COUNT, key="b") == 1
        assert await scripts.value(COUNT, key="a") == 2
        assert await scripts.value(COUNT, key="c") == 1
        assert await scripts.value(COUNT, key="a") == 3
        assert await scripts.value(COUNT, key="b") == 1
        assert len(children()) <= 2


async def test_where_there_is_no_room_a_call_waits_but_not_for_ever() -> None:
    async with bench(total=1, room_seconds=1.0) as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/0", script=lambda _: Say(200, b"x", hold=hold))
        busy = asyncio.ensure_future(scripts.run(POST, {"url": far.url, "body": "b"}))
        await until(lambda: far.holding == 1)
        late = await scripts.run(ECHO, key="late")
        assert late.end == Ended(
            EndReason.UNAVAILABLE, "too many scripts run at once; try again later"
        )
        waits = asyncio.ensure_future(scripts.run(ECHO, 1, key="waits"))
        await asyncio.sleep(0)
        hold.set()
        assert (await busy).end == Returned(b'["x"]')
        assert (await waits).end == Returned(b"1")


# --- a process that ends ---


async def test_a_killed_process_loses_no_call_and_sends_nothing_twice() -> None:
    async with bench() as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/0", script=lambda request: Say(200, request.body))
        far.on("/1", script=lambda request: Say(200, request.body, hold=hold))
        payloads = [{"url": far.url, "body": f"b{n}", "turns": 3} for n in range(6)]
        runs = [asyncio.ensure_future(scripts.run(POST, each, timeout=60)) for each in payloads]
        await until(lambda: far.holding == 6)
        [process] = children()
        os.kill(process, signal.SIGKILL)
        await until(lambda: process not in children())
        hold.set()
        ended = [run.end for run in await asyncio.gather(*runs)]
        assert ended == [
            Returned(json.dumps([f"b{n}"] * 2 + [""]).replace(" ", "").encode()) for n in range(6)
        ]
        assert [far.count(f"/{turn}") for turn in range(3)] == [6, 6, 6]
    assert b'textgate_script_ends_total{reason="crash"}' in telemetry.exposition()


async def test_a_call_that_takes_another_way_when_it_is_run_again_is_not_run_further() -> None:
    async with bench() as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/0", script=lambda _: Say(hold=hold))
        run = asyncio.ensure_future(scripts.run(POST, {"url": far.url}))
        await until(lambda: far.holding == 1)
        [process] = children()
        os.kill(process, signal.SIGKILL)
        ended = await run
        hold.set()
        assert isinstance(ended.end, Ended)
        assert ended.end.reason is EndReason.CRASH
        assert "did not make the same requests" in ended.end.detail
        assert [(fetch.status, fetch.sent) for fetch in ended.fetches] == [(None, True)]
        assert far.count("/0") == 1


async def test_a_process_that_stands_still_is_replaced() -> None:
    async with bench() as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/0", script=lambda _: Say(200, b"x", hold=hold))
        payload = {"url": far.url, "body": "b"}
        run = asyncio.ensure_future(scripts.run(POST, payload, timeout=40))
        await until(lambda: far.holding == 1)
        [process] = children()
        os.kill(process, signal.SIGSTOP)
        await asyncio.sleep(1)  # it is late now, and others do not wait with it
        assert await scripts.value(POST, {**payload, "turns": 0}) == []
        hold.set()
        assert (await run).end == Returned(b'["x"]')
        assert process not in children()
        assert far.count("/0") == 1


async def test_what_loads_for_long_is_begun_anew_for_those_who_wait() -> None:
    source = """
        const token = await (await fetch("%s/token")).text();
        export default () => token;
    """
    async with bench() as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/token", Say(hold=hold), script=lambda _: Say(200, b"t"))
        script = source % far.url
        first = asyncio.ensure_future(scripts.run(script, timeout=1.5))
        await until(lambda: far.holding == 1)
        second = asyncio.ensure_future(scripts.run(script))
        assert (await first).end == Ended(
            EndReason.TIMEOUT, "the script did not finish within 1.5 s"
        )
        ended = await second
        assert ended.end == Returned(b'"t"')
        assert [fetch.url for fetch in ended.fetches] == [f"{far.url}/token"]
        hold.set()


async def test_nobody_is_sent_into_a_process_that_a_call_has_left_hanging() -> None:
    def hurt() -> list[str]:
        lines = telemetry.exposition().decode().splitlines()
        return [line for line in lines if line.startswith("textgate_script_ends_total")]

    async with bench() as scripts:
        assert await scripts.probe("return 1") == 1
        before = hurt()
        run = await scripts.run(PROBE, {"code": "for (;;);"}, timeout=0.6)
        assert isinstance(run.end, Ended)
        assert run.end.reason is EndReason.TIMEOUT
        assert await scripts.probe("return 2") == 2
        await until(lambda: len(children()) == 1)
        assert hurt() == before


# --- a call that hangs, among others ---

SINK = """
export default async (e: { url: string; body: string; after?: boolean }) => {
  const loop = () => { for (;;); };
  if (e.body === "loop" && !e.after) loop();
  await new Promise((done) => setTimeout(done, 50));
  if (e.body === "loop") loop();
  await fetch(e.url, { method: "POST", body: e.body });
  return { code: "ok" };
};
"""


@pytest.mark.parametrize("after", [False, True], ids=["at once", "in a timer"])
async def test_a_call_that_hangs_costs_its_neighbours_little_of_a_short_time(after: bool) -> None:
    async with bench() as scripts, FarSide() as far:
        far.on("/")
        bodies = [f"b{n}" for n in range(12)] + ["loop"] + [f"c{n}" for n in range(7)]
        payloads = [{"url": far.url, "body": body, "after": after} for body in bodies]
        runs = await asyncio.gather(*(scripts.run(SINK, each, timeout=4) for each in payloads))
        ends = dict(zip(bodies, (run.end for run in runs), strict=True))
        assert ends.pop("loop") == Ended(EndReason.TIMEOUT, "the script did not finish within 4 s")
        assert set(ends.values()) == {Returned(b'{"code":"ok"}')}
        assert sorted(each.body.decode() for each in far.requests["/"]) == sorted(ends)


async def test_a_call_that_never_had_its_turn_can_be_tried_again() -> None:
    async with bench(total=2) as scripts:
        assert await scripts.probe("return 1") == 1
        [process] = children()
        before = cpu_of(process)
        loop = asyncio.ensure_future(scripts.run(PROBE, {"code": "for (;;);"}, timeout=6))
        await until(lambda: cpu_of(process) >= before + 0.08)
        late = await scripts.run(PROBE, {"code": "return 2"}, timeout=0.12)
        assert late.end == Ended(
            EndReason.UNAVAILABLE,
            "other calls of the script left no time for this one; try again later",
        )
        # With a little more time there is room for it, though that script goes on.
        assert await scripts.probe("return 3", timeout=3) == 3
        assert not loop.done()
        loop.cancel()
        await asyncio.wait([loop])


# --- being ended from here ---


async def test_a_cancelled_run_gives_up_its_requests_and_leaves_the_process() -> None:
    async with bench() as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/0", script=lambda _: Say(hold=hold))
        assert await scripts.value(POST, {"url": far.url, "turns": 0}) == []
        before = children()
        run = asyncio.ensure_future(scripts.run(POST, {"url": far.url, "body": "b"}))
        await until(lambda: far.holding == 1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await until(lambda: far.holding == 0)
        assert await scripts.value(POST, {"url": far.url, "turns": 0}) == []
        assert children() == before
        hold.set()


async def test_a_run_that_is_cancelled_while_its_process_starts_leaves_none() -> None:
    async with bench() as scripts:
        for wait in (0, 0.005, 0.02, 0.05, 0.1):
            run = asyncio.ensure_future(scripts.run(ECHO, 1, key=f"cancelled {wait}"))
            await asyncio.sleep(wait)
            run.cancel()
            await asyncio.wait([run])
        await until(lambda: not children())
        assert await scripts.value(ECHO, 1) == 1


async def test_closing_ends_runs_and_processes() -> None:
    async with bench() as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/0", script=lambda _: Say(hold=hold))
        sent = asyncio.ensure_future(scripts.run(POST, {"url": far.url, "body": "b"}))
        waits = asyncio.ensure_future(scripts.run("export default () => new Promise(() => {})"))
        await until(lambda: far.holding == 1 and len(children()) == 2)
        await asyncio.sleep(0.2)
        await scripts.workers.close()
        assert not children()
        ends = [(await run).end for run in (sent, waits)]
        assert [end.reason for end in ends if isinstance(end, Ended)] == [
            EndReason.CRASH,  # something of it has gone out, so it must not simply be repeated
            EndReason.UNAVAILABLE,
        ]
        after = (await scripts.run(ECHO)).end
        assert after == Ended(EndReason.UNAVAILABLE, "Textgate is stopping")
        hold.set()


async def test_a_version_that_is_dropped_ends_when_its_calls_have() -> None:
    async with bench() as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/0", script=lambda _: Say(200, b"x", hold=hold))
        await scripts.workers.drop("unknown")
        run = asyncio.ensure_future(scripts.run(POST, {"url": far.url, "body": "b"}, key="v"))
        await until(lambda: far.holding == 1)
        await scripts.workers.drop("v")
        assert len(children()) == 1
        hold.set()
        assert (await run).end == Returned(b'["x"]')
        await until(lambda: not children())
        assert await scripts.value(COUNT, key="w") == 1
        await scripts.workers.drop("w")
        await until(lambda: not children())
        assert await scripts.value(COUNT, key="w") == 1


# --- what a process has ---


async def test_a_process_has_no_environment_no_folder_and_leaves_no_dump(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TEXTGATE_SECRET", "hush")
    async with bench() as scripts:
        await scripts.value(ECHO)
        [process] = children()
        there = Path(f"/proc/{process}")
        environment = (there / "environ").read_text().strip("\0").split("\0")
        assert {name.partition("=")[0] for name in environment} == {
            "DENO_DIR", "DENO_EMIT_CACHE_MODE", "NO_COLOR"
        }  # fmt: skip
        assert (there / "cwd").readlink().name.endswith("(deleted)")
        assert re.search(r"Max core file size +0 +0 ", (there / "limits").read_text())
        assert os.getsid(process) == process
        assert list(tmp_path.iterdir()) == []


async def test_nothing_is_left_open() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with bench(most_calls=1) as scripts:
        await scripts.value(ECHO)
        await until(lambda: not children())
        before = open_files()
        for _ in range(5):
            await scripts.value(ECHO)
        await until(lambda: not children())
        await until(lambda: open_files() <= before)


SERVER = """
import asyncio, os, sys
sys.path.insert(0, {tests!r})
from outbound_script import ECHO, bench, children

async def main():
    async with bench() as scripts:
        await scripts.value(ECHO, 1)
        asyncio.ensure_future(scripts.run("export default () => {{ for (;;); }}", timeout=50))
        while len(children()) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        print(*children(), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_processes_end_with_a_server_that_is_killed() -> None:
    code = SERVER.format(tests=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            processes = server.stdout.readline().split()
            assert len(processes) == 2
        finally:
            server.kill()
    asyncio.run(until(lambda: not any(_runs_deno(int(process)) for process in processes), 10))


def _runs_deno(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/exe").readlink().name.startswith("deno")
    except OSError:
        return False


# --- without Deno ---


WITHOUT_DENO = {
    "absent": (None, "scripts need Deno"),
    "broken": ("echo deno 2.9.8; exit 1", "Deno does not start on this machine"),
    "another program": ("exit 0", "Deno does not run on this machine"),
    "too old": ("echo deno 1.41.3", "Deno 1.41.3 is too old"),
}


@pytest.mark.parametrize("what", WITHOUT_DENO)
async def test_without_a_deno_that_runs_a_run_says_what_to_install(
    tmp_path: Path, what: str
) -> None:
    code, says = WITHOUT_DENO[what]
    there = tmp_path / "deno"
    if code is not None:
        there.write_text(f"#!/bin/sh\n{code}\n", "utf-8")
        there.chmod(0o755)
    async with bench(deno=Deno(there), total=1) as scripts:
        for _ in range(2):  # and what it took is given back
            end = (await scripts.run(ECHO)).end
            assert isinstance(end, Ended)
            assert end.reason is EndReason.UNAVAILABLE
            assert says in end.detail
            assert "install the Python package `deno`" in end.detail
            assert "TEXTGATE_DENO" in end.detail


async def test_a_run_never_raises_for_what_a_payload_is() -> None:
    """The host makes the payload, so this is about the runner alone."""
    async with bench() as scripts:
        assert await scripts.value(ECHO, {"__proto__": {"a": [1]}, "toJSON": "x"}) == {
            "__proto__": {"a": [1]},
            "toJSON": "x",
        }
        assert isinstance((await scripts.run(PROBE, None)).end, Threw)
