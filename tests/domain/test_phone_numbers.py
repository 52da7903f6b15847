"""Phone numbers: what is accepted, what is refused and why, and that nothing prints one whole."""

import random
from collections.abc import Iterator
from dataclasses import FrozenInstanceError

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from textgate.domain.errors import Invalid
from textgate.domain.phone import PhoneNumber, canonical, mask, parse_phone

INVALID = "invalid phone number"
NOT_MOBILE = "not mobile phone number"


def by_the_library(text: str, region: str | None = None) -> str:
    """What the library alone says: the E.164 form, or the error (A §2.1)."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return "failed to parse phone number"
    if not phonenumbers.is_valid_number(number):
        return INVALID
    kind = phonenumbers.number_type(number)
    if kind not in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE):
        return NOT_MOBILE
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def by_textgate(text: str, region: str | None = None) -> str:
    try:
        return parse_phone(text, default_region=region).e164
    except Invalid as error:
        return error.message.split(":")[0]


def sender_by_the_library(text: str) -> str:
    """What the library alone says of who wrote: a valid number as E.164, else the text itself."""
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return text
    if not phonenumbers.is_valid_number(number):
        return text
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def test_a_number_is_kept_as_e164() -> None:
    assert parse_phone("+41 79 000 00 01", default_region=None) == PhoneNumber("+41790000001")
    assert parse_phone("+41790000001", default_region=None) == PhoneNumber("+41790000001")


def test_a_national_number_is_read_with_the_default_region() -> None:
    assert parse_phone("079 000 00 01", default_region="CH") == PhoneNumber("+41790000001")


def test_a_national_number_without_a_default_region_names_the_setting() -> None:
    with pytest.raises(Invalid, match="TEXTGATE_DEFAULT_REGION") as caught:
        parse_phone("079 000 00 01", default_region=None)
    assert caught.value.field == "phoneNumbers"
    assert caught.value.message.startswith("failed to parse phone number: ")


@pytest.mark.parametrize("text", ["+999123456789", "+0790000001", "\uff0b999123456789"])
def test_an_unknown_calling_code_is_not_blamed_on_the_default_region(text: str) -> None:
    with pytest.raises(Invalid, match="failed to parse phone number: ") as caught:
        parse_phone(text, default_region=None)
    assert "TEXTGATE_DEFAULT_REGION" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "failed to parse phone number"),
        ("+", "failed to parse phone number"),
        ("hello", "failed to parse phone number"),
        ("+4179", INVALID),
        ("+417900000012", INVALID),
        ("+41443643532", NOT_MOBILE),  # a landline
        ("+41800123456", NOT_MOBILE),  # toll-free
        ("+" + "4" * 300, "failed to parse phone number"),
    ],
)
def test_a_number_that_cannot_receive_an_sms_is_refused(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_phone(text, default_region=None)
    assert caught.value.message.split(":")[0] == message
    assert caught.value.field == "phoneNumbers"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+41790000001", "+41…01"),
        ("0790000001", "079…01"),
        ("+2905123", "…"),  # too short to hide enough
        ("8000", "…"),
        ("$aes-256-cbc/pbkdf2-sha1$i=75000$obSTW6==$g3QFAC9C==", "…"),
        ("", "…"),
    ],
)
def test_a_masked_number_shows_its_ends_or_nothing(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_a_number_masks_itself_wherever_it_is_printed() -> None:
    number = PhoneNumber("+41790000001")
    assert [str(number), repr(number), f"{number}", f"{[number]}"] == ["+41…01"] * 3 + ["[+41…01]"]


def test_a_number_is_a_value() -> None:
    number = PhoneNumber("+41790000001")
    assert {number, PhoneNumber("+41790000001")} == {number}
    with pytest.raises(FrozenInstanceError):
        number.e164 = "+41790000002"  # type: ignore[misc]


# The short way must never differ from the library: every kind of number of every region, and what
# typing errors make of them.

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CALLING_CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


def examples() -> Iterator[str]:
    numbers = [
        phonenumbers.example_number_for_type(region, kind)
        for region in REGIONS
        for kind in PhoneNumberType.values()
    ]
    numbers += [phonenumbers.invalid_example_number(region) for region in REGIONS]
    numbers += [phonenumbers.example_number_for_non_geo_entity(code) for code in CALLING_CODES]
    for number in numbers:
        if number is not None:
            yield phonenumbers.format_number(number, PhoneNumberFormat.E164)


def mutations(text: str, dice: random.Random) -> Iterator[str]:
    """The number, and what it becomes with digits changed, dropped, doubled or put before it."""
    yield text
    yield text[1:]  # national, or nonsense
    for _ in range(4):
        at = dice.randrange(1, len(text))
        yield text[:at] + str(dice.randrange(10)) + text[at + 1 :]
    at = dice.randrange(1, len(text))
    yield text[:at] + text[at + 1 :]
    yield text[:at] + text[at] + text[at:]
    code = dice.choice(CALLING_CODES)
    yield f"+{code}{text[3:]}"
    yield f"{text[:3]}0{text[3:]}"
    yield f"{text[:-4]}{dice.randrange(10_000):04}"


def test_the_short_way_and_the_library_agree_on_every_kind_of_number() -> None:
    dice = random.Random(20_260_801)
    texts = {m for text in sorted(set(examples())) for m in mutations(text, dice)}
    said = {text: (by_textgate(text), by_the_library(text)) for text in texts}
    assert {text: pair for text, pair in said.items() if pair[0] != pair[1]} == {}
    senders = {text: (canonical(text, None), sender_by_the_library(text)) for text in texts}
    assert {text: pair for text, pair in senders.items() if pair[0] != pair[1]} == {}
    accepted = sum(ours.startswith("+") for ours, _ in said.values())
    assert len(said) > 8_000
    assert accepted > 1_000  # the agreement is not about refusals alone


def test_the_usual_spelling_of_a_mobile_number_takes_the_short_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mobiles = [phonenumbers.example_number_for_type(r, PhoneNumberType.MOBILE) for r in REGIONS]
    texts = [phonenumbers.format_number(n, PhoneNumberFormat.E164) for n in mobiles if n]
    texts = [text for text in texts if by_the_library(text) == text]
    assert len(texts) > 200

    def never(*_: object) -> None:
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(phonenumbers, "parse", never)
    assert [by_textgate(text) for text in texts] == texts
    assert [canonical(text, None) for text in texts] == texts


@given(
    st.sampled_from(CALLING_CODES),
    st.text("0123456789", max_size=16),
    st.sampled_from([None, "CH", "US", "AR", "GG"]),
)
def test_the_short_way_and_the_library_agree_on_any_digits(
    code: int, rest: str, region: str | None
) -> None:
    text = f"+{code}{rest}"
    assert by_textgate(text, region) == by_the_library(text, region)


@given(st.text("+0123456789 ()-x;\uff0b\uff10\u0661", max_size=20))
def test_the_short_way_and_the_library_agree_on_any_spelling(text: str) -> None:
    assert by_textgate(text) == by_the_library(text)
