"""Scripts that mean harm: only the call that does it fails, and its neighbours go on.

Each attack runs in one process with a neighbour that waits for an answer to what it has sent. The
neighbour ends as if nothing had been, and what it sent was sent once.
"""

import asyncio
from dataclasses import dataclass

import pytest
from outbound_script import Bench, bench, until

from textgate.outbound.script.run import Ended, EndReason, Returned, Run, Threw
from textgate.testing.far_side import FarSide, Say

SCRIPT = """
const AsyncFunction = (async () => {}).constructor;
export default async (e: { code?: string; url?: string }, context: unknown) => {
  if (e.code) return await new AsyncFunction("context", e.code)(context);
  const first = await fetch(e.url + "/first", { method: "POST", body: "1" });
  const second = await fetch(e.url + "/second", { method: "POST", body: await first.text() });
  return { code: "ok", second: second.status };
};
"""


@dataclass(frozen=True)
class Attack:
    name: str
    code: str
    reasons: tuple[EndReason | type[Threw], ...]
    says: str
    timeout: float = 2.0

    def __str__(self) -> str:
        return self.name


OUT_OF_MEMORY = "the script used more memory than it may"
TOO_LATE = "the script did not finish within 2 s"
ATTACKS = [
    Attack("an endless loop", "for (;;);", (EndReason.TIMEOUT,), TOO_LATE),
    Attack(
        "output without end",
        "for (;;) console.log('x'.repeat(1000))",
        (EndReason.TIMEOUT,),
        TOO_LATE,
    ),
    Attack(
        "the heap",
        "const all = []; for (;;) all.push({x: [Math.random()]})",
        (EndReason.MEMORY,),
        OUT_OF_MEMORY,
        20.0,
    ),
    Attack(
        "strings",
        "const all = []; for (let n = 0;; n++) { all.push(`${n}`.repeat(1e6)); all.at(-1).at(7) }",
        (EndReason.MEMORY,),
        OUT_OF_MEMORY,
        20.0,
    ),
    Attack(
        "buffers",
        "globalThis.all = []; for (;;) all.push(new Uint8Array(1e7).fill(1))",
        (EndReason.MEMORY, Threw),
        "",
        20.0,
    ),
    Attack(
        "the memory of WebAssembly",
        "globalThis.all = [];"
        "for (;;) { const m = new WebAssembly.Memory({initial: 160});"
        " new Uint8Array(m.buffer).fill(1); all.push(m) }",
        (EndReason.MEMORY, Threw),
        "",
        20.0,
    ),
]  # fmt: skip


async def beside_a_neighbour(
    scripts: Bench, code: str, timeout: float
) -> tuple[Run, Run, list[bytes]]:
    """Run ``code`` while a neighbour in the same process waits; what it sent comes third."""
    async with FarSide() as far:
        hold = asyncio.Event()
        far.on("/first", script=lambda _: Say(200, b"2", hold=hold))
        far.on("/second")
        neighbour = asyncio.ensure_future(scripts.run(SCRIPT, {"url": far.url}, timeout=40))
        await until(lambda: far.holding == 1)
        attack = asyncio.ensure_future(scripts.run(SCRIPT, {"code": code}, timeout=timeout))
        await asyncio.wait([attack], timeout=1.7)
        hold.set()
        both = await asyncio.gather(attack, neighbour)
        bodies = [far.requests[path] for path in ("/first", "/second")]
        return *both, [request.body for requests in bodies for request in requests]


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
async def test_only_the_call_that_does_harm_fails(attack: Attack) -> None:
    async with bench(memory_mb=128) as scripts:
        run, neighbour, sent = await beside_a_neighbour(scripts, attack.code, attack.timeout)
        assert neighbour.end == Returned(b'{"code":"ok","second":200}')
        assert sent == [b"1", b"2"]
        assert [fetch.status for fetch in neighbour.fetches] == [200, 200]
        if isinstance(run.end, Ended):
            assert run.end.reason in attack.reasons, run
            assert attack.says in run.end.detail
        else:
            assert type(run.end) in attack.reasons, run
        assert run.elapsed_ms < attack.timeout * 1000 + 2000
        assert sum(len(line.text) for line in run.console) <= 65_536
        # And the version goes on.
        assert await scripts.value(SCRIPT, {"code": "return 'goes on'"}) == "goes on"


LOOPS = {
    "a chain of promises": "for (;;) await null",
    "a regular expression": "return /^(a+)+$/.test('a'.repeat(60) + '!')",
    "a result that is written": "return {toJSON() { for (;;); }}",
    "an error that is read": "throw {get stack() { for (;;); }, message: 'x'}",
    "a thenable": "return {then() { for (;;); }}",
}


async def test_whatever_loops_only_those_calls_run_out_of_time() -> None:
    async with bench() as scripts, FarSide() as far:
        hold = asyncio.Event()
        far.on("/first", script=lambda _: Say(200, b"2", hold=hold))
        far.on("/second")
        neighbour = asyncio.ensure_future(scripts.run(SCRIPT, {"url": far.url}, timeout=60))
        await until(lambda: far.holding == 1)
        loops = [scripts.run(SCRIPT, {"code": code}, timeout=2) for code in LOOPS.values()]
        ends = [run.end for run in await asyncio.gather(*loops)]
        # They keep each other waiting too: one that had no turn may be tried again.
        assert {end.reason for end in ends if isinstance(end, Ended)} <= {
            EndReason.TIMEOUT, EndReason.UNAVAILABLE
        }  # fmt: skip
        assert Ended(EndReason.TIMEOUT, TOO_LATE) in ends
        assert all(isinstance(end, Ended) for end in ends)
        hold.set()
        assert (await neighbour).end == Returned(b'{"code":"ok","second":200}')
        assert far.count("/first") == 1


HARMLESS = [
    ("await new Promise(() => {})", EndReason.TIMEOUT),
    ("return {then() {}}", EndReason.TIMEOUT),
    ("return new Proxy({}, {get() { throw new Error('trap') }})", Threw),
    ("throw new Proxy({}, {get() { throw new Error('trap') }, ownKeys() { throw 1 }})", Threw),
    ("throw {get message() { throw new Error('again') }, get stack() { throw 1 }}", Threw),
    ("throw {message: {toString() { throw 1 }}, stack: 7, name: Symbol()}", Threw),
    ("const e = new Error('x'); e.stack = 'x'.repeat(1e6); throw e", Threw),
    ("throw new Error('y'.repeat(1e7))", Threw),
    ("Error.prepareStackTrace = () => { throw new Error('trap') }; throw new Error('x')", Threw),
    ("const deep = () => deep(); deep()", Threw),
    ("const deep = () => { console.log('x'); deep() }; deep()", Threw),
    ("const deep = () => { fetch('http://['); deep() }; deep()", Threw),
    ("return new Uint8Array(2 ** 30).fill(1).length", Threw),
    ("return new WebAssembly.Memory({initial: 16000}).buffer.byteLength", Threw),
    ("let a = []; for (let n = 0; n < 1e5; n++) a = [a]; return a", Threw),
    ("for (let n = 0; n < 1e4; n++) Promise.reject(new Error(n)); throw 1", Threw),
    ("addEventListener('unload', () => { for (;;); }); dispatchEvent(new Event('x')); throw 1",
     Threw),
    ("addEventListener('unhandledrejection', (e) => e.stopImmediatePropagation()); throw 1", Threw),
    ("addEventListener('error', () => { throw 1 }); setTimeout(() => { throw 2 }, 0); throw 3",
     Threw),
    ("for (const n of ['fetch', 'Promise', 'JSON', 'console']) delete globalThis[n]; throw 1",
     Threw),
    ("for (let n = 0; n < 5000; n++) setTimeout(() => {}, 1e8); throw 1", Threw),
    ("await Promise.all(Array.from({length: 300}, () => fetch('http://127.0.0.1:1/')))", Threw),
]  # fmt: skip


async def test_what_does_no_harm_costs_nobody_the_process() -> None:
    mark = "return globalThis.mark ??= Math.random()"
    async with bench() as scripts:
        before = await scripts.value(SCRIPT, {"code": mark})
        for code, wanted in HARMLESS:
            timeout = 0.5 if wanted is EndReason.TIMEOUT else 20
            end = (await scripts.run(SCRIPT, {"code": code}, timeout=timeout)).end
            if isinstance(end, Ended):
                assert end.reason == wanted, code
            else:
                assert type(end) is wanted, code
                assert len(end.message) <= 2000
            assert await scripts.value(SCRIPT, {"code": mark}) == before, code


async def test_output_is_kept_up_to_its_limits() -> None:
    async with bench() as scripts:
        lines = await scripts.run(SCRIPT, {"code": "for (let n = 0; n < 3000; n++) console.log(n)"})
        assert [line.text for line in lines.console] == [str(n) for n in range(500)]
        assert lines.console_cut
        long = await scripts.run(
            SCRIPT, {"code": "for (let n = 0; n < 30; n++) console.log('é'.repeat(2 ** 20))"}
        )
        assert {len(line.text) for line in long.console} == {16_384}
        assert len(long.console) == 4
        assert long.console_cut
        assert not (await scripts.run(SCRIPT, {"code": "console.log(1)"})).console_cut


async def test_one_script_sees_nothing_of_another() -> None:
    async with bench() as scripts:
        leave = "globalThis.left = context.secrets.key; performance.mark('left'); return 1"
        look = "return [typeof left, performance.getEntries().length, context.secrets.key ?? null]"
        await scripts.value(SCRIPT, {"code": leave}, key="one", secrets={"key": "hush"})
        assert await scripts.value(SCRIPT, {"code": look}, key="two") == ["undefined", 0, None]
