"""What a source says that matters before anything is done with it: our own parse.

A compiler reads the files that a source names, and prints what it reads. So it is given a copy
that has been made harmless, and that is proven harmless without any trust in the parse
(docs/decisions/0006-scripts.md): wherever two readers of the language may differ, the worst that
comes of it is a refusal.
"""

import re
from collections.abc import Collection, Iterator, Mapping

import msgspec
from tree_sitter import Node

from textgate.domain.script import Finding
from textgate.outbound.script import grammar
from textgate.outbound.script.copy import (
    ESCAPE_GROWTH,
    Edit,
    apply,
    blanked,
    doubt,
    escapes,
)
from textgate.outbound.script.places import Places
from textgate.outbound.script.specifiers import absolute, is_types_module, refusal


class Source(msgspec.Struct, frozen=True):
    """What is to be read."""

    text: str
    base: str | None = None
    """The URL of a module; None: the script itself."""


class Specifier(msgspec.Struct, frozen=True):
    """A module that a source names, as a plain string."""

    text: str
    """Absolute, where it was relative in a module."""
    line: int
    column: int


class Reading(msgspec.Struct, frozen=True):
    """What was read."""

    specifiers: tuple[Specifier, ...]
    findings: tuple[Finding, ...]
    """All that is wrong but which modules it names: that is for who knows the rules."""
    has_default: bool
    code: str
    """The source; relative specifiers are absolute."""
    copy: str
    """``code`` for a compiler: the same lines, no comments, no words that name a module but those
    in ``specifiers``."""
    shifts: tuple[tuple[int, int], ...]
    """Places (line, column) of ``copy`` after which columns are larger than in the source."""

    def forbidden(self, hosts: Collection[str]) -> Iterator[Finding]:
        """Find the modules that may not be imported, by the rules of ``specifiers.refusal``."""
        for named in self.specifiers:
            if (why := refusal(named.text, hosts)) is not None:
                yield Finding(named.line, named.column, None, why)


def read(source: Source) -> Reading:
    """Read a source. It may take very long or much memory: run it where it can be ended."""
    return _Read(source).result()


_NO_FUNCTION = {
    *("number", "string", "template_string", "regex", "true", "false", "null", "undefined"),
    *("object", "array", "class", "class_declaration", "abstract_class_declaration"),
    *("interface_declaration", "enum_declaration"),
}
_ATTRIBUTE = "a script imports code alone, without attributes"
_REFERENCE = re.compile(rb"///[ \t]*<reference\s[^>\n]*?(?:path|types)\s*=")
_PRAGMA = re.compile(rb"@(?:deno-types|ts-types|ts-self-types|jsxImportSource(?:Types)?)\b")
_DOC_IMPORT = re.compile(rb"""(?:import\s*\(|@import\b[^*"']*?from)\s*["']([^"']*)["']""")


class _Read:
    """One reading, under way."""

    def __init__(self, source: Source) -> None:
        self._base = source.base
        self._bytes = source.text.encode()
        self._places = Places(self._bytes)
        self._found: Mapping[str, list[Node]] = grammar.captures(self._bytes)
        self._findings: list[Finding] = []
        self._specifiers: list[tuple[Node, str]] = []

    def result(self) -> Reading:
        self._read_specifiers()
        if self._base is None:
            self._read_comments()
            self._read_globals()
        has_default = self._read_default()
        for node in self._found["escaped"]:
            self._refuse(node.start_byte, "write names without escapes")
        rewritten = [_rewritten(node, text) for node, text in self._specifiers]
        copy, shifts = self._copy(rewritten)
        return Reading(
            tuple(
                Specifier(text, *self._places.of(node.start_byte))
                for node, text in self._specifiers
            ),
            tuple(sorted(self._findings, key=lambda finding: (finding.line, finding.column))),
            has_default,
            apply(self._bytes, rewritten).decode(),
            copy,
            shifts,
        )

    def _refuse(self, offset: int, message: str) -> None:
        self._findings.append(Finding(*self._places.of(offset), None, message))

    def _read_specifiers(self) -> None:
        for node in self._found["specifier"]:
            self._take(node)
        for arguments in self._found["imported"]:
            first = arguments.named_children[0] if arguments.named_children else arguments
            if first.type != "string":
                self._refuse(
                    first.start_byte,
                    "import() needs a plain string: a run fetches no code, so each module has to"
                    " be known when the script is saved",
                )
            else:
                self._take(first)
            if len(arguments.named_children) > 1:
                self._refuse(arguments.start_byte, _ATTRIBUTE)
        for node in self._found["ambient"]:
            self._refuse(node.start_byte, "declaring a module by its name is not offered")
        for node in self._found["attribute"]:
            self._refuse(node.start_byte, _ATTRIBUTE)

    def _take(self, node: Node) -> None:
        raw = self._bytes[node.start_byte + 1 : node.end_byte - 1]
        if b"\\" in raw:
            self._refuse(node.start_byte, "write the module's URL without escapes")
            return
        text = raw.decode()
        self._specifiers.append((node, absolute(text, self._base) if self._base else text))

    def _read_comments(self) -> None:
        """Comments that compilers take for imports."""
        for node in self._found["comment"]:
            raw = self._bytes[node.start_byte : node.end_byte]
            if (sign := _REFERENCE.match(raw)) or (sign := _PRAGMA.search(raw)):
                self._refuse(
                    node.start_byte + sign.start(),
                    "types are not taken from other files by a comment; write them into the script",
                )
            elif raw.startswith(b"/**"):
                for named in _DOC_IMPORT.finditer(raw):
                    if not is_types_module(named[1].decode("utf-8", "replace")):
                        self._refuse(
                            node.start_byte + named.start(),
                            "types are not imported by a comment; write them into the script",
                        )
        for node in self._found["html"]:
            self._refuse(node.start_byte, "a module has no HTML comments; use //")

    def _read_globals(self) -> None:
        bound = {self._text(node) for node in self._found["bound"]}
        asked = {node.start_byte for node in self._found["asked"]}
        for node in self._found["global"]:
            name = self._text(node)
            if name not in bound and node.start_byte not in asked:
                why = grammar.NOT_OFFERED[name]
                self._refuse(node.start_byte, f"{name} is not offered to scripts; {why}")

    def _text(self, node: Node) -> str:
        return self._bytes[node.start_byte : node.end_byte].decode()

    def _read_default(self) -> bool:
        if exported := self._found["default"]:
            if self._base is None and exported[0].type in _NO_FUNCTION:
                self._refuse(
                    exported[0].start_byte, "the default export must be a function of the payload"
                )
            return True
        if any(self._text(node) == "default" for node in self._found["exported"]):
            return True
        if self._found["error"]:  # it may be where the parse was lost
            return b"default" in self._bytes
        if self._base is None:
            self._findings.append(
                Finding(
                    0,
                    0,
                    None,
                    "the script has no default export; begin its function with"
                    " `export default async function`",
                )
            )
        return False

    def _copy(self, rewritten: list[Edit]) -> tuple[str, tuple[tuple[int, int], ...]]:
        """Return the copy for a compiler and its shifts; none of it if there is a doubt."""
        bare = blanked(self._bytes, map(_span, self._found["comment"]))
        names = {_span(node.named_children[0]) for node, text in self._specifiers if text}
        texts = sorted({*map(_span, self._found["text"])} - names)
        escaped = sorted(set(escapes(bare, texts)))
        copy = apply(bare, [*rewritten, *escaped])
        known = {text.encode() for _, text in self._specifiers}
        if (offset := doubt(copy, known)) is not None:
            self._refuse_doubtful(offset, [*rewritten, *escaped])
            return "", ()
        shifts: list[tuple[int, int]] = []
        for edit in escaped:
            line, column = self._places.of(edit.start)
            before = sum(1 for place, _ in shifts if place == line)
            shifts.append((line, column + before * ESCAPE_GROWTH))
        return copy.decode(), tuple(shifts)

    def _refuse_doubtful(self, offset: int, edits: list[Edit]) -> None:
        if self._findings:  # the reason is among them
            return
        if self._found["error"]:
            offset = min(node.start_byte for node in self._found["error"])
            self._refuse(offset, "this cannot be read as TypeScript")
            return
        for edit in sorted(edits):
            if edit.start < offset:
                offset -= len(edit.new) - (edit.end - edit.start)
        self._refuse(offset, "this cannot be told from an import; write it in another way")


def _span(node: Node) -> tuple[int, int]:
    return node.start_byte, node.end_byte


def _rewritten(node: Node, text: str) -> Edit:
    return Edit(node.start_byte + 1, node.end_byte - 1, text.encode())
