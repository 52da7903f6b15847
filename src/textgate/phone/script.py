"""Messages from the air as a person or a file writes them: one a line."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from textgate.domain.errors import Invalid
from textgate.domain.times import parse_rfc3339
from textgate.phone.incoming import Incoming

LONGEST_LINE = 8 * 1024 * 1024
"""Characters: an MMS with its pictures."""


class Cue(msgspec.Struct, frozen=True):
    """A message, and on which phone it comes in (from 1); None: it was not said."""

    incoming: Incoming
    phone: Annotated[int, Meta(ge=1)] | None = None


def read_line(line: str) -> Cue | None:
    """Read ``+number text``, ``number<TAB>text`` or an object of ``Incoming``'s members.

    ``#3`` before it, or the member ``phone``, says on which phone. None: the line is empty or a
    remark (``# …``). Raises ``Invalid``.
    """
    line = line.strip()
    if not line or line.startswith("# ") or line == "#":
        return None
    if line.startswith("{"):
        return _from_json(line)
    phone = None
    if line.startswith("#"):
        number, _, line = line[1:].partition(" ")
        if not number.isdecimal() or int(number) < 1:
            raise Invalid(f"#{number[:10]} is no phone; they are #1, #2 …")
        phone = int(number)
    sender, text = _cut(line.lstrip())
    if not text:
        raise Invalid("write the number and then the text: +12025550101 Hello")
    return _made(Cue, {"incoming": {"sender": sender, "text": text}, "phone": phone})


def read_lines(lines: Iterable[str], *, phones: int) -> Iterator[Cue]:
    """Read them all, for so many phones; ``Invalid`` says in which line something is wrong."""
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            raise Invalid(f"line {number} is too long")
        try:
            cue = read_line(line)
            if cue is not None and (cue.phone or 1) > phones:
                raise Invalid(f"there is no phone #{cue.phone}")
        except Invalid as wrong:
            raise Invalid(f"line {number}: {wrong.message}") from None
        if cue is not None:
            yield cue


def _cut(line: str) -> tuple[str, str]:
    """A tab ends the number, so that a name with blanks may send; else the first blank does."""
    sender, tab, text = line.partition("\t")
    if not tab:
        sender, _, text = line.partition(" ")
    return sender.strip(), text.strip()


def _from_json(line: str) -> Cue:
    try:
        members = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as wrong:
        raise Invalid(f"no JSON: {wrong}") from None
    phone, at = members.pop("phone", None), members.get("at")
    if isinstance(at, str):
        try:
            members["at"] = parse_rfc3339(at)
        except ValueError:
            raise Invalid(f"at: {at[:40]!r} is no time") from None
    return _made(Cue, {"incoming": members, "phone": phone})


def _made(type_: type[Cue], members: dict[str, Any]) -> Cue:
    try:
        return msgspec.convert(members, type_)
    except msgspec.ValidationError as wrong:
        raise Invalid(str(wrong)) from None
