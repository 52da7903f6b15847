"""Phone numbers: read strictly, kept as E.164, masked wherever they are printed.

The rules are those of ``phonenumbers`` (Google's libphonenumber). Its general way costs about
33 µs a number, so the usual spelling, ``+`` and digits, takes a short way over the same metadata:
one pattern for each calling code and length that only a number we accept can match. Whatever it
does not match goes to the library, which then decides and says why.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    NumberParseException,
    PhoneMetadata,
    PhoneNumberDesc,
    PhoneNumberFormat,
    PhoneNumberType,
)

from textgate.domain.errors import Invalid

FIELD = "phoneNumbers"
LONGEST = 18
"""``+``, at most three digits of calling code: longer spellings are left to the library."""

_SHOWN_START, _SHOWN_END, _HIDDEN_AT_LEAST = 3, 2, 4
_PLUS_SIGNS = frozenset("+\uff0b")  # the second is the full-width one
_NUMBER = re.compile(r"\+?[0-9]+")
_WRITTEN = re.compile(r"\+?[0-9 ()./-]{4,30}")  # no letters: the library reads them as digits


def mask(number: str) -> str:
    """``+41790000001`` → ``+41…01``; what is short or no number (a ciphertext) → ``…``."""
    hides_enough = len(number) >= _SHOWN_START + _HIDDEN_AT_LEAST + _SHOWN_END
    if hides_enough and _NUMBER.fullmatch(number):
        return f"{number[:_SHOWN_START]}…{number[-_SHOWN_END:]}"
    return "…"


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """A valid mobile number. Printing it masks it; ``.e164`` is deliberate."""

    e164: str

    def __str__(self) -> str:
        return mask(self.e164)

    __repr__ = __str__


def parse_phone(text: str, *, default_region: str | None) -> PhoneNumber:
    """Read a number that may receive an SMS (A §2.1): type MOBILE or FIXED_LINE_OR_MOBILE.

    ``default_region`` (``CH``) is where a number without ``+`` is taken to be from; None refuses
    such a number. Raises :class:`Invalid`.
    """
    return PhoneNumber(text) if _is_usual(text) else _parse_by_library(text, default_region)


def _is_usual(text: str) -> bool:
    """Whether it is surely acceptable, and written as it is kept: the library need not be asked,
    which takes ten times as long."""
    if len(text) <= LONGEST and text.isascii() and text[:1] == "+" and text[1:].isdecimal():
        plan = _plan_of(text[1:4], len(text))
        return plan is not None and plan.accepts(text)
    return False


def canonical(text: str, default_region: str | None) -> str:
    """Return who wrote as we spell whom we write to: a valid number of any type as E.164.

    Anything else, a short code or a name ("Bank"), is left as it is.
    """
    text = text.strip()
    if _is_usual(text) or not _WRITTEN.fullmatch(text):
        return text
    try:
        number = phonenumbers.parse(text, default_region)
    except NumberParseException:
        return text
    if not phonenumbers.is_valid_number(number):
        return text
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


_ACCEPTED_TYPES = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def _parse_by_library(text: str, default_region: str | None) -> PhoneNumber:
    try:
        number = phonenumbers.parse(text, default_region)
    except NumberParseException as error:
        reason = error.args[0]
        no_region = error.error_type == NumberParseException.INVALID_COUNTRY_CODE
        if no_region and default_region is None and not _PLUS_SIGNS.intersection(text):
            reason = (
                "a number without + and country code needs a default region; "
                "write +… or set TEXTGATE_DEFAULT_REGION"
            )
        raise Invalid(f"failed to parse phone number: {reason}", field=FIELD) from None
    if not phonenumbers.is_valid_number(number):
        raise Invalid("invalid phone number", field=FIELD)
    if phonenumbers.number_type(number) not in _ACCEPTED_TYPES:
        raise Invalid("not mobile phone number", field=FIELD)
    return PhoneNumber(phonenumbers.format_number(number, PhoneNumberFormat.E164))


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to know an acceptable number of one calling code and one length at a glance."""

    offset: int
    """Where the national number starts in ``+…``."""
    national_prefix: re.Pattern[str] | None
    """A trunk prefix that the library would strip: then the library shall."""
    types: re.Pattern[str]
    """Matches as the library orders its types; a group is set when the type is acceptable."""

    def accepts(self, text: str) -> bool:
        national = text[self.offset :]
        if self.national_prefix is not None:
            prefix = self.national_prefix.match(national)
            if prefix is not None and prefix.end():
                return False
        match = self.types.fullmatch(national)
        return match is not None and match.lastindex is not None


@cache  # at most 1,000 beginnings of at most LONGEST lengths
def _plan_of(beginning: str, length: int) -> _Plan | None:
    """Return the plan for numbers that begin with ``+`` and these three digits."""
    for digits in (1, 2, 3):  # no calling code begins with another
        code = beginning[:digits]
        if code[:1] != "0" and int(code or 0) in COUNTRY_CODE_TO_REGION_CODE:
            return _plan(int(code), length - 1 - digits)
    return None


@cache
def _plan(calling_code: int, length: int) -> _Plan | None:
    """Return the plan for national numbers of ``length`` digits; None: none is acceptable."""
    regions = COUNTRY_CODE_TO_REGION_CODE[calling_code]
    metadata = [_metadata(calling_code, region) for region in regions]
    among_others = len(regions) > 1
    branches = [b for m in metadata for b in _branches(m, length, among_others=among_others)]
    types = re.compile("|".join(branches), re.ASCII)
    if not types.groups:
        return None
    prefix = metadata[0].national_prefix_for_parsing
    return _Plan(
        offset=1 + len(str(calling_code)),
        national_prefix=re.compile(prefix, re.ASCII) if prefix else None,
        types=types,
    )


def _metadata(calling_code: int, region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(calling_code, region)
    assert metadata is not None, f"phonenumbers lists {region} without metadata"
    return metadata


def _branches(region: PhoneMetadata, length: int, *, among_others: bool) -> Iterator[str]:
    """Yield the alternatives of one region, in the order in which the library asks.

    The library takes the first region whose leading digits match (a region that has some is then
    asked no further), or that knows the number; and of its types, the first that matches.
    """
    claim = region.leading_digits if among_others else None
    here = f"(?={claim})" if claim else ""
    if (general := _pattern(region.general_desc, length)) is not None:
        known = f"{here}(?={general}\\Z)"
        for other in _before_mobile(region):
            if (pattern := _pattern(other, length)) is not None:
                yield known + pattern
        fixed, mobile = _pattern(region.fixed_line, length), _pattern(region.mobile, length)
        if region.same_mobile_and_fixed_line_pattern:
            mobile = fixed
        if fixed is not None and mobile is not None:
            yield f"{known}(?={mobile}\\Z)({fixed})"
        if fixed is not None:
            yield known + fixed
        if mobile is not None:
            yield f"{known}({mobile})"
    if claim:
        yield f"{here}[0-9]*"


def _before_mobile(region: PhoneMetadata) -> tuple[PhoneNumberDesc | None, ...]:
    """The kinds of number that win over a mobile when both patterns match."""
    return (
        region.premium_rate,
        region.toll_free,
        region.shared_cost,
        region.voip,
        region.personal_number,
        region.pager,
        region.uan,
        region.voicemail,
    )


def _pattern(kind: PhoneNumberDesc | None, length: int) -> str | None:
    """Return the pattern of a kind of number, None if it has no numbers of this length."""
    if kind is None or not kind.national_number_pattern:
        return None
    if kind.possible_length and length not in kind.possible_length:
        return None
    return f"(?:{kind.national_number_pattern})"
