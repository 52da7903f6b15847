"""What is hidden in the texts of an attempt, and what stays readable."""

import base64
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.masking import LONGEST_SENT
from textgate.domain.redaction import Redaction

NUMBER = "+4915112345678"
TEXT = "731904 is your code for the Harbour Shop\n"
LINK_CODE = "K7QH2M9T4XW0RZB6"
SECRET = "sk_live_9f/8&7e"
SENT = (NUMBER, TEXT, LINK_CODE, "Harbour Shop")

redact = Redaction(SENT, [SECRET, "abc"])


def shown(text: str, limit: int = 500) -> str:
    return redact(text, limit)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("to +4915112345678 now", "to … now"),
        ("to 0151 1234-5678", "to …"),
        ("+49 (151) 123 456 78", "+…"),
        ("code 731904!", "code …!"),
        ("731-904", "…"),
        (f"link ?code={LINK_CODE.lower()}", "link ?code=…"),
        ("he said: is your code for the HARBOUR shop, well", "he said:…, well"),
        ("error 21211 on 2026-05-06, 17 ms", "error 21211 on 2026-05-06, 17 ms"),
        ("your code, ok?", "your code, ok?"),  # shorter than a quotation
        ("two\nlines\tand \x1b[31mred\x00", "two\nlines\tand  [31mred "),
    ],
)
def test_what_repeats_the_message_is_hidden_and_the_rest_stays(text: str, wanted: str) -> None:
    assert shown(text) == wanted


def basic(user: str) -> str:
    return base64.b64encode(f"{user}:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"key {SECRET}",
        f"https://api.example.com/?k={quote(SECRET, safe='')}",
        f"https://api.example.com/{quote(SECRET, safe='/&')}/send",
        '{"k":"' + SECRET.replace("/", "\\/") + f'","l":"{SECRET}"}}',
        *(f"Basic {basic(user)}" for user in ("a", "ab", "abc", "account-sid")),
    ],
)
def test_a_secret_is_hidden_however_it_is_written(text: str) -> None:
    said = shown(text)
    assert SECRET not in said
    assert "…" in said
    kept = said.rpartition("Basic ")[2].partition("…")[0]
    if "Basic" in said:  # what is left of it does not hold the middle of the secret
        assert b"live" not in base64.b64decode(kept[: len(kept) // 4 * 4])


@pytest.mark.parametrize(
    "written",
    [
        "a%20b%2Fc~d*e'f%26g",  # encodeURIComponent
        "a+b%2Fc%7Ed*e%27f%26g",  # URLSearchParams
        "/a%20b/c~d*e'f&g",  # new URL(…).pathname
    ],
)
def test_a_secret_is_hidden_as_each_function_of_a_script_writes_it(written: str) -> None:
    assert Redaction((), ["a b/c~d*e'f&g"])(f"<{written}>", 100) in ("<…>", "</…>")


def test_of_what_is_said_to_a_very_long_message_nothing_is_shown() -> None:
    hides = Redaction(["x" * LONGEST_SENT, "y"], ())
    assert hides("spam", 100) == "…"
    assert hides("", 100) == ""


def test_what_is_too_short_to_be_a_secret_is_not_looked_for() -> None:
    assert shown("abc, abcd") == "abc, abcd"


def test_a_secret_with_quotes_and_letters_of_other_scripts_is_hidden_in_json() -> None:
    hidden = Redaction((), ['pass"wörd\\'])
    assert hidden('{"p":"pass\\"wörd\\\\"}', 100) == '{"p":"…"}'
    assert hidden('{"p":"pass\\"w\\u00f6rd\\\\"}', 100) == '{"p":"…"}'


@pytest.mark.parametrize("text", ["x" * 100, "ü" * 60, "😀" * 40, "x" * 31 + "ü"])
def test_a_text_is_cut_to_so_many_bytes_between_letters(text: str) -> None:
    cut = shown(text, 32)
    assert len(cut.encode()) <= 32
    assert cut.endswith("…")
    assert text.startswith(cut[:-1])


def test_a_text_that_fits_is_not_cut() -> None:
    assert shown("ü" * 16, 32) == "ü" * 16


def test_a_secret_at_the_edge_is_hidden_before_the_cut() -> None:
    assert SECRET[:6] not in shown("x" * 25 + SECRET, 32)


@pytest.mark.parametrize("before", range(len(SECRET) + 1))
def test_of_many_secrets_none_is_shown_in_part(before: int) -> None:
    text = "x" * before + SECRET * 100
    assert set(shown(text, 40)) <= {"x", "…"}
    assert set(redact.without_secrets(text, 40)) <= {"x", "…"}


def test_what_is_not_shown_is_not_searched() -> None:
    """An account may make its secrets and its results as large as it is allowed to."""
    hundred = Redaction((), (f"{n:03}" + 'aé/ %"' * 1_100 for n in range(100)))
    began = time.process_time()
    assert hundred("aé" * (1 << 19), 1_500).endswith("aé…")
    assert time.process_time() - began < 0.12


def test_another_message_has_the_same_secrets() -> None:
    other = redact.of(["+41791112233"])
    assert other(f"{SECRET} +41791112233 {NUMBER}", 500) == f"… … {NUMBER}"


@given(st.text(max_size=200), st.lists(st.text(max_size=40), max_size=3), st.integers(8, 100))
def test_any_text_can_be_shown_and_no_sent_word_of_digits_stays(
    text: str, sent: list[str], limit: int
) -> None:
    said = Redaction([*sent, NUMBER], sent)(f"{text} {NUMBER[1:]}", limit)
    assert len(said.encode()) <= limit
    assert NUMBER[1:] not in said
