"""How many SMS a text becomes: alphabets, limits, and characters that are never split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.segment import GSM_BASIC, GSM_EXTENSION, Segments, segments

GSM, UCS = "GSM-7", "UCS-2"


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("", Segments(GSM, 0, 1, 160)),
        ("Your code is 123456", Segments(GSM, 19, 1, 160)),
        (GSM_BASIC, Segments(GSM, 127, 1, 160)),
        ("a" * 160, Segments(GSM, 160, 1, 160)),
        ("a" * 161, Segments(GSM, 161, 2, 153)),
        ("a" * 306, Segments(GSM, 306, 2, 153)),
        ("a" * 307, Segments(GSM, 307, 3, 153)),
        ("Grüße, Ñandú à la carte", Segments(UCS, 23, 1, 70)),  # ú is not in the alphabet
        ("ж" * 70, Segments(UCS, 70, 1, 70)),
        ("ж" * 71, Segments(UCS, 71, 2, 67)),
        ("ж" * 134, Segments(UCS, 134, 2, 67)),
        ("ж" * 135, Segments(UCS, 135, 3, 67)),
        ("a`b", Segments(UCS, 3, 1, 70)),  # ASCII, and yet not in the alphabet
        ("a\tb", Segments(UCS, 3, 1, 70)),
        ("a\x1bb", Segments(UCS, 3, 1, 70)),  # the escape itself is no character
        ("ğ", Segments(UCS, 1, 1, 70)),  # a national shift table would hold it
        ("😀" * 35, Segments(UCS, 70, 1, 70)),
        ("\ud83d", Segments(UCS, 1, 1, 70)),  # half a pair: one unit
    ],
)
def test_a_text_is_counted_in_its_smallest_alphabet(text: str, wants: Segments) -> None:
    assert segments(text) == wants


@pytest.mark.parametrize("character", GSM_EXTENSION)
def test_a_character_of_the_extension_table_counts_two(character: str) -> None:
    assert segments(character) == Segments(GSM, 2, 1, 160)
    assert segments(character * 80) == Segments(GSM, 160, 1, 160)
    assert segments(character * 81) == Segments(GSM, 162, 2, 153)


def test_an_extended_character_is_not_split_over_two_parts() -> None:
    assert segments("a" * 152 + "€" + "b" * 152) == Segments(GSM, 306, 3, 153)
    assert segments("a" * 151 + "€" + "b" * 153) == Segments(GSM, 306, 2, 153)


def test_a_surrogate_pair_is_not_split_over_two_parts() -> None:
    assert segments("ж" * 66 + "😀" + "ж" * 66) == Segments(UCS, 134, 3, 67)
    assert segments("ж" * 65 + "😀" + "ж" * 67) == Segments(UCS, 134, 2, 67)


def test_a_pair_that_ends_the_text_fills_its_part() -> None:
    assert segments("a" * 304 + "€") == Segments(GSM, 306, 2, 153)
    assert segments("ж" * 132 + "😀") == Segments(UCS, 134, 2, 67)


def one_by_one(text: str) -> Segments:
    """The same count, done the slow and plain way."""
    gsm = set(text) <= set(GSM_BASIC + GSM_EXTENSION)
    single, several = (160, 153) if gsm else (70, 67)
    wide = [c in GSM_EXTENSION if gsm else ord(c) > 0xFFFF for c in text]
    units = sum(2 if w else 1 for w in wide)
    if units <= single:
        return Segments("GSM-7" if gsm else "UCS-2", units, 1, single)
    parts, used = 1, 0
    for w in wide:
        if used + 1 + w > several:
            parts, used = parts + 1, 0
        used += 1 + w
    return Segments("GSM-7" if gsm else "UCS-2", units, parts, several)


@given(st.text("ab€ж😀", max_size=330) | st.text("a€[", max_size=330) | st.text(max_size=150))
def test_the_count_is_that_of_going_character_by_character(text: str) -> None:
    assert segments(text) == one_by_one(text)


@given(st.text(st.sampled_from("ж😀"), min_size=60, max_size=300))
def test_every_unit_of_ucs2_is_one_of_utf16(text: str) -> None:
    assert segments(text).units == len(text.encode("utf-16-le")) // 2
