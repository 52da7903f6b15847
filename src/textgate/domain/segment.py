"""How many SMS a text becomes (3GPP TS 23.038 and 23.040).

A text of the GSM 7-bit default alphabet and its extension table is counted in septets, any other
in 16-bit units of UCS-2. National language shift tables are not supported: a text that needs one
counts as UCS-2.
"""

import re
from dataclasses import dataclass
from typing import Literal

Encoding = Literal["GSM-7", "UCS-2"]

GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""TS 23.038 §6.2.1, without the escape character."""

GSM_EXTENSION = "\f^{}\\[~]|€"
"""TS 23.038 §6.2.1.1: an escape and a second septet each."""

_BASIC = re.compile(f"[{re.escape(GSM_BASIC)}]*")
_GSM = re.compile(f"[{re.escape(GSM_BASIC + GSM_EXTENSION)}]*")
_EXTENDED = re.compile(f"([{re.escape(GSM_EXTENSION)}])")
_BEYOND_UCS2 = re.compile("[\U00010000-\U0010ffff]")
_ESCAPE = "\x1b"
_LEAD = "\ud800"


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text costs to send."""

    encoding: Encoding
    units: int
    """Septets or 16-bit units of the whole text, without the headers of concatenation."""
    parts: int
    """SMS that are billed; 1 also for the empty text."""
    per_part: int
    """Units that fit into each part: fewer as soon as there are several, for their header."""


def segments(text: str) -> Segments:
    """Return encoding and number of parts of ``text``. No character is split over two parts."""
    if _BASIC.fullmatch(text):
        return _count(text, "GSM-7", 160, 153)
    if _GSM.fullmatch(text):
        return _count(_EXTENDED.sub(rf"{_ESCAPE}\1", text), "GSM-7", 160, 153, pair=_ESCAPE)
    # A stand-in of two characters counts like the surrogate pair that will be sent.
    return _count(_BEYOND_UCS2.sub(f"{_LEAD} ", text), "UCS-2", 70, 67, pair=_LEAD)


def _count(
    units: str, encoding: Encoding, single: int, several: int, *, pair: str | None = None
) -> Segments:
    """Count parts over one character a unit; ``pair`` begins two that stay together."""
    length = len(units)
    if length <= single:
        return Segments(encoding, length, 1, single)
    if pair is None or pair not in units:
        return Segments(encoding, length, -(-length // several), several)
    parts = start = 0
    while start < length:
        end = start + several
        if end < length and units[end - 1] == pair:
            end -= 1
        start, parts = end, parts + 1
    return Segments(encoding, length, parts, several)
