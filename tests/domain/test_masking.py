"""What a far side says, made fit for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.masking import DETAIL_LIMIT, mask_digits, mask_echo, repeats


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("", ""),
        ("code 123", "code 123"),
        ("code 1234!", "code …!"),
        ("to +4915112345678.", "to …."),
        ("to +49 (151) 123-45678 failed", "to … failed"),
        ("٠١٢٣٤", "…"),
        ("two\r\nlines\0 \x7f end ", "two lines end"),
        ("1 2 3", "1 2 3"),
    ],
)
def test_runs_of_four_digits_are_hidden_however_they_are_grouped(said: str, shown: str) -> None:
    assert mask_digits(said) == shown


def test_a_long_text_is_cut_and_says_so() -> None:
    shown = mask_digits("word " * 100_000)
    assert len(shown) == DETAIL_LIMIT
    assert shown.endswith("…")
    assert mask_digits("wordy", 4) == "wor…"


SENT = ["+4915112345678", "Harbour Shop: your Code is\nKw3vTe, valid 5 minutes", "s3cr"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("spam", "spam"),
        ("the code is wrong", "the code is wrong"),
        ("refused: 'YOUR CODE IS KW3VTE'", "refused: '…'"),
        ("harbour shop: yours is on a list", "…s is on a list"),
        ("kw3vte is refused", "… is refused"),
        ("Kw3vTeX is another word", "Kw3vTeX is another word"),
        ("a secret: S3CR", "a secret: …"),
    ],
)
def test_what_is_repeated_of_the_message_is_hidden(said: str, shown: str) -> None:
    assert mask_echo(said, SENT) == shown


def test_a_code_that_was_part_of_the_message_is_known() -> None:
    assert repeats("kw3vte ", SENT)
    assert repeats("4915112345678", SENT)
    assert not repeats("30007", SENT)
    assert not repeats("is", SENT)


@given(st.text(max_size=300), st.lists(st.text(max_size=60), max_size=3))
def test_any_text_becomes_one_short_line_that_repeats_no_long_passage(
    said: str, sent: list[str]
) -> None:
    shown = mask_echo(said, sent)
    assert len(shown) <= DETAIL_LIMIT
    assert "\n" not in shown
    for original in sent:
        line = " ".join(original.split())
        assert not any(line[n : n + 12] in shown for n in range(len(line) - 11))


@given(st.text(max_size=80), st.integers(1_000, 10**15), st.text(max_size=80))
def test_no_number_survives(before: str, number: int, after: str) -> None:
    assert str(number) not in mask_digits(f"{before}{number}{after}")
