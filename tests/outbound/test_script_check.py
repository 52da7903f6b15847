"""The type check of scripts, with the real Deno: what compiles, and how findings are told."""

import re
from pathlib import Path

import pytest
from outbound_desk import END, desk, refused, stopped_deno

from textgate.domain.errors import Unavailable
from textgate.domain.script import Finding, Program
from textgate.outbound.script.check import MAX_FINDINGS
from textgate.outbound.script.deno import Deno

TYPES = "https://deno.land/x/authgear_deno_hook"
SMS = "{ CustomSMSGatewayPayload, CustomSMSGatewayResponse }"
TAGS = [
    *("", "@v0.1.0", "@v0.2.0", "@v0.3.0", "@v1.0.0", "@v1.1.0", "@v1.2.0", "@v1.3.0", "@v1.4.0"),
    *("@v1.5.0", "@v1.6.0", "@v1.6.1", "@v2.0.0", "@v3.0.0", "@1.5.0", "@2.0.0"),
]


async def prepared(source: str) -> Program:
    async with desk() as at:
        return await at.prepare(source)


async def found_in(source: str) -> tuple[Finding, ...]:
    async with desk() as at:
        return await refused(at, source)


async def test_the_types_module_is_known_at_every_tag_without_any_fetching() -> None:
    names = [f"{TYPES}{tag}/mod.ts" for tag in TAGS]
    imports = [
        f'import {{ CustomSMSGatewayPayload as P{n} }} from "{name}";'
        for n, name in enumerate(names)
    ]
    uses = [f"export const f{n} = (e: P{n}): string => e.to;" for n in range(len(names))]
    program = await prepared("\n".join([*imports, *uses]) + END)
    assert sorted(program.modules) == sorted(names)
    assert {module.code for module in program.modules.values()} == {"export {};\n"}


async def test_every_published_name_can_be_imported() -> None:
    async with desk() as at:
        declared = re.findall(r"(?m)^export (?:interface|type) (\w+)", at.declarations())
        assert len(declared) == 102  # 100 of the module, one of before, one of ours
        assert {"Mutations", "TextgateContext", "HookEvent", "EventUserPreCreateHookResponse"} <= {
            *declared
        }
        given = ", ".join(declared)
        uses = "\n".join(f"export let a{n}: {name};" for n, name in enumerate(declared))
        await at.prepare(f'import {{ {given} }} from "{TYPES}@v3.0.0/mod.ts";\n{uses}{END}')


COMPILES = [
    # What Authgear's own types refuse, though the payload and the answer have it (B §5.2).
    """const { template_name, language_tag, app_id } = e;
       const code: string | undefined = e.template_variables.code;
       console.log(template_name, language_tag, app_id, code, e.template_variables.anything.at.all);
       return { code: "unsupported_request", description: "no", info: { provider_name: "a" } };""",
    'return { code: "timeout", provider_error_code: "7" };',
    # What compiled with the older Deno that Authgear has.
    "try { await fetch(e.to); } catch (error) { console.log(error.message); }"
    ' return { code: "ok" };',
    """const timer = setTimeout((name: string) => console.log(name), 100, "a"); clearTimeout(timer);
       const signal = AbortSignal.timeout(1000), headers = new Headers({ a: "b" });
       const form = new FormData(); form.set("to", e.to);
       const bytes = new TextEncoder().encode(e.body);
       const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
       const response: Response = await fetch(new URL("https://a.example/?" +
         new URLSearchParams({ to: e.to })), { method: "POST", body: form, headers, signal });
       for (const [name, value] of response.headers) console.log(name, value);
       const found: { id: string } = await response.json();
       console.log(btoa(String.fromCharCode(...hash)), found.id, structuredClone(found),
         crypto.randomUUID(), performance.now(), self === globalThis, new Request("https://a.b/"));
       return response.ok ? { code: "ok" } : { code: "delivery_rejected" };""",
]


@pytest.mark.parametrize("body", COMPILES)
async def test_what_a_script_has_at_a_run_compiles(body: str) -> None:
    head = f'import {SMS} from "{TYPES}@v1.5.0/mod.ts";\n'
    typed = "async (e: CustomSMSGatewayPayload): Promise<CustomSMSGatewayResponse>"
    await prepared(f"{head}export default {typed} => {{ {body} }};")


@pytest.mark.parametrize(
    "source",
    [
        "\ufeffimport { CustomSMSGatewayPayload, TextgateContext }"
        f' from "{TYPES}@v1.5.0/mod.ts";\n'
        "export default (e: CustomSMSGatewayPayload, { secrets }: TextgateContext): void => {\n"
        "  const key: string = secrets.API_KEY; console.log(key, e.to); };",
        "// @ts-nocheck\nexport default function (e) { return e.anything; }",
        "#!/usr/bin/env deno\n// @ts-ignore: no type\nexport default (e) => e;",
    ],
)
async def test_scripts_of_other_shapes_compile_and_stay_as_they_are(source: str) -> None:
    assert (await prepared(source)).source == source


async def test_findings_have_the_places_and_the_words_of_the_users_source() -> None:
    source = (
        f'import {SMS} from "{TYPES}@v1.5.0/mod.ts";\n'
        "/* 漢😀 */ let a: number = 'x';\r\n"
        "const b = \"from 'b'\", c: number = \"import 'c'\", d: boolean = 1; // from 'd'\u2028"
        "const nested: { a: { b: string } } = { a: {\n"
        "  b: 3 } };\n"
        "const f: (e: CustomSMSGatewayPayload) => CustomSMSGatewayResponse = (e) => ({\n"
        '  code: "fine" });\n'
        "export default (e) => e;\n"
        "/** Not offered, and not known to our own parse. */ navigator.sendBeacon;\n"
    )
    found = await found_in(source)
    assert [(one.line, one.column, one.code) for one in found] == [
        (2, 15, "TS2322"),
        (3, 23, "TS2322"),
        (3, 49, "TS2322"),
        (5, 3, "TS2322"),
        (7, 3, "TS2322"),
        (8, 17, "TS7006"),
        (9, 53, "TS2304"),
    ]
    assert found[1].message == "Type 'string' is not assignable to type 'number'."
    assert found[-1].message == "Cannot find name 'navigator'."
    said = str(found)
    assert "file:" not in said
    assert "textgate-check" not in said
    assert "\\x66" not in said


async def test_a_message_of_many_lines_is_whole_and_shows_no_path_of_ours() -> None:
    path, lines = await found_in(
        f'import * as hook from "{TYPES}@v1.5.0/mod.ts";\n'
        "let a: number = hook;\n"
        "let b: (e: hook.CustomSMSGatewayPayload) => void = (e: { other: 1 }) => {};" + END
    )
    assert (path.line, path.column, path.code) == (2, 5, "TS2322")
    wants = (
        "Type 'typeof import(\"authgear_deno_hook/mod.ts\")' is not assignable to type 'number'."
    )
    assert path.message == wants
    assert (lines.line, lines.column, lines.code) == (3, 5, "TS2322")
    first, second, third = lines.message.split("\n")
    assert first.startswith("Type '(e: { other: 1; }) => void' is not assignable to type")
    assert second == "Types of parameters 'e' and 'e' are incompatible."
    assert third.startswith("Property 'other' is missing in type 'CustomSMSGatewayPayload'")


@pytest.mark.parametrize(
    ("source", "line", "column", "says"),
    [
        ("const a: = 3;", 1, 10, "Unexpected token `=`."),
        ('const a = "b', 1, 13, "Unterminated string literal."),
        ("let a;\nfunction (", 2, 10, "Expected ident"),
    ],
)
async def test_a_syntax_error_is_told_in_the_compilers_words(
    source: str, line: int, column: int, says: str
) -> None:
    found = (await found_in(source + END))[0]
    assert (found.line, found.column) == (line, column)
    assert found.message.startswith(says)


async def test_findings_are_bounded_in_number_and_length() -> None:
    many = "\n".join(f"let a{n}: number = 'x';" for n in range(3000))
    assert len(await found_in(many + END)) == MAX_FINDINGS
    union = " | ".join(f'"{"x" * 400}{n}"' for n in range(20))
    [long] = await found_in(f"let a: {{ b: {union} }} = 3;{END}")
    assert len(long.message) <= 2001


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("let a = " + "[" * 5_000 + "]" * 5_000, "the type check broke down; make its types"),
        ("let a = 1" + "+1" * 40_000, "the type check broke down; make its types simpler"),
        (
            "type Deep<T> = T extends never ? T : Deep<{ a: T }>; let a: Deep<1>;",
            "Type instantiation is excessively deep and possibly infinite.",
        ),
    ],
)
async def test_a_source_that_breaks_the_compiler_is_refused(source: str, says: str) -> None:
    [found] = await found_in(source + END)
    assert found.message.startswith(says)


async def test_a_check_that_ends_without_a_word_is_no_pass(tmp_path: Path) -> None:
    async with desk(Deno(stopped_deno(tmp_path, ends=1).path)) as at:
        with pytest.raises(Unavailable, match="could not be checked: Deno did not say why"):
            await at.prepare(END)


async def test_without_deno_it_is_said_what_to_install(tmp_path: Path) -> None:
    async with desk(Deno(tmp_path / "absent")) as at:
        with pytest.raises(Unavailable, match="Deno"):
            await at.prepare(END)


@pytest.mark.parametrize(
    ("says", "why"), [("", "it does not tell its version.*install"), ("deno 1.41.3", "too old")]
)
async def test_a_program_that_is_no_deno_for_scripts_lets_none_pass(
    tmp_path: Path, says: str, why: str
) -> None:
    program = tmp_path / "deno"
    program.write_text(f"#!/bin/sh\necho {says}\n")
    program.chmod(0o755)
    async with desk(Deno(program)) as at:
        with pytest.raises(Unavailable, match=why):
            await at.prepare(END)


async def test_secrets_of_the_server_are_not_in_the_environment_of_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTGATE_MASTER_KEY", "sesame")
    seen = tmp_path / "seen"
    spy = tmp_path / "deno"
    spy.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec echo deno 2.9.8\n'
        f"/usr/bin/env > {seen}\npwd >> {seen}\nls >> {seen}\n"
    )
    spy.chmod(0o755)
    async with desk(Deno(spy)) as at:
        await at.prepare(END)
    *environment, folder, config, hook, sandbox, script = seen.read_text().splitlines()
    assert "sesame" not in str(environment)
    assert {line.partition("=")[0] for line in environment} - {"PWD", "SHLVL", "_", "OLDPWD"} == {
        *("DENO_DIR", "HOME", "TMPDIR", "NO_COLOR"),
        *("DENO_NO_PACKAGE_JSON", "DENO_NO_UPDATE_CHECK"),
    }
    assert (config, hook, sandbox, script) == ("deno.json", "hook.ts", "sandbox.d.ts", "script.ts")
    assert not Path(folder).exists()
