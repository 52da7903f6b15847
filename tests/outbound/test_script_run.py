"""What becomes of a run of a script: its value, its error, its output, its surroundings."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from outbound_script import PROBE, Bench, bench, program

from textgate.outbound.script.run import Ended, EndReason, Line, Returned, Threw

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scripts() -> AsyncIterator[Bench]:
    async with bench() as one:
        yield one


VALUES = [
    ("return undefined", None),
    ("", None),
    ("return null", None),
    ("return () => 1", None),
    ("return Symbol('x')", None),
    ("return 0", b"0"),
    ("return false", b"false"),
    ("return ''", b'""'),
    ("return 'x'", b'"x"'),
    ("return NaN", None),
    ("return []", b"[]"),
    ("return {}", b"{}"),
    ("return {code: 'ok', left_out: undefined, n: [undefined]}", b'{"code":"ok","n":[null]}'),
    ("return {toJSON: () => ({code: 'ok'})}", b'{"code":"ok"}'),
    ("return {toJSON: () => undefined}", None),
    ("return new Date(0)", b'"1970-01-01T00:00:00.000Z"'),
    ("return {then: (done) => done({code: 'ok'})}", b'{"code":"ok"}'),
    ("return 'é\\u2028😀'", '"é\u2028😀"'.encode()),
    ("return JSON.parse('{\"__proto__\": 1}')", b'{"__proto__":1}'),
]


@pytest.mark.parametrize(("code", "value"), VALUES)
async def test_a_value_is_told_as_json(scripts: Bench, code: str, value: bytes | None) -> None:
    assert (await scripts.run(PROBE, {"code": code})).end == Returned(value)


THROWN = [
    ("return 1n", "TypeError: Do not know how to serialize a BigInt"),
    ("const a = {}; a.a = a; return a", "TypeError: Converting circular structure to JSON"),
    ("return 'x'.repeat(1100000)", "TypeError: the script returned more than 1 MiB"),
    ("return {toJSON() { throw new Error('not me') }}", "not me"),
    ("throw new Error('boom')", "boom"),
    ("throw new RangeError('far')", "RangeError: far"),
    ("throw 'a string'", "a string"),
    ("throw 42", "42"),
    ("throw undefined", "undefined"),
    ("throw null", "null"),
    ("throw Symbol('s')", "Symbol(s)"),
    ("throw {code: 'ok'}", '{ code: "ok" }'),
    ("throw new Error('')", "Error"),
    ("throw Object.assign(new Error('mine'), {name: 'Refused'})", "Refused: mine"),
    ("return Promise.reject(new Error('late'))", "late"),
    ("return {then: (_, fail) => fail(new Error('thenable'))}", "thenable"),
    ("await Promise.any([Promise.reject(new Error('a'))])", "All promises were rejected"),
]


@pytest.mark.parametrize(("code", "message"), THROWN)
async def test_what_is_thrown_is_told_in_words(scripts: Bench, code: str, message: str) -> None:
    end = (await scripts.run(PROBE, {"code": code})).end
    assert isinstance(end, Threw)
    assert message in end.message


async def test_half_of_a_character_is_replaced(scripts: Bench) -> None:
    """Alone it has no UTF-8; neither frames nor records could hold it."""
    assert await scripts.probe(r"return '\ud800'.charCodeAt(0)") == 0xD800
    end = (await scripts.run(PROBE, {"code": r"console.log('\ud800'); throw '\udfff!'"})).end
    assert end == Threw("\ufffd!", None, None)
    code = r"return {'\ud800': 'a\udfff\\\ud800', code: 'ok', both: '\ud83d\ude00', not: '\\ud800'}"
    returned = (await scripts.run(PROBE, {"code": code})).end
    assert isinstance(returned, Returned)
    assert json.loads(returned.value or b"") == {
        "\ufffd": "a\ufffd\\\ufffd", "code": "ok", "both": "😀", "not": r"\ud800"
    }  # fmt: skip


SHAPES = [
    "export default async function (e: { to: string }): Promise<{ code: string }> "
    '{ return { code: "ok" }; }',
    'export default function (e: any) { return { code: "ok" }; }',
    'export default (e: any) => ({ code: "ok" });',
    'const main = async () => ({ code: "ok" });\nexport { main as default };',
    'await new Promise((done) => setTimeout(done, 1));\nexport default () => ({ code: "ok" });',
    'enum Code { Ok = "ok" }\nexport default () => ({ code: Code.Ok satisfies string });',
]


@pytest.mark.parametrize("source", SHAPES)
async def test_every_shape_of_an_entry_point_is_called(scripts: Bench, source: str) -> None:
    assert await scripts.value(source, {"to": "+41790000001"}) == {"code": "ok"}


async def test_the_payload_is_the_first_argument_and_the_call_has_it_for_itself(
    scripts: Bench,
) -> None:
    source = "export default (e: any, ...more: any[]) => { e.seen = (e.seen ?? 0) + 1; return e; }"
    payload = {"to": "+41790000001", "body": "Héllo 😀\n", "template_variables": {"__proto__": "1"}}
    for _ in range(2):
        assert await scripts.value(source, payload) == {**payload, "seen": 1}


async def test_the_secrets_are_the_second_argument_and_cannot_be_changed(scripts: Bench) -> None:
    secrets = {"key": "hush", "__proto__": "plain", "constructor": "plain too"}
    code = """
        "use strict";
        const tried = [];
        for (const work of [
            () => { context.secrets = {} },
            () => { context.secrets.key = "mine" },
            () => { delete context.secrets.key },
            () => { context.secrets.more = 1 },
            () => { Object.setPrototypeOf(context.secrets, {}) },
        ]) try { work(); tried.push("done") } catch (problem) { tried.push(problem.name) }
        const names = Object.keys(context);
        return [Object.entries(context.secrets), context.secrets.toString, tried, names];
    """
    assert await scripts.probe(code, secrets=secrets) == [
        [[name, value] for name, value in secrets.items()],
        None,
        ["TypeError"] * 5,
        ["secrets"],
    ]


NOT_LOADED = [
    (
        "export default async function ( {\n  const a = ;\n}",
        "line 2, column 9: Expected ',', got 'a'",
    ),
    ("export const a = 1;", "the script has no default export that is a function"),
    ("export default { code: 'ok' };", "the script has no default export that is a function"),
    ("", "the script has no default export that is a function"),
    (
        "const a: number = 1;\nthrow new RangeError(`top ${a}`);",
        "line 2, column 7: RangeError: top 1",
    ),
    (
        "import fs from 'node:fs';\nexport default () => fs.readFileSync;",
        "line 1, column 16: node:fs is not offered to scripts",
    ),
    ("import a from 'npm:left-pad';\nexport default () => a;", "npm: modules are not offered"),
    ("import a from 'jsr:@std/path';\nexport default () => a;", "jsr: modules are not offered"),
    (
        "import a from 'https://modules.example/absent.ts';\nexport default () => a;",
        "a module that was not stored with the script cannot be imported",
    ),
    ("import a from 'file:///etc/passwd';\nexport default () => a;", "files cannot be imported"),
    (
        "import a from './a.ts';\nexport default () => a;",
        "line 1, column 15: a module is imported by its whole address",
    ),
    ("import a from 'fs';\nexport default () => a;", "by its whole address"),
    ("await Promise.reject(new Error('no token'));\nexport default () => 1;", "no token"),
]


@pytest.mark.parametrize(("source", "detail"), NOT_LOADED)
async def test_a_script_that_is_none_is_told_with_its_place(
    scripts: Bench, source: str, detail: str
) -> None:
    end = (await scripts.run(source)).end
    assert isinstance(end, Ended)
    assert end.reason is EndReason.NOT_LOADED
    assert detail in end.detail
    assert "blob:" not in end.detail
    assert "base64" not in end.detail
    assert "\x1b" not in end.detail


async def test_a_script_that_fails_while_it_loads_is_loaded_anew_for_the_next_call(
    scripts: Bench,
) -> None:
    source = "if (Math.random() < 2) throw new Error(`at ${Date.now()}`);\nexport default () => 1;"
    first, second = [(await scripts.run(source)).end for _ in range(2)]
    assert isinstance(first, Ended)
    assert isinstance(second, Ended)
    assert first.detail != second.detail


PLACED = """interface Payload {
  to: string;
}
type Deep = { [name: string]: Deep };

function fail(e: Payload): never {
  // the place of the problem
  throw new TypeError(`cannot send to ${e.to}`);
}

export default async function (e: Payload) {
  await new Promise((done) => setTimeout(done, 1));
  return fail(e);
}
"""


async def test_an_error_has_the_line_and_column_of_the_source(scripts: Bench) -> None:
    end = (await scripts.run(PLACED, {"to": "x"})).end
    assert end == Threw("TypeError: cannot send to x", 8, 9)


async def test_an_error_within_a_module_is_told_where_the_script_called_it(scripts: Bench) -> None:
    source = (
        'import { fail } from "https://modules.example/failing.ts";\n'
        "export default () => {\n  fail();\n};\n"
    )
    failing = "export const fail = () => {\n\n\n  throw new Error('inside');\n};\n"
    end = (await scripts.run(program(source, failing=failing))).end
    assert end == Threw("inside", 3, 3)


async def test_stored_modules_import_each_other_and_types_cost_nothing(scripts: Bench) -> None:
    source = """
        import { Payload } from "https://modules.example/types.ts";
        import { twice } from "https://modules.example/twice.ts";
        export default async (e: Payload) => {
          const more = await import("https://modules.example/add.ts");
          return [twice(e.n), more.add(e.n, 1)];
        };
    """
    twice = 'import { add } from "https://modules.example/add.ts";\n'
    twice += "export const twice = (n: number): number => add(n, n);"
    add = "export const add = (a: number, b: number): number => a + b;"
    whole = program(source, types="", twice=twice, add=add)
    assert await scripts.value(whole, {"n": 21}) == [42, 22]


async def test_the_console_is_kept_for_the_call_that_printed(scripts: Bench) -> None:
    code = """
        const { log } = console;
        log("plain", 1, {a: [1, {b: null}]}, undefined, 2n);
        console.info("i"); console.warn("w"); console.error(new TypeError("shown").message);
        console.debug("d"); console.assert(1 > 2, "maths"); console.count(); console.count("x");
        console.group("in"); console.log("deeper"); console.groupEnd(); console.log("out");
        console.dir({d: 1}); console.table([[1]]); console.clear(); console.trace("t");
        console.time("t"); console.timeEnd("absent");
        console.log({get bad() { throw 1 }, [Symbol.for("Deno.customInspect")]() { throw 2 }});
    """
    run = await scripts.run(PROBE, {"code": code})
    assert run.end == Returned(None)
    assert not run.console_cut
    assert run.console == (
        Line("log", "plain 1 { a: [ 1, { b: null } ] } undefined 2n"),
        Line("info", "i"),
        Line("warn", "w"),
        Line("error", "shown"),
        Line("debug", "d"),
        Line("error", 'Assertion failed: [ "maths" ]'),
        Line("log", "default: 1"),
        Line("log", "x: 1"),
        Line("log", "in"),
        Line("log", "  deeper"),
        Line("log", "out"),
        Line("log", "{ d: 1 }"),
        Line("log", "[ [ 1 ] ]"),
        Line("debug", "t"),
        Line("log", "[cannot be shown]"),
    )


STACKS = """
export default async () => {
  setTimeout(() => console.log(new Error("x").stack), 0);
  Promise.reject(new Error("rejected"));
  await new Promise((done) => setTimeout(done, 20));
  reportError(new Error("reported"));
  console.log([new Error("inspected")]);
};
"""


async def test_a_printed_stack_names_the_script_and_nothing_of_ours(scripts: Bench) -> None:
    run = await scripts.run(STACKS)
    assert [line.text for line in run.console] == [
        "Uncaught in a promise: Error: rejected\n    at default (script.ts:4:18)",
        "Error: x\n    at script.ts:3:32",
        "Uncaught: Error: reported\n    at default (script.ts:6:15)",
        "[\n  Error: inspected\n      at default (script.ts:7:16)\n]",
    ]


async def test_what_calls_print_at_the_same_time_is_not_mixed_up(scripts: Bench) -> None:
    source = """
        export default async (e: { n: number }) => {
          for (let turn = 0; turn < 5; turn++) {
            console.log(e.n);
            await new Promise((done) => setTimeout(done, 1));
            queueMicrotask(() => console.log(e.n));
            await null;
          }
        };
    """
    runs = await asyncio.gather(*(scripts.run(source, {"n": n}) for n in range(20)))
    assert [{line.text for line in run.console} for run in runs] == [{str(n)} for n in range(20)]
    assert {len(run.console) for run in runs} == {10}


async def test_a_module_keeps_its_state_from_call_to_call(scripts: Bench) -> None:
    source = "let calls = 0;\nexport default () => ++calls;"
    assert [await scripts.value(source) for _ in range(3)] == [1, 2, 3]
    assert await scripts.value(source, key="another version") == 1


async def test_a_late_error_is_a_line_of_the_call_and_ends_nothing(scripts: Bench) -> None:
    code = """
        globalThis.mark ??= Math.random();
        Promise.reject(new Error("a rejection"));
        setTimeout(() => { throw new Error("a timer") }, 0);
        const target = new EventTarget();
        target.addEventListener("x", () => { throw new Error("a listener") });
        target.dispatchEvent(new Event("x"));
        queueMicrotask(() => { throw new Error("a microtask") });
        reportError(new Error("a report"));
        await new Promise((done) => setTimeout(done, 20));
        return globalThis.mark;
    """
    first, second = [await scripts.run(PROBE, {"code": code}) for _ in range(2)]
    assert first.end == second.end  # one process
    for what in ("rejection", "timer", "listener", "microtask", "report"):
        assert any(f"Error: a {what}" in line.text for line in second.console), second.console
