"""Longer texts of an attempt, made fit for people who look for what went wrong.

``masking`` hides every run of digits, which suits one line for a list. Here an error's number is
what somebody looks for: hidden is what repeats the message, and every secret.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from copy import copy
from urllib.parse import quote, quote_plus

from textgate.domain.masking import HIDDEN, is_too_long

SHORTEST_SECRET = 4
"""Characters: what is shorter is found in any text."""
_QUOTE = 12
"""Characters in a row that are taken for a quotation and not for chance."""
_COMPONENT = "!'()*"
"""What encodeURIComponent leaves as it is, beside letters, digits and ``_.-~``."""
_PATH = "!$%&'()*+,/:;=@[]|"
"""What stays as it is in the path of a URL (https://url.spec.whatwg.org, §1.3)."""
_DIGITS = re.compile(r"\d(?:[\s().\-/]{0,2}\d){3,}")
_WORD = re.compile(r"\w+")


class Redaction:
    """Knows what must not be read, and hides it as ``…``."""

    def __init__(self, sent: Iterable[str], secrets: Iterable[str]) -> None:
        """``sent``: number, text and variables of the message; ``secrets``: the channel's."""
        forms = {form for secret in secrets for form in _forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)
        self._remember(sent)

    def of(self, sent: Iterable[str]) -> "Redaction":
        """Return one with the same secrets for another message."""
        other = copy(self)
        other._remember(sent)
        return other

    def _remember(self, sent: Iterable[str]) -> None:
        originals = list(sent)
        self._hides_all = is_too_long(originals)
        texts = [] if self._hides_all else [text.lower() for text in originals]
        self._quotes = {part for text in texts for part in _runs(text, min(_QUOTE, len(text)))}
        self._words = {word for text in texts for word in _WORD.findall(text) if _is_code(word)}
        digits = (re.sub(r"\D", "", run) for text in texts for run in _DIGITS.findall(text))
        self._digits = {part for run in digits for part in _runs(run, SHORTEST_SECRET)}

    def __call__(self, text: str, limit: int) -> str:
        """Return ``text`` without what must not be read, of at most ``limit`` bytes of UTF-8.

        If the message is too long to look for, nothing can be read at all.
        """
        if self._hides_all:
            return HIDDEN if text else ""
        heard = self.without_secrets(text, limit)[:limit]
        hide = bytearray(len(heard))
        for start, end in self._places(heard):
            hide[start:end] = b"\1" * (end - start)
        marked = "".join("\0" if h else c for c, h in zip(heard, hide, strict=True))
        return _cut(re.sub("\0+", HIDDEN, marked), limit, more=len(text) > limit)

    def without_secrets(self, text: str, limit: int | None = None) -> str:
        """Return ``text`` without secrets, and without control characters but line breaks.

        ``limit``: of a longer text, so many characters are enough; there may be fewer.
        """
        longest = len(self._secrets[0]) if self._secrets else 0
        head = text if limit is None else text[: limit + longest]
        is_cut = len(head) < len(text)
        for form in self._secrets:
            head = head.replace(form, HIDDEN)
        if is_cut:  # what is left of a secret that the cut went through
            head = head[: max(0, len(head) - longest)]
        return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", " ", head)

    def _places(self, heard: str) -> Iterator[tuple[int, int]]:
        low = heard.lower()
        if len(low) != len(heard):  # a letter that is two in lower case: places would not fit
            low = heard
        for length in {len(part) for part in self._quotes}:
            for start in range(len(low) - length + 1):
                if low[start : start + length] in self._quotes:
                    yield start, start + length
        for found in _WORD.finditer(low):
            if found[0] in self._words:
                yield found.span()
        for found in _DIGITS.finditer(low):
            run = re.sub(r"\D", "", found[0])
            if any(part in self._digits for part in _runs(run, SHORTEST_SECRET)):
                yield found.span()


def _is_code(word: str) -> bool:
    return len(word) >= SHORTEST_SECRET and any(c.isdigit() for c in word)


def _runs(text: str, length: int) -> Iterator[str]:
    """Yield each part of ``text`` of this length."""
    if length >= SHORTEST_SECRET:
        for start in range(len(text) - length + 1):
            yield text[start : start + length]


def _forms(secret: str) -> Iterator[str]:
    """Yield the ways in which a secret is written: plain, in URLs, in JSON, in Base64."""
    if len(secret) < SHORTEST_SECRET:
        return
    yield secret
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    for safe in ("", _COMPONENT, _PATH):
        yield quote(secret, safe=safe)
    yield quote_plus(secret, safe="*").replace("~", "%7E")  # as URLSearchParams does it
    raw = secret.encode("utf-8", "replace")
    for before in range(3):  # as in "user:secret": what stands before it shifts the letters
        whole = (before + len(raw)) // 3 * 3
        letters = base64.b64encode((b"\0" * before + raw)[:whole]).decode()
        core = letters[4 if before else 0 :]
        if len(core) >= 2 * SHORTEST_SECRET:
            yield core


def _cut(text: str, limit: int, *, more: bool) -> str:
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit and not more:
        return raw.decode()
    return raw[: limit - len(HIDDEN.encode())].decode("utf-8", "ignore") + HIDDEN
