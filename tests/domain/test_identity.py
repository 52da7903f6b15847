"""Ids sort by time, and keep to the alphabet that the clients know."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from textgate.domain.identity import ENTROPY_BYTES, LATEST_MS, is_id, make_id

times = st.integers(0, LATEST_MS)
entropies = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)


@given(times, entropies)
def test_an_id_has_21_characters_that_need_no_escape(now: int, entropy: bytes) -> None:
    made = make_id(now, entropy)
    assert re.fullmatch(r"[A-Za-z0-9_-]{21}", made)
    assert is_id(made)


@given(times, entropies, times, entropies)
@settings(max_examples=300)
def test_a_later_id_sorts_after_an_earlier_one(
    one: int, entropy: bytes, other: int, more: bytes
) -> None:
    if one != other:
        assert (make_id(one, entropy) < make_id(other, more)) == (one < other)


@given(times, entropies)
def test_nothing_sorts_before_the_id_without_entropy(now: int, entropy: bytes) -> None:
    """A filter by time asks for ids from this one on."""
    assert make_id(now, bytes(ENTROPY_BYTES)) <= make_id(now, entropy)


@given(times, entropies)
def test_each_of_78_bits_tells_two_ids_of_a_millisecond_apart(now: int, entropy: bytes) -> None:
    one, number = make_id(now, entropy), int.from_bytes(entropy)
    for bit in range(80):
        other = make_id(now, (number ^ 1 << bit).to_bytes(ENTROPY_BYTES))
        assert (one == other) == (bit < 2), f"bit {bit}"


def test_a_time_beyond_all_ids_is_no_error() -> None:
    assert make_id(2**60, bytes(ENTROPY_BYTES)) == make_id(LATEST_MS, bytes(ENTROPY_BYTES))
