"""A copy of a source for a compiler, in which nothing names a file, and the proof of that.

The proof is by the text alone: in front of every string that any reader of the language could take
for the name of a module stands one of four words, whatever tokens it makes of the rest. So where
such a word stands, the string after it must be a known one; else the source is refused. Words
inside strings are spelt with an escape first, which changes no value, so that honest texts (as in
``"Message from 'Acme'"``) pass.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

ESCAPE_GROWTH = 3
"""By so many columns an escape is longer than its letter."""

Span = tuple[int, int]

# Between two tokens: comments, and all but visible ASCII. Rather too much than too little: what
# only looks like the name of a module costs an escape or a refusal, never more.
_GAP = rb"(?:[^\x21-\x7e]|/\*.*?\*/|//[^\r\n]*)*"
# A number may stand right before a word, as in 1nimport(…): compilers complain, and read on.
_WORD_START = rb"(?<![A-Za-z_$])(?:\d\w*?)?"
_LOADS = re.compile(
    _WORD_START + rb"(?P<word>(?:import|require)(?:" + _GAP + rb"\." + _GAP + rb"\w+)?" + _GAP
    + rb"(?:\(" + _GAP + rb")*|(?:from|module)" + _GAP + rb")"
    rb"(?P<quote>[\"'`])",
    re.DOTALL,
)  # fmt: skip
_PRAGMA = re.compile(
    rb"(?P<word>@(?:deno-types|ts-types|ts-self-types|jsx|import)|<\s*(?:reference|amd-))"
)
_UNICODE_ESCAPE = re.compile(rb"\\u(?:\{0*([0-9A-Fa-f]{1,2})\}|00([0-9A-Fa-f]{2}))")
_DIRECTIVE = re.compile(rb"(?P<open>//+|/\*+)[ \t]*@ts-(?:nocheck|ignore|expect-error)\b")
_OUTSIDE_ASCII = re.compile("[^\x00-\x7f\u2028\u2029]")
_VISIBLE = re.compile(rb"[\x21-\x7e]")


class Edit(NamedTuple):
    """A stretch of bytes, and what takes its place."""

    start: int
    end: int
    new: bytes


def apply(source: bytes, edits: Iterable[Edit]) -> bytes:
    """Return ``source`` after ``edits``, which do not overlap."""
    parts, last = [], 0
    for edit in sorted(edits):
        parts += [source[last : edit.start], edit.new]
        last = edit.end
    return b"".join([*parts, source[last:]])


def blanked(source: bytes, comments: Iterable[Span]) -> bytes:
    """Return ``source`` with spaces for comments but ``@ts-nocheck`` and the like.

    Every byte and every column stays where it was.
    """
    return apply(source, [Edit(a, b, _blank(source[a:b])) for a, b in comments])


def _blank(comment: bytes) -> bytes:
    kept, end = b"", b""
    if directive := _DIRECTIVE.match(comment):
        kept = directive[0]
        comment = comment[len(kept) :]
        if directive["open"].startswith(b"/*"):
            comment, end = comment[:-2], b"*/"
    text = _VISIBLE.sub(b" ", comment).decode()
    return kept + _OUTSIDE_ASCII.sub(_same_width, text).encode() + end


def _same_width(match: re.Match[str]) -> str:
    """White space of as many bytes in UTF-8, and of as many UTF-16 units."""
    return {2: "\u00a0", 3: "\u3000", 4: "\u00a0\u00a0"}[len(match[0].encode())]


def escapes(source: bytes, texts: Sequence[Span]) -> Iterator[Edit]:
    """Find what would spoil the proof inside ``texts``, the insides of strings, in order."""
    starts = [start for start, _ in texts]
    for pattern in (_LOADS, _PRAGMA):
        position = 0
        while match := pattern.search(source, position):
            at = match.start("word")
            position = at + 1
            text = bisect_right(starts, at) - 1
            if text >= 0 and at < texts[text][1]:
                yield Edit(at, at + 1, b"\\x%02x" % source[at])


def doubt(copy: bytes, known: Collection[bytes]) -> int | None:
    """Return where ``copy`` may name a module that is not ``known``; None if it surely does not.

    All of ``known`` must be https: URLs: read as anything but a string, they are a label and a
    comment. Words with escapes count as what they mean.
    """
    for text in (copy, _UNICODE_ESCAPE.sub(_meant, copy)):
        position = 0
        while match := _LOADS.search(text, position):
            end = text.find(match["quote"], match.end())
            if text[match.end() : end] not in known:
                return match.start("word")
            position = end + 1
        if match := _PRAGMA.search(text):
            return match.start("word")
    return None


def _meant(escape: re.Match[bytes]) -> bytes:
    number = int(escape[1] or escape[2], 16)
    return bytes([number]) if number < 0x80 else escape[0]
