"""What a far side says, made fit for people."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.masking import (
    DETAIL_LIMIT,
    LONGEST_SENT,
    ONE_TIME,
    mask_digits,
    mask_echo,
    mask_one_time,
    repeats,
)


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


TOO_LONG = ["one word", "x" * LONGEST_SENT]


def test_who_answers_to_a_very_long_message_is_not_quoted() -> None:
    assert mask_echo("spam", TOO_LONG) == "…"
    assert mask_echo(" ", TOO_LONG) == ""
    assert mask_echo("spam", TOO_LONG[1:]) == "spam"
    assert repeats("30007", TOO_LONG)
    assert not repeats("30007", TOO_LONG[1:])
    assert not repeats("E1", TOO_LONG)


@pytest.mark.parametrize(
    "sent", [["x" * LONGEST_SENT], [f"variable {n:04}" for n in range(LONGEST_SENT // 13)]]
)
def test_no_message_takes_long_to_look_for(sent: list[str]) -> None:
    heard = " ".join(f"word{n}" for n in range(200))
    began = time.process_time()
    assert mask_echo(heard, sent)
    assert time.process_time() - began < 1  # and many times that where each pair is compared


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


VARIABLES = {"app_name": "Harbour", "code": "K7QH", "link": "https://h.example/r?code=K7QH", "n": 7}


def test_one_time_codes_are_hidden_among_the_variables_and_in_the_text() -> None:
    context = {"app_id": "shop", "template_variables": VARIABLES}
    text, shown = mask_one_time("Harbour: K7QH or https://h.example/r?code=K7QH now", context)
    assert text == "Harbour: … or … now"
    assert shown == {
        "app_id": "shop",
        "template_variables": {"app_name": "Harbour", "code": "…", "link": "…", "n": 7},
    }
    assert context["template_variables"] is VARIABLES
    assert VARIABLES["code"] == "K7QH", "what is stored stays as it is"


@pytest.mark.parametrize("name", sorted(ONE_TIME))
def test_each_variable_that_opens_something_is_hidden(name: str) -> None:
    text, shown = mask_one_time("say 4711", {"template_variables": {name: 4711}})
    assert (text, shown) == ("say …", {"template_variables": {name: "…"}})


@pytest.mark.parametrize(
    "context", [None, {}, {"code": "K7QH"}, {"template_variables": None}, {"template_variables": 1}]
)
def test_a_message_without_variables_has_no_code_that_could_be_told(context: Any) -> None:
    assert mask_one_time("K7QH", context) == ("K7QH", context)


def test_an_empty_code_hides_nothing_and_no_text_stays_none() -> None:
    empty = {"template_variables": {"code": "", "link": None}}
    assert mask_one_time("text", empty) == ("text", empty)
    assert mask_one_time(None, {"template_variables": {"code": "1"}})[0] is None
