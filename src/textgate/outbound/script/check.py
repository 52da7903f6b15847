"""The type check of a script: ``deno check`` on copies that name no file, in an empty folder."""

import os
import re
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import msgspec

from textgate.domain.errors import Unavailable
from textgate.domain.script import Finding
from textgate.outbound.script.bounded import Broken, Limits, Ran, run
from textgate.outbound.script.copy import ESCAPE_GROWTH
from textgate.outbound.script.reading import Reading
from textgate.outbound.script.remote import Place, Remote

LIMITS = Limits(seconds=30, memory_mb=1024, output=256 << 10)
MAX_FINDINGS = 50
_LONGEST_MESSAGE = 2000
_HEAP_MB = 512
_SCRIPT = "script.ts"

# What a script has at a run, and not what Deno has: `Deno` or `process` are unknown names here.
_LIBRARIES = ["esnext", "deno.console", "deno.url", "deno.web", "deno.fetch", "deno.crypto"]
_TYPES = {
    name: files("textgate.outbound.script").joinpath("types", name).read_text("utf-8")
    for name in ("authgear_deno_hook.d.ts", "sandbox.d.ts")
}
DECLARATIONS = _TYPES["authgear_deno_hook.d.ts"]
"""What Authgear's module of types declares here."""

_OPTIONS = ("--quiet", "--no-lock", "--no-remote", "--no-npm", "--no-code-cache")
_HEAD = re.compile(r"(TS\d+) \[ERROR\]: (.*)")
_SYNTAX = re.compile(r"error: (?:SyntaxError|The module's source code could not be parsed): (.*)")
_PLACE = re.compile(r"(.*?)(?:^| {4}| )at (file:\S+?):(\d+):(\d+)")
_NOISE = re.compile(
    r" (?:Do you need to (?:change your target|install type)|Try changing the).*"
    r'|, \{ with: \{ "resolution-mode": "import" \} \}'
)
_TOO_HARD = {
    Broken.TIME: f"the type check did not end within {LIMITS.seconds:g} s",
    Broken.MEMORY: "the type check needs too much memory",
    Broken.OUTPUT: "the type check found too much to tell",
}
_REMEDY = "make its types simpler, or begin the script with `// @ts-nocheck`"


async def check(deno: Path, script: Reading, remote: Remote) -> tuple[Finding, ...]:
    """Return what the compiler has against a script; nothing if it may be saved.

    Raises Unavailable if there was no check.
    """
    with _empty_folder() as name:
        folder = Path(name)
        names = _lay_out(folder, script, remote)
        try:
            ran = await run(
                [deno, "check", *_OPTIONS, "--config", "deno.json",
                 f"--v8-flags=--max-old-space-size={_HEAP_MB}", _SCRIPT],
                b"",
                folder=folder,
                environment=_environment(folder),
                limits=LIMITS,
            )  # fmt: skip
        except OSError as error:
            raise Unavailable(f"Deno does not start: {error.strerror}") from None
    return _judge(ran, _Report(folder, names, script, remote.places))


def _empty_folder() -> tempfile.TemporaryDirectory[str]:
    parent = os.path.realpath(tempfile.gettempdir())  # as Deno will spell it
    return tempfile.TemporaryDirectory(
        prefix="textgate-check-", dir=parent, ignore_cleanup_errors=True
    )


def _environment(folder: Path) -> dict[str, str]:
    return {
        "DENO_DIR": str(folder / "deno"),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "NO_COLOR": "1",
        "DENO_NO_PACKAGE_JSON": "1",
        "DENO_NO_UPDATE_CHECK": "1",
    }


def _lay_out(folder: Path, script: Reading, remote: Remote) -> dict[str, str]:
    """Write what the check reads; return the URLs of the modules by their files' names."""
    places = {url: f"./{n}{copy.extension}" for n, (url, copy) in enumerate(remote.copies.items())}
    for url, copy in remote.copies.items():
        # As in Deno, the modules of others are read for their types and not checked.
        (folder / places[url]).write_text(f"// @ts-nocheck\n{copy.text}", "utf-8", newline="")
    (folder / _SCRIPT).write_text(script.copy, "utf-8", newline="")
    (folder / "sandbox.d.ts").write_text(_TYPES["sandbox.d.ts"], "utf-8")
    (folder / "hook.ts").write_text(DECLARATIONS, "utf-8")
    imports = (
        places
        | {asked: places[url] for asked, url in remote.moved.items()}
        | dict.fromkeys(remote.types, "./hook.ts")
    )
    options = {
        "lib": _LIBRARIES,
        "types": ["./sandbox.d.ts"],
        # The one default of Authgear's Deno (1.41) that was laxer than today's.
        "useUnknownInCatchVariables": False,
    }
    (folder / "deno.json").write_bytes(
        msgspec.json.encode({"compilerOptions": options, "imports": imports})
    )
    shown = {place.removeprefix("./"): url for url, place in places.items()}
    return shown | {_SCRIPT: _SCRIPT, "hook.ts": "authgear_deno_hook/mod.ts"}


def _judge(ran: Ran, report: "_Report") -> tuple[Finding, ...]:
    if ran.status == 0 and ran.broken is None:
        return ()
    found = tuple(report.findings(ran.output.decode("utf-8", "replace")))
    if found:
        return found[:MAX_FINDINGS]
    if ran.broken is not None:
        return (Finding(0, 0, None, f"{_TOO_HARD[ran.broken]}; {_REMEDY}"),)
    # A heap that is full and a stack that is full both end it by a signal.
    if ran.status < 0 or b"Maximum call stack" in ran.output:
        return (Finding(0, 0, None, f"the type check broke down; {_REMEDY}"),)
    raise Unavailable(f"the script could not be checked: {report.problem(ran.output)}")


class _Report:
    """What Deno printed, in the words and places of the user's source."""

    def __init__(
        self, folder: Path, names: Mapping[str, str], script: Reading, places: Mapping[str, Place]
    ) -> None:
        self._names, self._places = names, places
        self._lines = re.split(r"\r\n|[\n\r\u2028\u2029]", script.copy)
        self._shifts = script.shifts
        self._path = re.compile(
            rf"(?:file://)?{re.escape(str(folder))}/(?P<stem>\w+)(?P<ext>(?:\.d)?\.[jt]s)?"
        )

    def findings(self, output: str) -> Iterator[Finding]:
        """The mistakes in the script; of its modules only syntax is looked at."""
        code: str | None = None
        message: list[str] | None = None
        for line in output.splitlines():
            if head := (_HEAD.match(line) or _SYNTAX.match(line)):
                code = head[1] if head.re is _HEAD else None
                message, line = [], head[head.lastindex or 1]
            if message is None:
                continue
            place = _PLACE.match(line)
            if place is None:
                message.append(line)
                continue
            if place[1].strip():
                message.append(place[1])
            yield self._finding(code, message, place[2], int(place[3]), int(place[4]))
            message = None

    def problem(self, output: bytes) -> str:
        """The line in which Deno itself says why there was no check."""
        for line in output.decode("utf-8", "replace").splitlines():
            if line.startswith("error: "):
                return self._shown(line.removeprefix("error: "))[:_LONGEST_MESSAGE]
        return "Deno did not say why"

    def _finding(
        self, code: str | None, said: list[str], path: str, line: int, column: int
    ) -> Finding:
        name = self._shown(path)
        text = self._clean(said, line)
        if name != _SCRIPT:  # a module; its first line is ours
            place = self._places.get(name, (0, 0))
            return Finding(*place, code, f"{name}, line {line - 1}, column {column}: {text}")
        return Finding(line, self._column(line, column), code, text)

    def _column(self, line: int, column: int) -> int:
        places = [place for at, place in self._shifts if at == line]
        return column - ESCAPE_GROWTH * bisect_left(places, column)

    def _clean(self, said: list[str], line: int) -> str:
        """Join the lines of a message; leave out the line of the source that is shown with it."""
        shown = self._lines[line - 1].strip() if line <= len(self._lines) else ""
        kept = [
            part.strip()
            for part in said
            if part.strip(" ~^") and part.strip() != shown and not re.match(r"(?:\d+)? *\|", part)
        ]
        text = self._shown(_NOISE.sub("", "\n".join(kept)))
        return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "…"

    def _shown(self, text: str) -> str:
        return self._path.sub(self._replaced, text)

    def _replaced(self, found: re.Match[str]) -> str:
        stem = found["stem"]
        for name, url in self._names.items():
            if name.partition(".")[0] == stem:
                return url
        return stem
