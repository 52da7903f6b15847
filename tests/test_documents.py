"""The documents are true: every command in them is run, every block of code is tried.

A page is followed from top to bottom as one script of bash, in a folder and with an account of its
own, against one running server. A new page is taken up by itself. Blocks of ``sh``, ``python`` and
``js`` are run, ``toml`` is read as settings, ``json`` is parsed and, if it describes a channel,
added; ``text`` is only shown. What cannot run in a test is in ``NOT_RUN``, with the reason.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import typer
from bench.__main__ import read as read_bench
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.core import TyperGroup

from textgate.cli.commands import application
from textgate.config import load
from textgate.testing.server import Credentials, Server, free_port, start_server

ROOT = Path(__file__).parents[1]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text("utf-8")
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
}
ELSEWHERE = {
    "docs/api.md": "tests/api/test_native_v1_docs.py",
    "docs/events.md": "tests/api/test_native_v1_docs.py",
    "docs/sms-gateway.md": "tests/api/test_native_v1_docs.py",
    "docs/settings.md": "tests/cli/test_commands.py",
    "docs/templates.md": "tests/api/test_native_v1_docs.py",
    "docs/providers/webhook.md": "tests/providers/test_webhook.py",
}
"""Pages whose commands and code have tests of their own, which know more of them."""

NOT_RUN = {
    "make run": "never ends; the test of the README's start runs what it runs",
    "make test": "a test runs within it",
    "make check": "a test runs within it",
    "make format": "changes the checkout",
    "make bench": "a measurement; tests/test_bench.py makes a small one",
    ".venv/bin/python -m bench": "the same",
    ".venv/bin/python docs/pictures/make.py": "changes the checkout",
    "apt-get install": "changes the machine",
    "export TEXTGATE_SERVER=": "a test has a server and an account of its own",
}
"""Commands that no test runs, and why; that they are there at all is tested."""

TRIED = {"sh", "python", "js", "toml", "json"}
LANGUAGES = {*TRIED, "text", "console", ""}
A_COMMAND = re.compile(
    r"^(\$ |(\w+=\S+ )*(\.venv/bin/)?(textgate|curl|make|python3?|npm) )", re.MULTILINE
)
PAGE_TIMEOUT_S = 120

PRELUDE = """\
set -Eeuo pipefail
trap 'echo "failed in the block at line $LINE: $BASH_COMMAND" >&2' ERR
declare -A open
curl() { command curl --fail-with-body "$@"; }
started() {  # the process $1 has said something into $2
  for _ in {1..400}; do
    if [ -s "$2" ]; then return 0; fi
    kill -0 "$1" || { cat "$2.err" >&2; return 1; }
    sleep 0.05
  done
  return 1
}
serves() {  # a server: it starts, and ends well when it is told to
  rm -f serves; "$@" >serves 2>serves.err & started $! serves
  kill $!; wait $!
}
stays() {  # what a person leaves running in another terminal, until they start the next of its kind
  closes "$2"; rm -f "$2.out"
  "$@" >"$2.out" 2>"$2.out.err" & open[$2]=$!
  started $! "$2.out"
}
closes() {
  if [ -z "${open[$1]:-}" ]; then return 0; fi
  kill -0 "${open[$1]}" || { cat "$1.out.err" >&2; return 1; }
  kill "${open[$1]}"; wait "${open[$1]}" || true
  unset "open[$1]"
}
trap 'for one in "${!open[@]}"; do closes "$one"; done' EXIT
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int


def tokens(page: str) -> list[Token]:
    return MarkdownIt("commonmark").parse(PAGES[page])


def blocks(page: str) -> list[Block]:
    return [
        Block(token.info.strip(), token.content, (token.map or [0])[0] + 1)
        for token in tokens(page)
        if token.type == "fence"
    ]


def spans(page: str) -> list[str]:
    """The code within the sentences of a page."""
    inline = [token for token in tokens(page) if token.type == "inline"]
    children = [child for token in inline for child in token.children or ()]
    return [child.content for child in children if child.type == "code_inline"]


def data_of(found: list[Block]) -> list[Block]:
    return [block for block in found if block.language in ("toml", "json")]


def environment() -> dict[str, str]:
    """The environment without settings of Textgate."""
    return {name: v for name, v in os.environ.items() if not name.startswith("TEXTGATE_")}


FOLLOWED = [
    page
    for page in PAGES
    if page not in ELSEWHERE and any(block.language in TRIED for block in blocks(page))
]


# --- every block is run ---


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("documents")) as server:
        yield server


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_can_be_followed_from_top_to_bottom(
    page: str, server: Server, tmp_path: Path
) -> None:
    found = blocks(page)
    if any(block.language == "sh" for block in found) and not shutil.which("curl"):
        pytest.skip(f"curl is not on PATH: the commands of {page} were NOT run")
    if any(block.language == "js" for block in found) and not shutil.which("node"):
        pytest.skip(f"node is not on PATH: the code of {page} was NOT run")
    account = server.add_account()
    simulator = {"provider": "simulator", "name": "simulator", "settings": {}}
    add_channel(server, account, simulator)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name, file in {"cert.pem": "localhost.pem", "key.pem": "localhost.key"}.items():
        shutil.copy(ROOT / "tests/tls" / file, tmp_path / name)
    follow(page, script_of(found, tmp_path, Ports(server)), server, account, tmp_path)
    read_data(found, server, account, tmp_path)


@pytest.mark.parametrize("page", [page for page in ELSEWHERE if data_of(blocks(page))])
def test_what_a_page_shows_as_data_is_read_although_its_code_is_run_elsewhere(
    page: str, server: Server, tmp_path: Path
) -> None:
    read_data(blocks(page), server, server.add_account(), tmp_path)


def read_data(found: list[Block], server: Server, account: Credentials, folder: Path) -> None:
    """Read blocks of data as what they are; a channel is added to the account."""
    for block in data_of(found):
        if block.language == "toml":
            (folder / "block.toml").write_text(block.text)
            load(file=folder / "block.toml", environ={}, flags={})
        if block.language == "json":
            value = json.loads(block.text)
            if isinstance(value, dict) and {"provider", "name", "settings"} == value.keys():
                add_channel(server, account, value)


def add_channel(server: Server, account: Credentials, channel: object) -> None:
    asked = (account.login, account.password)
    answer = httpx.post(f"{server.url}/v1/channels", json=channel, auth=asked, trust_env=False)
    assert answer.status_code == 201, answer.text


class Ports:
    """The ports that pages name, as free ports of this machine; 8080 is the server's."""

    def __init__(self, server: Server) -> None:
        self._known = {"8080": str(server.port), "0": "0"}

    def __call__(self, text: str) -> str:
        return re.sub(r"(127\.0\.0\.1:|--port )(\d+)", self._free, text)

    def _free(self, found: re.Match[str]) -> str:
        return found[1] + self._known.setdefault(found[2], str(free_port()))


def script_of(found: list[Block], folder: Path, ports: Ports) -> str:
    """The blocks of a page as one script; files of code are written into the folder."""
    parts = [PRELUDE]
    for block in found:
        if block.language == "sh":
            parts.append(f"LINE={block.line}\n{ports(runnable(block.text))}")
        elif block.language in ("python", "js"):
            name = f"{block.line}.{'py' if block.language == 'python' else 'mjs'}"
            (folder / name).write_text(ports(block.text))
            program = "python" if block.language == "python" else "node"
            parts.append(f"LINE={block.line}\n{program} {name}\n")
    return "".join(parts)


def runnable(text: str) -> str:
    """A block of shell without what is not run, and with an end to what has none of its own."""
    return "".join(map(_runnable, text.splitlines(keepends=True)))


def _runnable(line: str) -> str:
    if not_run(line):
        return ":\n"
    if re.match(r"(\S+/)?textgate serve\b", line):
        return f"serves {line}"
    endless = re.match(r"(\S+/)?textgate (listen|phone|events tail)(?![\w-])", line)
    bounded = re.search(r"--(count|timeout|no-follow|for|until-idle)\b", line)
    listens = endless is not None and endless[2] == "listen"
    return f"stays {line}" if endless and (listens or not bounded) else line


def not_run(line: str) -> str | None:
    """The entry of ``NOT_RUN`` that this line begins with."""
    return next((known for known in NOT_RUN if re.match(re.escape(known), line)), None)


def follow(page: str, script: str, server: Server, account: Credentials, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment()
        | {
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "NO_PROXY": "127.0.0.1",
            "TEXTGATE_SERVER": server.url,
            "TEXTGATE_LOGIN": account.login,
            "TEXTGATE_PASSWORD": account.password,
            "TEXTGATE_PORT": str(free_port()),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PAGE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{page}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_the_start_that_the_readme_shows_is_the_first_start(tmp_path: Path) -> None:
    [shown] = [block.text for block in blocks("README.md") if block.language == "text"]
    port = str(free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "textgate", "serve"],
        cwd=tmp_path,
        env=environment() | {"TEXTGATE_PORT": port},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in shown.splitlines())
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert without_secrets(said.replace(f":{port}", ":8080")) == without_secrets(shown)


def without_secrets(text: str) -> str:
    text = re.sub(r"(?m)^(  login +|  password +)\w+", r"\1…", text)
    return re.sub(r"-u \w+:\w+", "-u …", text)


# --- and nothing slips by ---


@pytest.mark.parametrize("page", PAGES)
def test_each_block_says_what_it_is_so_that_it_is_run(page: str) -> None:
    for block in blocks(page):
        where = f"{page}, line {block.line}"
        assert block.language in LANGUAGES, (
            f"{where}: {block.language!r} is not run here; spell it as one of {LANGUAGES},"
            " or teach this file to run it"
        )
        if block.language in ("text", "") and "curl -u" in block.text and page == "README.md":
            continue  # the start, which has its own test
        shown = block.language in ("text", "console", "") and page not in ELSEWHERE
        assert not (shown and A_COMMAND.search(block.text)), f"{where}: a command that is not run"


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_what_is_run_elsewhere_is_run_there(page: str, test: str) -> None:
    assert Path(page).name in (ROOT / test).read_text("utf-8")


def test_what_is_not_run_is_there_all_the_same() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for page in FOLLOWED for b in blocks(page) for line in b.text.splitlines()]
    unused = set(NOT_RUN)
    for line in lines:
        known = not_run(line)
        words = shlex.split(line, comments=True) if known else []
        unused.discard(known or "")
        if known and words[0] == "make":
            assert words[1] in targets, line
        elif words[1:3] == ["-m", "bench"]:
            read_bench(words[3:])  # ends the test on a wrong option
        elif known and words[0].endswith("python"):
            assert (ROOT / words[1]).is_file(), line
    assert not unused, "no page has these any more: take them out of NOT_RUN"


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_sentences_exist_with_their_options(page: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for span in spans(page):
        words = span.removeprefix(".venv/bin/").split()
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, span
        if words[0] == "textgate" and len(words) > 1 and words[1] != "…":
            check_command(words[1:])


def check_command(words: list[str]) -> None:
    """That ``textgate`` has this command, and that it has these options."""
    command = typer.main.get_command(application)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    for word in words:
        assert not word.startswith("--") or word.partition("=")[0] in options, word
