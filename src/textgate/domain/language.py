"""Which of the languages at hand suits a reader best (B §7.5).

Two tags are compared as ``x/text/language`` of Go does, over the tables of CLDR that langcodes
brings: how far languages and scripts are apart, and what a short tag most likely stands for. Its
own ``tag_distance`` remembers for ever every tag that anybody ever asked for.
"""

import re
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from langcodes.data_dicts import (
    LANGUAGE_DISTANCES,
    LANGUAGE_REPLACEMENTS,
    LIKELY_SUBTAGS,
    NORMALIZED_MACROLANGUAGES,
    TERRITORY_REPLACEMENTS,
)

from textgate.domain.errors import Invalid

LONGEST_TAG = 35
MOST_PREFERRED = 10

_TAG = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8})*", re.IGNORECASE)
_FAR = 80
"""CLDR's distance of languages that have nothing to do with each other."""
_HIGH, _LOW = 10, 30
"""A distance up to the one is a small difference; from the other on it is another language."""
_CHINESE = {("zh", "Hans", "Hant"), ("zh", "Hant", "Hans")}
"""CLDR's distances 15 and 19, which the tables here lack: who reads one manages with the other."""


class Confidence(IntEnum):
    """How well somebody who wants one language is served by another."""

    NO = 0
    LOW = 1
    HIGH = 2
    EXACT = 3
    SAME = 4
    """Not only equal in meaning (en, en-US): the very tag."""


class _Meaning(NamedTuple):
    """A tag with what it most likely stands for filled in; empty: nobody knows."""

    language: str
    script: str
    region: str


def canonical_tag(text: str) -> str:
    """Return a language tag in its usual spelling: ``zh_hant_hk`` → ``zh-Hant-HK``.

    Raises ``Invalid`` for what is no tag of BCP 47 by its form, or longer than 35 characters.
    """
    tag = text.strip().replace("_", "-")
    if len(tag) > LONGEST_TAG or not _TAG.fullmatch(tag):
        raise Invalid("a language is a tag such as en, pt-BR or zh-Hant", field="language")
    first, *rest = tag.lower().split("-")
    parts, private = [first], False
    for part in rest:
        private |= len(part) == 1  # what follows a single letter has no capitals
        spelt = part
        if not private and len(part) == 2:
            spelt = part.upper()
        elif not private and len(part) == 4 and part.isalpha():
            spelt = part.title()
        parts.append(spelt)
    return "-".join(parts)


def preferred_tags(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the languages somebody wants, best first, without what is no tag (``*``).

    Raises ``Invalid`` for more than ten, or for one of more than 35 characters.
    """
    wanted = (given,) if isinstance(given, str) else tuple(given or ())
    if len(wanted) > MOST_PREFERRED:
        raise Invalid(f"at most {MOST_PREFERRED} languages can be preferred", field="language")
    if any(len(tag) > LONGEST_TAG for tag in wanted):
        raise Invalid(f"a language has at most {LONGEST_TAG} characters", field="language")
    spelt = (tag.strip().replace("_", "-") for tag in wanted)
    return tuple(canonical_tag(tag) for tag in spelt if _TAG.fullmatch(tag))


def choose(preferred: Sequence[str], candidates: Sequence[str]) -> str | None:
    """Return the candidate for the first preferred tag that any serves; None if none does.

    Of several that serve it equally well the earlier one is taken.
    """
    for wanted in preferred:
        best = max(candidates, key=lambda candidate: confidence(wanted, candidate), default=None)
        if best is not None and confidence(wanted, best) > Confidence.NO:
            return best
    return None


def confidence(wanted: str, offered: str) -> Confidence:
    """Return how well a text in ``offered`` serves who wants ``wanted``; both canonical tags."""
    if wanted == offered:
        return Confidence.SAME
    want, have = _meaning(wanted), _meaning(offered)
    limit = _between_languages(want.language, have.language)
    if want.script != have.script:
        limit = min(limit, _between_scripts(want, have))
    if want.region != have.region:
        limit = min(limit, Confidence.HIGH)
    return limit


def _between_languages(want: str, have: str) -> Confidence:
    if want == have:
        return Confidence.EXACT
    distance = LANGUAGE_DISTANCES.get(want, {}).get(have, _FAR)
    if distance < _LOW:
        return Confidence.HIGH if distance <= _HIGH else Confidence.LOW
    return Confidence.NO


def _between_scripts(want: _Meaning, have: _Meaning) -> Confidence:
    """Few people read two scripts; CLDR lists who does."""
    to = f"{have.language}_{have.script}"
    for language in (want.language, have.language):
        if to in LANGUAGE_DISTANCES.get(f"{language}_{want.script}", ()):
            return Confidence.LOW
    chinese = (have.language, want.script, have.script) in _CHINESE
    return Confidence.LOW if chinese else Confidence.NO


@lru_cache(maxsize=4096)
def _meaning(tag: str) -> _Meaning:
    """Read a canonical tag; variants and extensions do not count."""
    named = _replaced(_read(tag))
    language, script, region = named
    narrower = (f"{language}-{script}-{region}", f"{language}-{region}", f"{language}-{script}")
    for known in (*narrower, language) if any(named[1:]) or language != "und" else ():
        if known in LIKELY_SUBTAGS:
            likely = _read(LIKELY_SUBTAGS[known])
            language = likely.language if language == "und" else language
            return _Meaning(language, script or likely.script, region or likely.region)
    return named


def _read(tag: str) -> _Meaning:
    language, *rest = tag.split("-")
    if rest and (extended := f"{language}-{rest[0]}".lower()) in LANGUAGE_REPLACEMENTS:
        language, rest = LANGUAGE_REPLACEMENTS[extended], rest[1:]  # zh-yue is yue
    script = region = ""
    for part in rest:
        if len(part) == 4 and part.isalpha():
            script = part
        elif len(part) == 2 or (len(part) == 3 and part.isdigit()):
            region = part
        else:
            break
    return _Meaning(language, script, region)


def _replaced(named: _Meaning) -> _Meaning:
    """Put today's codes in the place of old ones (``iw``, ``UK``) and of overly narrow ones."""
    language, script, region = named
    if language in LANGUAGE_REPLACEMENTS:
        now = _read(LANGUAGE_REPLACEMENTS[language])
        language, script, region = now.language, script or now.script, region or now.region
    language = NORMALIZED_MACROLANGUAGES.get(language, language)  # cmn is zh
    return _Meaning(language, script, TERRITORY_REPLACEMENTS.get(region.lower(), region))
