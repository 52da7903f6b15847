"""The rules of the house that no other tool checks: layers, sizes, and documents that are whole."""

import ast
import importlib
import itertools
import pkgutil
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.core import TyperCommand, TyperGroup, TyperOption

import textgate.api
from textgate import telemetry
from textgate.api.operation import Group
from textgate.cli.commands import application
from textgate.domain.outcome import Reason

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
"""Lines. Some 300 and 40 are what to aim at; these are where to stop."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


# --- the house ---


def test_the_imports_keep_to_the_arrows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the contracts are
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


def test_every_room_has_its_place_in_the_arrows() -> None:
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = {part.strip() for layer in contracts[0]["layers"] for part in layer.split("|")}
    rooms = {path.parent for path in SOURCES if path.name == "__init__.py"}
    packages = {f"textgate.{room.name}" for room in rooms if room.parent.name == "textgate"}
    assert packages - {"textgate.testing"} <= layers


def test_no_file_is_too_long_to_be_one_thing() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE}
    assert not too_long, "what is each of them really two of?"


def test_no_function_is_too_long_to_be_one_thing() -> None:
    too_long = [
        f"{name_of(path)}: {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert not too_long, "what is each of them really two of?"


def test_every_file_says_what_it_is_for() -> None:
    mute = [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert [name_of(path) for path in mute if path.stat().st_size] == []


# --- the documents name all there is ---


def groups() -> Iterator[tuple[str, Group]]:
    """The dialects: packages of the API that serve a group of routes."""
    for module in pkgutil.iter_modules(textgate.api.__path__):
        if module.ispkg:
            package = importlib.import_module(f"textgate.api.{module.name}")
            if isinstance(group := getattr(package, "GROUP", None), Group):
                yield module.name, group


@pytest.mark.parametrize(("name", "group"), list(groups()))
def test_every_dialect_has_a_page_that_names_its_address(name: str, group: Group) -> None:
    pages = [ROOT / "docs/api.md", *(ROOT / "docs/dialects").glob("*.md")]
    about = [page for page in pages if f"{group.prefixes[0]}`" in page.read_text("utf-8")]
    assert about, f"write docs/dialects/{name}.md"


def test_the_page_on_metrics_lists_every_metric_and_no_other() -> None:
    kinds = dict(re.findall(r"(?m)^# TYPE (\w+) (\w+)$", telemetry.exposition().decode()))
    rows = re.findall(r"(?m)^\| `(textgate_\w+)` \| (\w+) \|", text_of("docs/metrics.md"))
    assert dict(rows) == kinds
    named = set(re.findall(r"\btextgate_[a-z_]+", text_of("docs/metrics.md")))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} == kinds.keys()


@pytest.mark.parametrize("reason", set(Reason) - {Reason.CANCELLED}, ids=str)
def test_the_page_on_metrics_explains_every_reason_that_is_counted(reason: Reason) -> None:
    page = text_of("docs/metrics.md")
    rows = page.partition("Why a number could not be reached")[2].partition("##")[0]
    assert re.search(rf"(?m)^\|[^|]*`{reason}`[^|]*\|", rows)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of the command line under its whole name, groups included."""
    waiting: list[tuple[str, Any]] = [("textgate", typer.main.get_command(application))]
    while waiting:
        name, command = waiting.pop()
        yield name, command
        if isinstance(command, TyperGroup):
            waiting += [(f"{name} {word}", inner) for word, inner in command.commands.items()]


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_the_page_on_the_command_line_has_every_command_and_option(
    name: str, command: TyperCommand | TyperGroup
) -> None:
    sections = dict(re.findall(r"(?ms)^#+ (.*?)$(.*?)(?=^#|\Z)", text_of("docs/command-line.md")))
    if isinstance(command, TyperGroup) and name not in sections:
        return  # it is only the first half of its commands' names
    above = sections.get(name.rpartition(" ")[0], sections["The command line"])
    for option in command.params:
        if isinstance(option, TyperOption):
            for spelt in (*option.opts, *option.secondary_opts):
                there = f"`{spelt}" in sections[name] + above
                assert there or spelt in ("-h", "--help"), f"{name} {spelt}"


# --- the documents do not mislead ---


def tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8")):
        yield token
        yield from token.children or ()


@cache
def anchors(page: Path) -> set[str]:
    """The headings of a page as addresses within it, as GitHub makes them."""
    found = list(tokens(page))
    after = [b.content for a, b in itertools.pairwise(found) if a.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in after}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_documents_leads_somewhere(page: Path) -> None:
    for token in tokens(page):
        target = str(token.attrs.get("href") or token.attrs.get("src") or "")
        if target and not re.match(r"\w+:", target):
            path, _, anchor = target.partition("#")
            there = (page.parent / unquote(path)).resolve() if path else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


@cache
def words() -> set[str]:
    """Every name in the code, in SQL and in the settings."""
    files = [*ROOT.glob("src/**/*"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.[pc]*")]
    known = (".py", ".sql", ".toml", ".c")
    texts = [file.read_text("utf-8") for file in files if file.suffix in known]
    return set(re.findall(r"\w+", "\n".join([*texts, text_of("pyproject.toml")])))


@pytest.mark.parametrize(
    "page", [ROOT / "ARCHITECTURE.md", *(ROOT / "docs/decisions").glob("*.md")], ids=name_of
)
def test_what_a_decision_names_is_in_the_code(page: Path) -> None:
    for span in (token.content for token in tokens(page) if token.type == "code_inline"):
        if re.fullmatch(r"[\w.]+/[\w./]*", span):
            places = (ROOT / span, ROOT / "src/textgate" / span)
            assert any(place.exists() for place in places), f"{span} is no file"
        elif re.fullmatch(r"_*[a-z]\w*(\.\w+)*(\(.*\))?|[A-Z]\w*[a-z]\w*", span):
            for word in span.partition("(")[0].split("."):
                assert word in words(), f"{word} (of {span}) is nowhere in the code"


def test_every_page_that_the_code_refers_to_exists() -> None:
    sources = [*SOURCES, *ROOT.glob("bench/**/*.[pc]*"), ROOT / "Makefile"]
    known = [path for path in sources if path.suffix != ".pyc"]
    text = "\n".join(path.read_text("utf-8") for path in known if path.is_file())
    named = set(re.findall(r"docs/[\w/-]+\.md", text))
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_library_has_its_line_among_the_decisions() -> None:
    page = text_of("docs/decisions/0002-libraries.md").lower()
    names = tomllib.loads(text_of("pyproject.toml"))["project"]["dependencies"]
    rows = " ".join(re.findall(r"(?m)^\| ([^|]+) \|", page))
    assert [name for name in names if name.partition(";")[0] not in rows] == []


# --- what must not be in the repository ---


@cache
def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout: what is tracked was NOT looked through")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def mentions(pattern: str) -> list[str]:
    wanted = re.compile(pattern.encode(), re.IGNORECASE)
    return [name_of(path) for path in tracked() if wanted.search(path.read_bytes())]


REGISTRIES = {
    "pypi": ("org", "python"),
    "pythonhosted": ("org",),
    "npmjs": ("org", "com"),
    "yarnpkg": ("com",),
    "crates": ("io",),
    "rubygems": ("org",),
    "packagist": ("org",),
    "golang": ("org",),
}
"""Name and endings: in two parts, because this file is looked through as well."""


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the business of whoever installs."""
    hosts = [rf"\b{name}\.{end}\b" for name, ends in REGISTRIES.items() for end in ends]
    assert mentions("|".join(hosts)) == []


def test_no_path_of_somebodys_machine_is_named() -> None:
    homes = ["/home/" + r"\w+", "/Users/" + r"\w+", "/ro" + "ot/"]  # not themselves
    here = [re.escape(f"{ROOT}/")] if len(ROOT.parts) > 2 else []
    assert mentions("|".join([*homes, *here])) == []


def test_no_conflict_and_no_reminder_is_left() -> None:
    left = "|".join(["<{7} ", ">{7} ", r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bXX" + r"X\b"])
    vendored = "static/vendor/"
    assert [name for name in mentions(left) if vendored not in name] == []
