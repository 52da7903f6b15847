"""Which language is chosen: Authgear's vectors, CLDR's neighbours, and what is no tag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.errors import Invalid
from textgate.domain.language import (
    LONGEST_TAG,
    Confidence,
    canonical_tag,
    choose,
    confidence,
    preferred_tags,
)

VECTORS = [  # B §7.5; the first candidate is the fallback
    ("", "en, ja, zh", "en"),
    ("ja-JP, en-US, zh-Hant-HK", "zh, en, ja", "ja"),
    ("zh-hk", "zh-TW, zh-HK, en-US", "zh-HK"),
    ("zh-Hant", "zh-CN, zh-HK, en-US", "zh-HK"),
    ("zh-Hant", "zh-CN, zh-HK, zh-TW, en-US", "zh-TW"),
    ("zh-Hant-HK", "zh-CN, zh-HK, zh-TW, en-US", "zh-HK"),
    ("zh-SG", "en-US, zh-CN, zh-HK, zh-TW", "zh-CN"),
    ("en-UK", "zh-CN, zh-HK, zh-TW, en-US", "en-US"),
    ("en", "en-HK, en-GB", "en-HK"),
    ("ja-JP, en-GB, zh-HK", "zh-HK, zh-TW, en-US", "en-US"),
]
MORE = [
    ("DE-ch", "en, de", "de"),
    ("de_CH", "en, de, de-CH", "de-CH"),
    ("zh_hant_hk", "en, zh-Hans, zh-Hant", "zh-Hant"),
    ("zh-MO", "en, zh-Hans, zh-Hant", "zh-Hant"),
    ("pt-BR", "en, pt-PT, pt", "pt"),
    ("pt-PT", "en, pt", "pt"),
    ("es-MX", "en, es", "es"),
    ("xx, fr", "en, fr", "fr"),
    ("*, fr", "en, fr", "fr"),
    ("und", "en, fr", "en"),
    ("th", "en, de, ja", "en"),
    ("gsw", "en, de", "de"),  # Swiss Germans read German
    ("de", "en, gsw", "en"),  # and not the other way round
    ("nb", "en, no", "no"),
    ("iw", "en, he", "he"),  # an old code
    ("in", "en, id", "id"),
    ("cmn-Hans-CN", "en, zh-Hans", "zh-Hans"),  # an overly narrow one
    ("zh-cmn-Hant", "en, zh-Hans, zh-Hant", "zh-Hant"),
    ("yue", "en, zh-Hans, zh-Hant", "zh-Hant"),
    ("zh-Hant", "en, zh-Hans", "zh-Hans"),  # the other script is better than another language
    ("ja-Latn-hepburn", "en, de", "en"),
    ("sr-Latn", "en, sr", "sr"),
    ("fr-u-ca-gregory", "en, fr", "fr"),
    ("en-US", "en, en-US", "en-US"),  # they mean the same; the very tag wins
]


def tags(words: str) -> list[str]:
    return [word for word in words.split(", ") if word]


@pytest.mark.parametrize(("preferred", "candidates", "chosen"), [*VECTORS, *MORE])
def test_the_language_that_serves_the_reader_best_is_chosen(
    preferred: str, candidates: str, chosen: str
) -> None:
    offered = tags(candidates)
    assert (choose(preferred_tags(tags(preferred)), offered) or offered[0]) == chosen


@pytest.mark.parametrize(
    ("wanted", "offered", "level"),
    [
        ("de", "de", Confidence.SAME),
        ("en", "en-US", Confidence.EXACT),
        ("zh-TW", "zh-Hant", Confidence.EXACT),
        ("en-UK", "en-GB", Confidence.EXACT),
        ("en", "en-GB", Confidence.HIGH),
        ("id", "ms", Confidence.HIGH),
        ("da", "nb", Confidence.HIGH),
        ("zh-Hant", "zh-Hans", Confidence.LOW),
        ("zh-Hans", "zh-Hant", Confidence.LOW),
        ("ca", "es", Confidence.LOW),
        ("sr-Latn", "sr-Cyrl", Confidence.LOW),
        ("bs-Cyrl", "sr-Latn", Confidence.LOW),  # by what is said of Serbian
        ("en-Cyrl", "en", Confidence.NO),
        ("fr", "de", Confidence.NO),
        ("xx", "xx-YY", Confidence.HIGH),
        ("xx", "yy", Confidence.NO),
        ("en", "und", Confidence.NO),
    ],
)
def test_a_text_serves_as_well_as_its_weakest_part(
    wanted: str, offered: str, level: Confidence
) -> None:
    assert confidence(wanted, offered) is level


def test_of_equal_candidates_the_earlier_is_chosen() -> None:
    assert choose(("en",), ("en-GB", "en-AU")) == "en-GB"
    assert choose(("en",), ("en-AU", "en-GB")) == "en-AU"
    assert choose(("en",), ()) is None


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        ("EN", "en"),
        ("pt_br", "pt-BR"),
        ("ZH-hant-hk", "zh-Hant-HK"),
        ("es-419", "es-419"),
        (" de-ch-1901 ", "de-CH-1901"),
        ("sl-ROZAJ-biske", "sl-rozaj-biske"),
        ("en-X-US-Team", "en-x-us-team"),
    ],
)
def test_a_tag_gets_its_usual_spelling(written: str, tag: str) -> None:
    assert canonical_tag(written) == tag


@pytest.mark.parametrize(
    "text", ["", "e", "*", "en--US", "en-", "de-waytoolongsubtag", "日本", "en-" + "a-" * 20 + "b"]
)
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        canonical_tag(text)
    assert refused.value.field == "language"


def test_preferences_are_one_tag_or_several_without_what_is_none() -> None:
    assert preferred_tags(None) == ()
    assert preferred_tags("de_ch") == ("de-CH",)
    assert preferred_tags(["*", "", "fr", "not a tag"]) == ("fr",)


@pytest.mark.parametrize("wanted", [["de"] * 11, ["a" * (LONGEST_TAG + 1)]])
def test_preferences_are_bounded(wanted: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        preferred_tags(wanted)
    assert refused.value.field == "language"


SUBTAG = st.text("abcdefhilnstzuk0123456789", min_size=1, max_size=8)


@given(st.lists(st.lists(SUBTAG, min_size=1, max_size=4).map("-".join), max_size=5))
def test_any_preference_chooses_a_candidate_or_none(wanted: list[str]) -> None:
    candidates = ("en", "zh-Hans", "zh-Hant", "sr-Latn")
    within = [tag for tag in wanted if len(tag) <= LONGEST_TAG]
    assert choose(preferred_tags(within), candidates) in (None, *candidates)


@given(st.lists(SUBTAG, min_size=1, max_size=4).map("-".join))
def test_a_tag_spelt_again_stays_as_it_is_and_serves_itself(text: str) -> None:
    try:
        tag = canonical_tag(text)
    except Invalid:
        return
    assert canonical_tag(tag.upper()) == tag
    assert confidence(tag, tag) is Confidence.SAME
