"""Modules of others: fetched when a script is saved, pinned, and held to the same rules."""

import hashlib
from pathlib import Path

import pytest
from outbound_desk import END, Page, desk, refused, site, stopped_deno
from outbound_far_side import FarSide, far_side, says_nothing

from textgate.domain.script import Finding
from textgate.outbound.guard import Guard
from textgate.outbound.http import BODY_LIMIT, HttpClient
from textgate.outbound.script import remote
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.desk import Desk
from textgate.outbound.script.remote import MAX_DEPTH, MAX_MODULES

JS = "text/javascript; charset=utf-8"


def place(far: FarSide) -> str:
    return f"localhost:{far.port}"


def paths(far: FarSide) -> list[str]:
    return sorted(request.split(b" ")[1].decode() for request in far.requests)


async def test_a_graph_with_circles_and_redirects_is_pinned_and_checked() -> None:
    pages = {
        "/mod.ts": Page(
            'import { b } from "./lib/b.js"; // ./not/this.ts\n'
            'import type { C } from "/c.d.ts";\n'
            'export { default } from "./moved.ts";\n'
            "export interface A { c: C }\nexport const a = (): A => ({ c: { size: b() } });\n"
            "const wrong: number = 'the check is of the script, not of its modules';\n"
        ),
        "/lib/b.js": Page('import * as mod from "../mod.ts";\nexport const b = () => 1;', JS),
        "/c.d.ts": Page("export interface C { size: number }", "text/plain"),
        "/moved.ts": Page(status=302, location="/found/at.mts"),
        "/found/at.mts": Page("export default function d(): string { return ''; }", "video/mp2t"),
    }
    async with site(pages) as far, desk(None, place(far)) as at:
        base = f"https://{place(far)}"
        source = (
            f'import d, {{ a }} from "{base}/mod.ts";\nimport e from "{base}/moved.ts";\n'
            "export default (): string => d() + e() + a().c.size.toFixed();"
        )
        program = await at.prepare(source)
        wrong = source.replace(".toFixed()", ".nothing()")
        [found] = await refused(at, wrong)
    assert found.message == "Property 'nothing' does not exist on type 'number'."
    modules = program.modules
    assert program.source == source
    assert sorted(url.removeprefix(base) for url in modules) == sorted(pages)
    mod = modules[f"{base}/mod.ts"]
    assert mod.media_type == "application/typescript"
    assert mod.sha256 == hashlib.sha256(str(pages["/mod.ts"].body).encode()).hexdigest()
    assert mod.code == str(pages["/mod.ts"].body).replace('"./lib', f'"{base}/lib').replace(
        '"/c.d', f'"{base}/c.d'
    ).replace('"./moved', f'"{base}/moved')
    assert modules[f"{base}/lib/b.js"].media_type == "application/javascript"
    assert modules[f"{base}/c.d.ts"].code == "export {};\n"
    moved = modules[f"{base}/moved.ts"].code
    there = f"{base}/found/at.mts"
    assert moved == f'export * from "{there}";\nexport {{ default }} from "{there}";\n'
    assert modules[there].code == pages["/found/at.mts"].body


async def test_a_module_is_fetched_once_however_often_it_is_named(tmp_path: Path) -> None:
    pages = {
        "/a.ts": Page('import "./b.ts"; import "./c.ts";'),
        "/b.ts": Page('import "./c.ts"; import "./a.ts";'),
        "/c.ts": Page('import "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";'),
    }
    async with (
        site(pages) as far,
        desk(Deno(stopped_deno(tmp_path).path), place(far)) as at,
    ):
        program = await at.prepare(f'import "https://{place(far)}/a.ts";{END}')
        assert paths(far) == ["/a.ts", "/b.ts", "/c.ts"]
    assert "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts" in program.modules


def chain(length: int) -> dict[str, Page]:
    return {f"/{n}.ts": Page(f'import "./{n + 1}.ts";') for n in range(length)} | {
        f"/{length}.ts": Page()
    }


REFUSED = [
    ({}, "/mod.ts answered with HTTP 404"),
    ({"/mod.ts": Page("<html>", "text/html")}, "/mod.ts is neither TypeScript nor JavaScript"),
    ({"/mod.ts": Page("{}", "application/json")}, "is neither TypeScript nor JavaScript"),
    ({"/mod.ts": Page("<a/>", "text/jsx")}, "is neither TypeScript nor JavaScript"),
    ({"/mod.ts": Page(b"\xff")}, "/mod.ts is not UTF-8"),
    ({"/mod.ts": Page(" " * (BODY_LIMIT + 1))}, "/mod.ts is larger than 64 KiB, which a module"),
    (
        {"/mod.ts": Page('\n import "npm:a";')},
        '/mod.ts, line 2, column 9: "npm:a": packages of npm are not offered',
    ),
    (
        {"/mod.ts": Page('import "./b.ts";'), "/b.ts": Page('export * from "node:fs";')},
        '/b.ts, line 1, column 15: "node:fs": the modules of Node.js are not offered',
    ),
    (
        {"/mod.ts": Page('import a from "file:///etc/hostname";')},
        '/mod.ts, line 1, column 15: "file:///etc/hostname": a script reads no files',
    ),
    (
        {"/mod.ts": Page("export const load = (name) => import(name);", JS)},
        "/mod.ts, line 1, column 38: import() needs a plain string",
    ),
    (
        {"/mod.ts": Page('import "https://elsewhere.example/a.ts";')},
        '/mod.ts, line 1, column 8: "https://elsewhere.example/a.ts": modules may not come from',
    ),
    (
        {"/mod.ts": Page(status=302, location="https://elsewhere.example/a.ts")},
        '/mod.ts redirects to "https://elsewhere.example/a.ts": modules may not come from',
    ),
    (
        {"/mod.ts": Page(status=301, location="http://localhost/a.ts")},
        '/mod.ts redirects to "http://localhost/a.ts": modules come by https: alone',
    ),
    ({"/mod.ts": Page(status=307, location="/mod.ts")}, "/mod.ts redirects more than 5 times"),
    (
        {"/mod.ts": Page('import "./0.ts";')} | chain(MAX_DEPTH),
        f"its modules import each other more than {MAX_DEPTH} deep",
    ),
    (
        {"/mod.ts": Page("".join(f'import "./{n}.ts";' for n in range(MAX_MODULES)))},
        f"it imports more than {MAX_MODULES} modules",
    ),
    (
        {"/mod.ts": Page("".join(f'import "./{n}.ts";' for n in range(17)))}
        | {f"/{n}.ts": Page(" " * BODY_LIMIT) for n in range(17)},
        "its modules are larger than 1 MiB together",
    ),
]


@pytest.mark.parametrize(("pages", "says"), REFUSED, ids=[says for _, says in REFUSED])
async def test_what_a_module_may_not_be_is_told_at_the_import(
    pages: dict[str, Page], says: str, tmp_path: Path
) -> None:
    deno = stopped_deno(tmp_path)
    async with site(pages) as far, desk(Deno(deno.path), place(far)) as at:
        [found] = await refused(at, f'let a;\nimport "https://{place(far)}/mod.ts";{END}')
    assert (found.line, found.column) in ((2, 8), (0, 0))
    assert says in found.message
    assert deno.count == 0


async def test_the_guard_has_the_last_word(tmp_path: Path) -> None:
    http = HttpClient(Guard(), user_agent="Textgate/test")
    async with site({"/mod.ts": Page()}) as far:
        at = Desk(Deno(stopped_deno(tmp_path).path), http, hosts=[place(far)])
        found = await refused(at, f'import "https://{place(far)}/mod.ts";{END}')
        await at.close()
        await http.close()
        assert far.connections == 0
    assert found == (
        Finding(
            1,
            8,
            None,
            f"https://{place(far)}/mod.ts could not be fetched: localhost is 127.0.0.1, which is a"
            " loopback address (127.0.0.0/8); TEXTGATE_ALLOW_ADDRESSES can allow it",
        ),
    )


async def test_a_host_that_says_nothing_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(remote, "FETCH_SECONDS", 0.6)
    async with (
        far_side(says_nothing) as far,
        desk(Deno(stopped_deno(tmp_path).path), place(far)) as at,
    ):
        [found] = await refused(at, f'import "https://{place(far)}/mod.ts";{END}')
    assert "/mod.ts could not be fetched: " in found.message


async def test_a_syntax_error_in_a_module_names_it_at_the_import_of_it() -> None:
    async with site({"/mod.ts": Page("let a = ;")}) as far, desk(None, place(far)) as at:
        [found] = await refused(at, f'\nimport "https://{place(far)}/mod.ts";{END}')
    assert (found.line, found.column) == (2, 8)
    assert found.message.startswith(f"https://localhost:{far.port}/mod.ts, line 1, column 9: ")
