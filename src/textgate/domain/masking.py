"""What a far side says, made fit for people who must not read numbers, texts or codes in it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

DETAIL_LIMIT = 200
"""Characters: what a person reads at a glance, and what an attempt's record has room for."""
HIDDEN = "…"

# Four digits or more, however they are grouped: "+49 (151) 123-456" is one run.
_DIGITS = re.compile(r"\+?\d(?:[\s().\-/]{0,2}\d){3,}")
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f]+")
_WORD = re.compile(r"\w+")
_SHORTEST_SECRET = 4
_QUOTE = 12
"""Characters in a row that are taken for a quotation and not for chance."""
_READ = 4 * DETAIL_LIMIT
LONGEST_SENT = 100_000
"""Characters of a message that an echo is looked for in, or it would take seconds. Whoever answers
to a longer one is not quoted at all."""


def mask_digits(text: str, limit: int = DETAIL_LIMIT) -> str:
    """Return ``text`` in one line of at most ``limit`` characters, without runs of four digits.

    What is hidden shows as ``…``: numbers, one-time codes, and alas dates.
    """
    line = _BLANKS.sub(" ", text[: 4 * limit]).strip()
    line = _DIGITS.sub(HIDDEN, line)
    return line if len(line) <= limit else line[: limit - 1] + HIDDEN


def mask_echo(text: str, sent: Iterable[str], limit: int = DETAIL_LIMIT) -> str:
    """As :func:`mask_digits`, and without what ``text`` repeats of the texts that were ``sent``.

    Hidden are passages of twelve characters and more, and words of four and more that hold a
    digit, as codes do; in either case whatever the capitals.
    """
    heard = _BLANKS.sub(" ", text[:_READ])
    originals = list(sent)
    if is_too_long(originals):
        return HIDDEN if heard.strip() else ""
    hide = bytearray(len(heard))
    folded, said = _fold(heard), [_fold(_BLANKS.sub(" ", one).strip()) for one in originals]
    for start, end in (*_passages(folded, said), *_codes(folded, said)):
        hide[start:end] = b"\1" * (end - start)
    shown = re.sub(
        "\0+", HIDDEN, "".join("\0" if h else c for c, h in zip(heard, hide, strict=True))
    )
    return mask_digits(shown, limit)


def confidential(number: str, text: str | None, context: Mapping[str, Any]) -> list[str]:
    """Return what of a message nobody may read who is told what became of it: the number, the text,
    the variables."""
    variables = context.get("template_variables")
    values = variables.values() if isinstance(variables, dict) else ()
    return [number, text or "", *(value for value in values if isinstance(value, str))]


ONE_TIME = frozenset({"code", "link", "url", "password"})
"""Variables of a message that open something for whoever reads them (B §2.2)."""


def mask_one_time(text: str | None, context: dict[str, Any] | None) -> tuple[str | None, Any]:
    """Return a message's text and context as a list may show them, without its one-time codes.

    Hidden are the variables named in :data:`ONE_TIME`, and wherever the text holds their values.
    """
    variables = (context or {}).get("template_variables")
    if not isinstance(variables, Mapping):
        return text, context
    values = {name: value for name, value in variables.items() if name in ONE_TIME and value}
    hidden = {**variables, **dict.fromkeys(values, HIDDEN)}
    # The longest first: a link holds the code.
    for value in sorted(map(str, values.values()), key=len, reverse=True):
        text = text and text.replace(value, HIDDEN)
    return text, {**(context or {}), "template_variables": hidden}


def repeats(text: str, sent: Sequence[str]) -> bool:
    """Whether ``text`` as a whole is, or may be, found in one of the texts that were ``sent``."""
    wanted = _fold(text.strip())
    if len(wanted) < _SHORTEST_SECRET:
        return False
    return is_too_long(sent) or any(wanted in _fold(said) for said in sent)


def is_too_long(sent: Iterable[str]) -> bool:
    """Whether all of this together is too long to look for an echo of it."""
    return sum(map(len, sent)) > LONGEST_SENT


def _fold(text: str) -> str:
    """Lower-case, with each character where it was."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


def _passages(heard: str, said: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield where ``heard`` holds a passage of what was ``said``: of a short text, all of it."""
    parts: dict[int, list[str]] = {}
    for text in said:
        parts.setdefault(min(_QUOTE, len(text)), []).append(text)
    for length, texts in parts.items():
        if length < _SHORTEST_SECRET:
            continue
        everything = "\0".join(texts)  # which is in no text: control characters are blanks by now
        for start in range(len(heard) - length + 1):
            if heard[start : start + length] in everything:
                yield start, start + length


def _codes(heard: str, said: Iterable[str]) -> Iterator[tuple[int, int]]:
    words = {word for text in said for word in _WORD.findall(text)}
    for found in _WORD.finditer(heard):
        word = found[0]
        if len(word) >= _SHORTEST_SECRET and any(c.isdigit() for c in word) and word in words:
            yield found.span()
