"""What a script can reach: nothing that leads to the pipes, to files, or to anybody else."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from outbound_script import PROBE, Bench, bench

from textgate.outbound.script.deno import Deno
from textgate.outbound.script.modules import internal_modules
from textgate.outbound.script.run import Returned, Threw
from textgate.testing.far_side import FarSide

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scripts() -> AsyncIterator[Bench]:
    async with bench() as one:
        yield one


_GONE = """
    Deno process global Buffer require module Worker SharedWorker SharedArrayBuffer Atomics
    BroadcastChannel MessageChannel MessagePort WebSocket WebSocketStream WebTransport EventSource
    localStorage sessionStorage Storage caches Cache CacheStorage indexedDB
    alert confirm prompt close closed name location Location Navigator navigator Window GPU
    importScripts postMessage setImmediate clearImmediate onunload onbeforeunload onload onerror
    OffscreenCanvas createImageBitmap LockManager PerformanceObserver
"""


@pytest.mark.parametrize("name", _GONE.split())
async def test_what_is_no_ones_business_is_gone(scripts: Bench, name: str) -> None:
    code = f"return [typeof {name}, typeof globalThis[{name!r}], {name!r} in globalThis]"
    assert await scripts.probe(code) == ["undefined", "undefined", False]


async def test_what_is_left_works(scripts: Bench) -> None:
    code = """
        const key = await crypto.subtle.importKey(
            "raw", new TextEncoder().encode("k"), {name: "HMAC", hash: "SHA-256"}, false, ["sign"]);
        const mac = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode("m"));
        const zipped = new Response("zip").body.pipeThrough(new CompressionStream("gzip"));
        const back = zipped.pipeThrough(new DecompressionStream("gzip"));
        const chained = new TransformStream({transform: (x, to) => to.enqueue(x + 1)});
        const writer = chained.writable.getWriter(); writer.write(1);
        const wasm = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
        const timer = setTimeout(() => { throw new Error("it was cleared") }, 1);
        clearTimeout(timer);
        let turns = 0;
        await new Promise((done) => {
            const id = setInterval(() => ++turns > 2 && done(clearInterval(id)), 1);
        });
        class Mine extends Error { constructor(text) { super(text); this.name = "Mine" } }
        return [mac.byteLength, await new Response(back).text(),
            (await chained.readable.getReader().read()).value,
            wasm instanceof WebAssembly.Module, turns, typeof timer, atob(btoa("x")),
            structuredClone({a: [1]}).a[0], String(new Mine("e")),
            new URL("https://ü.example/?a=b").hostname, window === globalThis, self === globalThis,
            new Intl.NumberFormat("de").format(1234.5), crypto.randomUUID().length,
            Object.assign({}, {toString: () => "own"}).toString(), performance.now() > 0,
            new AbortController().signal.aborted,
            (await import("data:text/javascript,export default 7")).default];
    """
    assert await scripts.probe(code) == [
        32, "zip", 2, True, 3, "number", "x", 1, "Mine: e", "xn--tda.example", True, True,
        "1.234,5", 36, "own", True, False, 7,
    ]  # fmt: skip


async def test_no_way_to_make_code_leads_to_another_realm(scripts: Bench) -> None:
    code = """
        const ask = "typeof Deno + typeof process + typeof globalThis.Deno";
        const blob = URL.createObjectURL(
            new Blob([`export default ${ask}`], {type: "text/javascript"}));
        return [
            eval(ask), (0, eval)(ask), new Function(`return ${ask}`)(),
            Object.getPrototypeOf(function* () {}).constructor(`yield ${ask}`)().next().value,
            await Object.getPrototypeOf(async () => {}).constructor(`return ${ask}`)(),
            (await import(`data:text/javascript,export default ${ask}`)).default,
            (await import(blob)).default,
            new Response().constructor.constructor(`return ${ask}`)(),
            setTimeout.constructor(`return ${ask}`)(), console.log.constructor(`return ${ask}`)(),
            fetch.constructor(`return ${ask}`)(),
        ];
    """
    assert set(await scripts.probe(code)) == {"undefined" * 3}


async def test_nothing_that_can_be_walked_to_reads_writes_or_exits(scripts: Bench) -> None:
    code = """
        const seen = new Set(), found = [], waiting = [globalThis, context, new Response("x"),
            new Request("http://a.example/", {body: "x", method: "POST"}), new Response("x").body,
            new Blob(["x"]), new Event("x"), new AbortController().signal, new Error("x"),
            fetch("http://["), console, [][Symbol.iterator](), (async function* () {})(),
            new TextDecoderStream(), crypto.subtle, performance.mark("x"), new FormData()];
        try { await fetch("http://[") } catch (problem) { waiting.push(problem) }
        const wrong = /^(op_|readSync|writeSync|reallyExit|exit|kill|core$|ops$|Command)/;
        while (waiting.length) {
            const thing = waiting.pop();
            if (Object(thing) !== thing || seen.has(thing)) continue;
            seen.add(thing);
            waiting.push(Object.getPrototypeOf(thing));
            for (const key of Reflect.ownKeys(thing)) {
                const property = Reflect.getOwnPropertyDescriptor(thing, key);
                if (wrong.test(String(key))) found.push(String(key));
                waiting.push(property.value, property.get, property.set);
                if (property.get) try { waiting.push(thing[key]) } catch {}
            }
        }
        return [found, seen.size > 1000];
    """
    assert await scripts.probe(code) == [[], True]


async def test_no_built_in_module_can_be_imported(scripts: Bench) -> None:
    """Deno itself lets some through that are loaded already, and there are pipes behind them:
    ``node:worker_threads`` even past an import map that leads to something else."""
    names = sorted(internal_modules(Deno().path))
    assert {"ext:deno_node/internal_binding/mod.ts", "node:fs", "node:worker_threads"} < {*names}
    code = """
        const imported = [];
        for (const name of JSON.parse(context.secrets.names)) {
            const code = `import * as it from ${JSON.stringify(name)}; export default it`;
            const blob = new Blob([code], {type: "text/javascript"});
            for (const way of [
                () => import(name),
                () => import(`data:text/javascript,${encodeURIComponent(code)}`),
                () => import(URL.createObjectURL(blob)),
                () => new Function(`return import("${name}")`)(),
            ]) await way().then(() => imported.push(name), () => {});
        }
        return imported;
    """
    assert await scripts.probe(code, secrets={"names": json.dumps(names)}, timeout=60) == []


@pytest.mark.parametrize("name", ["worker_threads", "fs", "fs/promises", "util", "process"])
async def test_no_spelling_of_a_built_in_module_leads_to_it(scripts: Bench, name: str) -> None:
    code = f"""
        const said = [];
        for (const address of ["{name}", "NODE:{name}", "node:{name}?x", "node:{name}#x",
            " node:{name}", "node:{name}/", "node:/{name}", "node://{name}", "npm:{name}"])
            for (const way of [
                () => import(address),
                () => import(`data:text/javascript,export * from ${{JSON.stringify(address)}}`),
            ]) await way().then(() => said.push(address), () => {{}});
        return said;
    """
    assert await scripts.probe(code) == []


async def test_the_runners_own_files_are_out_of_reach(scripts: Bench) -> None:
    code = """
        const folder = new Error().stack.match(/file:\\/\\/\\/[^\\s)]*\\//)[0];
        const runner = await import(`${folder}runner.ts`);
        const said = [];
        for (const name of ["builtins.ts", "realm.ts", "wire.ts", "fetch.ts", "imports.json"])
            said.push(await import(folder + name).then((it) => Object.keys(it), (it) => it.name));
        return [Object.keys(runner), said];
    """
    assert await scripts.probe(code) == [[], ["TypeError"] * 5]


async def test_no_file_can_be_read(scripts: Bench) -> None:
    code = """
        const said = [];
        for (const path of ["/etc/passwd", "/proc/self/environ", "/proc/self/fd/0", "/dev/stdin"])
            for (const type of [undefined, "json", "text", "bytes"]) {
                const read = import(`file://${path}`, type ? {with: {type}} : undefined);
                said.push(await read.then(() => "read", (problem) => problem.name));
            }
        return [...new Set(said)];
    """
    assert await scripts.probe(code) == ["TypeError"]


async def test_a_stream_made_out_of_a_number_reads_no_pipe(scripts: Bench) -> None:
    """Deno keeps its files under small numbers, and its streams can be given one."""
    code = """
        const said = [];
        for (let rid = 0; rid < 8; rid++) {
            const stream = new ReadableStream();
            for (const key of Reflect.ownKeys(stream))
                if (String(key).includes("resource")) stream[key] = {rid, autoClose: false};
            const read = new Response(stream).text();
            said.push(await Promise.race([
                read.then((text) => text || "empty", () => "failed"),
                new Promise((done) => setTimeout(done, 50, "waits")),
            ]));
        }
        return [...new Set(said)];
    """
    said = await scripts.probe(code)
    assert "waits" not in said
    assert set(said) <= {"failed", "empty"}
    assert await scripts.probe("return 'still here'") == "still here"


async def test_a_stack_trace_of_its_own_shows_a_script_nothing_of_the_runner(
    scripts: Bench,
) -> None:
    code = """
        Error.prepareStackTrace = (_, sites) => sites;
        try {
            return new Error("x").stack.flatMap((site) =>
                [site.getThis(), site.getFunction()].filter((it) => it && it !== globalThis)
                    .map((it) => `${typeof it} ${String(it).slice(0, 40)}`))
                .filter((it) => !it.includes("anonymous"));
        } finally { delete Error.prepareStackTrace }
    """
    assert await scripts.probe(code) == []


# --- what one call must not do to the next ---

POLLUTION = [
    "Object.prototype.isAdmin = true",
    "Object.prototype.toJSON = () => 'mine'",
    "Object.prototype.then = () => {}",
    "Object.prototype[0] = 'mine'",
    "({}).__proto__.isAdmin = true",
    "({}).constructor.prototype.isAdmin = true",
    "Object.assign(Object.prototype, {isAdmin: true})",
    "Object.defineProperty(Object.prototype, 'get', {value: 1})",
    "Object.prototype.toString = () => 'mine'",
    "Object.prototype.hasOwnProperty = () => true",
    "Array.prototype.toJSON = () => 'mine'",
    "Array.prototype.map = () => 'mine'",
    "Array.prototype[Symbol.iterator] = function* () {}",
    "Object.getPrototypeOf([][Symbol.iterator]()).next = () => ({done: true})",
    "Map.prototype.get = () => 'mine'",
    "Set.prototype.has = () => true",
    "Promise.prototype.then = () => 'mine'",
    "Promise.resolve = () => 'mine'",
    "Function.prototype.call = () => 'mine'",
    "String.prototype.trim = () => 'mine'",
    "JSON.stringify = () => 'mine'",
    "JSON.parse = () => 'mine'",
    "globalThis.JSON = {}",
    "globalThis.fetch = () => 'mine'",
    "globalThis.Promise = class {}",
    "console.log = () => 'mine'",
    "globalThis.console = {}",
    "Response.prototype.text = () => 'mine'",
    "Headers.prototype.get = () => 'mine'",
    "Error.prototype.toString = () => 'mine'",
    "Uint8Array.prototype.slice = () => 'mine'",
    "TextEncoder.prototype.encode = () => 'mine'",
    "URL.prototype.toString = () => 'mine'",
    "Object.setPrototypeOf(Array.prototype, {})",
    "Math.random = () => 4",
    "Date.now = () => 0",
]


@pytest.mark.parametrize("code", POLLUTION)
async def test_what_all_calls_share_cannot_be_changed_by_one(scripts: Bench, code: str) -> None:
    end = (await scripts.run(PROBE, {"code": f"'use strict'; {code}"})).end
    assert isinstance(end, Threw), end
    assert end.message.startswith("TypeError: ")


async def test_after_all_of_that_the_next_call_is_as_the_first(scripts: Bench) -> None:
    for code in POLLUTION:
        await scripts.run(PROBE, {"code": code})  # not strict: most of it fails in silence
    code = """
        return [({}).isAdmin, JSON.stringify([{}]), String({}), [1, 2].map((n) => n + 1),
            new Map([[1, 2]]).get(1), await Promise.resolve(3), typeof fetch, " x ".trim(),
            Object.keys(Object.prototype)];
    """
    assert await scripts.probe(code) == [
        None, "[{}]", "[object Object]", [2, 3], 2, 3, "function", "x", []
    ]  # fmt: skip


SABOTAGE = """
const real = { getOwnPropertyDescriptor: Reflect.getOwnPropertyDescriptor,
    ownKeys: Reflect.ownKeys, defineProperty: Reflect.defineProperty };
const broken = function () { throw "sabotage" };
const things: any[] = [], seen = new Set<unknown>([broken, real, fetch, console]);
const waiting: any[] = Object.getOwnPropertyNames(globalThis).map((n) => (globalThis as any)[n]);
while (waiting.length) {
    const thing = waiting.pop();
    if (Object(thing) !== thing || seen.has(thing)) continue;
    seen.add(thing);
    things.push(thing);
    waiting.push(Object.getPrototypeOf(thing));
    for (const key of Reflect.ownKeys(thing)) {
        const property = Reflect.getOwnPropertyDescriptor(thing, key)!;
        waiting.push(property.value, property.get, property.set);
    }
}
let count = 0;
for (let at = 0; at < things.length; at++) {
    const keys = real.ownKeys(things[at]);
    for (let n = 0; n < keys.length; n++) {
        const property = real.getOwnPropertyDescriptor(things[at], keys[n])!;
        if (typeof property.value === "function") property.value = broken;
        else if (property.get) property.get = broken;
        else continue;
        if (real.defineProperty(things[at], keys[n], property)) count++;
    }
}
const add = (name: any, property: any) => real.defineProperty(Object.prototype, name, property);
const names = ["toJSON", "get", "set", "then", "value", "writable", "0", "id", "t"];
for (let at = 0; at < names.length; at++)
    add(names[at], { __proto__: null, get: broken, set: broken, configurable: true });
"""


async def test_a_script_that_breaks_every_built_in_first_still_gets_and_gives(
    scripts: Bench,
) -> None:
    """All but a few are its own to break; the runner must not stumble over it."""
    source = SABOTAGE + (
        "export default (e: string) => {\n  console.log('printed');\n"
        "  if (e === 'throw') throw 'thrown';\n  return `${count > 1000} ${e}`;\n};"
    )
    for _ in range(3):
        run = await scripts.run(source, "héllo")
        assert run.end == Returned('"true héllo"'.encode())
        assert [line.text for line in run.console] == ["printed"]
    assert (await scripts.run(source, "throw")).end == Threw("thrown", None, None)


async def test_a_script_that_broke_its_own_promises_and_json_can_still_fetch(
    scripts: Bench,
) -> None:
    source = """
        const broken = () => { throw new Error("sabotage") };
        for (const name of ["stringify", "parse"] as const) (JSON as any)[name] = broken;
        for (const type of [Map, Set, Array, String] as any[])
            for (const name of Object.getOwnPropertyNames(type.prototype))
                if (name !== "constructor" && name !== "length")
                    try { type.prototype[name] = broken } catch { /* locked */ }
        (Array.prototype as any)[Symbol.iterator] = broken;
        (Object.prototype as any).toJSON = broken;
        (TextEncoder.prototype as any).encode = broken;
        (EventTarget.prototype as any).addEventListener = broken;
        export default (e: { url: string }) =>
            fetch(e.url, { method: "POST", body: "b" }).then((r) => r.status);
    """
    async with FarSide() as far:
        url = far.on("/sabotage")
        assert (await scripts.run(source, {"url": url})).end == Returned(b"200")
        assert far.requests["/sabotage"][0].body == b"b"


async def test_a_polyfill_may_add_to_the_built_ins_while_the_module_loads(scripts: Bench) -> None:
    source = """
        (String.prototype as any).shout = function () { return this.toUpperCase() + "!" };
        globalThis.fetch = ((real) => (...all: any[]) => (real as any)(...all))(fetch) as any;
        export default () => ("hello" as any).shout();
    """
    assert await scripts.value(source) == "HELLO!"
