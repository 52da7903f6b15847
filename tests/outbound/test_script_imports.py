"""What a script may import, told with its place, before anything else looks at the source."""

import random
from pathlib import Path

import pytest
from outbound_desk import END, desk, refused, stopped_deno

from textgate.domain.script import MAX_SOURCE
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.reading import Source, read
from textgate.outbound.script.specifiers import refusal

HOSTS = {"deno.land", "localhost:8443"}
AN_IMPORT = "this cannot be told from an import"
NO_COMMENTS = "types are not imported by a comment"


def told(source: str) -> list[tuple[int, int, str]]:
    """What is wrong with a source: line, column, what is said."""
    reading = read(Source(source))
    found = [*reading.findings, *reading.forbidden(HOSTS)]
    return sorted((one.line, one.column, one.message) for one in found)


SPECIFIERS = [
    ("npm:twilio", "packages of npm are not offered; import an ES module by its https: URL"),
    ("jsr:@std/encoding", "packages of JSR are not offered"),
    ("node:fs", "the modules of Node.js are not offered; use fetch"),
    ("http://deno.land/x/a.ts", "modules come by https: alone"),
    ("file:///etc/hostname", "a script reads no files; put the code into the script"),
    ("FILE:///etc/hostname", "a script reads no files"),
    ("/etc/hostname", "is a path, and a script is one file"),
    ("./a.ts", "is a path, and a script is one file"),
    ("../a.ts", "is a path, and a script is one file"),
    ("//deno.land/a.ts", "is a path, and a script is one file"),
    ("data:text/javascript,export{}", "code is not imported from data: URLs"),
    ("blob:https://deno.land/1", "code is not imported from blob: URLs"),
    ("ftp://deno.land/a.ts", "ftp: is not offered"),
    ("twilio", "is a bare name, which nothing here resolves"),
    ("", "is a bare name, which nothing here resolves"),
    (" file:///etc/hostname", "is a bare name, which nothing here resolves"),
    ("https://evil.example/a.ts", "modules may not come from evil.example; the setting TEXTGATE_S"),
    ("https://deno.land:8/a.ts", "modules may not come from deno.land:8"),
    ("https://deno.land@evil.example/", "the URL contains a user name or password"),
    ("https://Deno.Land/a.ts", 'write the URL as "https://deno.land/a.ts"'),
    ("HTTPS://deno.land/a.ts", 'write the URL as "https://deno.land/a.ts"'),
    ("https://deno.land:443/a.ts", 'write the URL as "https://deno.land/a.ts"'),
    ("https://deno.land/a.ts#b", 'write the URL as "https://deno.land/a.ts"'),
    ("https://deno.land/é.ts", 'write the URL as "https://deno.land/%C3%A9.ts"'),
    ("https://deno.land/a/../b.ts", "the URL has unusual characters, or . or .. as a part"),
    ("https://deno.land/a/%2E%2e/b.ts", "the URL has unusual characters, or . or .. as a part"),
    ("https://deno.land/a/", "the URL names a folder"),
    ("https:///a.ts", "the URL has no host"),
]


@pytest.mark.parametrize(("specifier", "says"), SPECIFIERS)
def test_a_module_that_is_not_offered_is_refused_with_what_to_do(specifier: str, says: str) -> None:
    [(line, column, message)] = told(f'const a = 1;\nimport "{specifier}";{END}')
    assert (line, column) == (2, 8)
    assert message.startswith(f'"{specifier}"')
    assert says in message


@pytest.mark.parametrize(
    "specifier",
    [
        "https://deno.land/std@0.224.0/encoding/base64.ts",
        "https://deno.land/a.ts?target=es2022&x=%20",
        "https://localhost:8443/a.ts",
        *(
            f"https://deno.land/x/authgear_deno_hook{tag}/mod.ts"
            for tag in ("", "@v1.5.0", "@2.0.0")
        ),
    ],
)
def test_a_module_that_is_offered_is_taken(specifier: str) -> None:
    assert refusal(specifier, HOSTS) is None
    reading = read(Source(f'import "{specifier}";{END}'))
    assert [one.text for one in reading.specifiers] == [specifier]
    assert reading.findings == ()


WAYS = [
    ('import a from "npm:a";', 15),
    ('import type { A } from "npm:a";', 24),
    ('import { type A } from "npm:a";', 24),
    ('import * as a from "npm:a";', 20),
    ('import "npm:a";', 8),
    ("import 'npm:a';", 8),
    ('import a = require("npm:a");', 20),
    ('import type a = require("npm:a");', 25),
    ('export * from "npm:a";', 15),
    ('export * as a from "npm:a";', 20),
    ('export { a } from "npm:a";', 19),
    ('export type { A } from "npm:a";', 24),
    ('await import("npm:a");', 14),
    ('let a: import("npm:a").A;', 15),
    ('let a: typeof import("npm:a");', 22),
    ('x = {}/import("npm:a")/1;', 15),
    ('f(...import("npm:a"));', 13),
    ('/* 😀 */ import "npm:a";', 17),
    ('// \u2028import "npm:a";', -8),
    ('// \rimport "npm:a";', -8),
    ('// @ts-nocheck\nimport "npm:a";', -8),
]


@pytest.mark.parametrize(("way", "column"), WAYS)
def test_every_way_to_name_a_module_is_found(way: str, column: int) -> None:
    line = 1 if column > 0 else 2
    [found] = told(way + END)
    assert found[:2] == (line, abs(column))
    assert "packages of npm are not offered" in found[2]


@pytest.mark.parametrize(
    ("source", "line", "column", "says"),
    [
        ("import(name);", 1, 8, "import() needs a plain string"),
        ('import("https://deno.land/" + name);', 1, 8, "import() needs a plain string"),
        ("import(`https://deno.land/a.ts`);", 1, 8, "import() needs a plain string"),
        ('import a from "https://deno.land/a.ts" with { type: "json" };', 1, 40, "code alone"),
        ('import("https://deno.land/a.ts", { with: {} });', 1, 7, "code alone"),
        ('declare module "twilio" {}', 1, 16, "declaring a module by its name is not offered"),
        ('import "https\\x3a//deno.land/a.ts";', 1, 8, "write the module's URL without escapes"),
        ('im\\u0070ort("/etc/hostname");', 1, 1, "write names without escapes"),
        ('let a = 1 <!--b, import("/etc/hostname")\n', 1, 24, "this cannot be read as TypeS"),
        ("let a = 1;\n--> x\n", 2, 1, "a module has no HTML comments"),
        ('this.require("x");', 1, 6, AN_IMPORT),
        ('/** @type {import("./a.ts").A} */', 1, 12, NO_COMMENTS),
        ('/**\n * @import { A } from "./a.ts"\n */', 2, 4, NO_COMMENTS),
        ('/// <reference path="./a.ts" />', 1, 1, "types are not taken from other files"),
        ('/// <reference types="npm:a" />', 1, 1, "types are not taken from other files"),
        ('// @deno-types="./a.d.ts"\nlet a;', 1, 4, "types are not taken from other files"),
        ('// @ts-types="./a.d.ts"\nlet a;', 1, 4, "types are not taken from other files"),
        ("/** @jsxImportSource npm:a */", 1, 5, "types are not taken from other files"),
        ("let a = 1;\n  Deno.connect({ port: 1 });", 2, 3, "Deno is not offered to scripts; use"),
        ("new WebSocket(url);", 1, 5, "WebSocket is not offered to scripts; use fetch"),
        ("new Worker(url);", 1, 5, "Worker is not offered to scripts; a script has one thread"),
        ("process.env.KEY;", 1, 1, "process is not offered to scripts; a script's secrets are in"),
        ("const { readFile } = require(x);", 1, 22, "require is not offered to scripts; import"),
    ],
)
def test_what_cannot_work_is_refused_at_its_place(
    source: str, line: int, column: int, says: str
) -> None:
    [found] = told(source + END)
    assert found[:2] == (line, column)
    assert says in found[2]


@pytest.mark.parametrize(
    "source",
    [
        "const text = \"Message from 'ACME'\";",
        "const text = `code from `;",
        'const text = "I import " + "things from ";',
        "const matches = /^from '/.test(text);",
        'const xml = `<reference>${1}</reference>`; const css = "@import url(x)";',
        'const message = { from: "ACME", module: "sms", import: "yes" };',
        'Array.from("abc"); Uint8Array.from([1]);',
        '// import twilio from "npm:twilio";\n/* import("./a.ts") */',
        '/** Numbers that we import from the "old" list */',
        '/// <reference lib="dom" />',
        'if (typeof Deno !== "undefined") console.log(typeof process);',
        "function send(WebSocket: string, { Worker }: any) { return WebSocket + Worker; }",
        "const message = { Deno: 1 }; console.log(message.Deno);",
        "import.meta.url;",
    ],
)
def test_honest_words_are_no_imports(source: str) -> None:
    assert told(source + END) == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("const a = 1;", "the script has no default export; begin its function with"),
        ("export async function send() {}", "the script has no default export"),
        ('export * from "https://deno.land/a.ts";', "the script has no default export"),
        ("export default 3;", "the default export must be a function"),
        ("export default { fetch() {} };", "the default export must be a function"),
        ("export default class {}", "the default export must be a function"),
        ("export default interface A {}", "the default export must be a function"),
    ],
)
def test_a_script_without_a_function_to_call_is_refused(source: str, says: str) -> None:
    [(_, _, message)] = told(source)
    assert message.startswith(says)


@pytest.mark.parametrize(
    "source",
    [
        "export default function send() {}",
        "export default (message: any) => null;",
        "const send = () => {}; export default send;",
        "function send() {}\nexport { send as default };",
        'export { default } from "https://deno.land/a.ts";',
        "export default send satisfies (message: any) => void; function send() {}",
    ],
)
def test_a_default_export_may_be_written_in_any_way(source: str) -> None:
    assert told(source) == []


def test_the_compilers_copy_keeps_every_place_and_every_value() -> None:
    source = (
        "#!/usr/bin/env deno\n/* é 漢 😀 */ const a = \"from 'b'\"; // @ts-ignore: known\n"
        f"let b: string = 3; /* import 'x' */{END}"
    )
    reading = read(Source(source))
    first, second, third, *_ = reading.copy.split("\n")
    assert first.strip() == ""
    assert len(first) == len("#!/usr/bin/env deno")
    assert second.split("const")[0].isspace()
    before = "/* é 漢 😀 */ "
    assert len(second.split("const")[0].encode("utf-16")) == len(before.encode("utf-16"))
    assert second.split("const")[1].rstrip() == " a = \"\\x66rom 'b'\"; // @ts-ignore"
    assert third.rstrip() == "let b: string = 3;"
    assert reading.code == source


def test_relative_modules_of_a_module_become_absolute_and_nothing_else_changes() -> None:
    source = 'import a from "./a.ts" ;\n// ./b.ts\nexport*from"/b.ts"; import("../c.js?d");'
    reading = read(Source(source, "https://deno.land/x/y/mod.ts"))
    assert reading.code == (
        'import a from "https://deno.land/x/y/a.ts" ;\n// ./b.ts\n'
        'export*from"https://deno.land/b.ts"; import("https://deno.land/x/c.js?d");'
    )


PIECES = [
    *("/", '"', "'", "`", "${", "}", "{", "(", ")", "[", "]", "\n", "\u2028", "\r", "//", "/*"),
    *("*/", "<!--", "-->", "\\", "x ", "=", "=>", "<", ">", "let a = ", "+", "++", "1n", ";", ","),
    *("yield ", "await ", "typeof ", "async ", "function f(){}", "class A {}", "as any ", "?", ":"),
    *("...", "{}", "/x/", "/[/]/", "`${1}`", "\u00a0", "\ufeff", "#", "@", "export ", "if(1)"),
]
LOADS = [
    'import("/s")',
    'import "/s"',
    'export * from "/s"',
    'import t = require("/s")',
    'let v: typeof import("/s")',
    'declare module "/s" {}',
    'im\\u0070ort("/s")',
    'import x fr\\u006fm "/s"',
    'import/**/"/s"',
    'import//\n("/s")',
    'import\u3000("/s")',
]


def test_no_disguise_brings_an_import_past_the_reading() -> None:
    """Whatever stands around it: outside of comments and strings, a word before it is refused."""
    dice = random.Random(7)
    taken = 0
    for _ in range(4000):
        around = [[dice.choice(PIECES) for _ in range(dice.randrange(7))] for _ in range(2)]
        source = "".join([*around[0], dice.choice(LOADS), *around[1]]) + END
        reading = read(Source(source))
        if reading.findings or any(reading.forbidden(HOSTS)):
            continue
        taken += 1
        for word in ("import", "require", "from", "module", "fr\\u006fm", "im\\u0070ort"):
            for part in reading.copy.split(word)[1:]:
                gap = part.partition('"/s"')[0]
                assert gap == part or gap.strip(" ()\n\u00a0\u3000"), source
    assert taken > 200  # inside comments, for example


# --- at the desk: nothing else looks at the source ---

ATTACKS = [
    'import type {{ secret }} from "{file}";',
    'let a: typeof import("{file}");',
    'let a: import("{file}").T;',
    'const a: import("file://{file}").T = 1;',
    '/** @type {{import("{file}").T}} */ let a;',
    '/// <reference path="{file}" />',
    '/// <reference types="{file}" />',
    '// @deno-types="{file}"\nimport "https://deno.land/a.js";',
    'declare module "{file}" {{ let a: 1; }}',
    'import a from "{file}" with {{ type: "text" }};',
    'import a = require("{file}");',
    'import("data:application/typescript,import%20%22file://{file}%22");',
    'let a = 1 <!--b, import("{file}")\n',
    'im\\u0070ort("{file}");',
    'import/* */("{file}" as any);',
    'import("{file}".trim());',
    '// @ts-nocheck\nimport "{file}";',
    'let a = ; import "{file}";',
]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_file_is_never_read(attack: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_text('export const secret = "sesame" as const; export type T = "sesame";')
    deno = stopped_deno(tmp_path)
    async with desk(Deno(deno.path), "deno.land") as at:
        found = await refused(at, attack.format(file=secret) + END)
    assert found[0].line >= 1
    assert "sesame" not in str(found)
    assert deno.count == 0


async def test_a_script_is_at_most_100_kib_of_utf_8(tmp_path: Path) -> None:
    deno = stopped_deno(tmp_path)
    async with desk(Deno(deno.path)) as at:
        room = MAX_SOURCE - len(END)
        await at.prepare("/" * room + END)
        assert deno.count == 1
        [found] = await refused(at, "/" * (room - 1) + "é" + END)
        assert found.message.startswith(f"the script is {MAX_SOURCE + 1} bytes long, and at most")
        [found] = await refused(at, "// \ud83d" + END)
        assert "half a character" in found.message
        assert deno.count == 1


async def test_a_source_that_would_keep_the_parser_busy_for_minutes_is_refused_soon(
    tmp_path: Path,
) -> None:
    async with desk(Deno(stopped_deno(tmp_path).path)) as at:
        [found] = await refused(at, "a<b," * 25_000)
    assert "cannot be read in a reasonable time" in found.message
