"""The life of a message: a table that is whole, and what no order of arrivals can break."""

from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgate.domain.event import EVENT_OF_STATE, TIME_MEMBER
from textgate.domain.lifecycle import FINAL, OPEN, Signal, State, advance, aggregate

signals = st.lists(st.sampled_from(Signal), max_size=12)
states = st.lists(st.sampled_from(State), min_size=1, max_size=8)

PENDING, PROCESSED, SENT = State.PENDING, State.PROCESSED, State.SENT
DELIVERED, FAILED = State.DELIVERED, State.FAILED
CANCELLING, CANCELLED = State.CANCELLING, State.CANCELLED

# Rows: from. Columns: taken, sent, delivered, failed, expired, cancel asked, cancelled. A blank
# leaves the state as it is.
TABLE = {
    PENDING: (PROCESSED, SENT, DELIVERED, FAILED, FAILED, CANCELLING, CANCELLED),
    PROCESSED: (None, SENT, DELIVERED, FAILED, FAILED, CANCELLING, CANCELLED),
    CANCELLING: (None, SENT, DELIVERED, FAILED, FAILED, None, CANCELLED),
    SENT: (None, None, DELIVERED, FAILED, None, None, None),
    DELIVERED: (None,) * 7,
    FAILED: (None, None, DELIVERED, None, None, None, None),
    CANCELLED: (None,) * 7,
}


def life(arrivals: list[Signal], start: State = PENDING) -> list[State]:
    return list(accumulate(arrivals, advance, initial=start))


@pytest.mark.parametrize("state", State)
def test_each_signal_moves_each_state_as_the_table_says(state: State) -> None:
    wants = [to or state for to in TABLE[state]]
    assert [advance(state, signal) for signal in Signal] == wants


def test_a_state_is_either_open_or_settled() -> None:
    assert set(State) - OPEN - FINAL == {SENT}  # nothing is owed, and a receipt may still come
    assert not OPEN & FINAL


@given(signals, st.sampled_from(State))
@settings(max_examples=200)
def test_a_final_state_stays_final_whatever_arrives_later(
    arrivals: list[Signal], start: State
) -> None:
    for before, after in pairwise(life(arrivals, start)):
        if before in FINAL:
            assert after is before or (before, after) == (FAILED, DELIVERED)


@given(signals)
@settings(max_examples=200)
def test_a_late_delivered_overturns_failed_and_nothing_overturns_delivered(
    arrivals: list[Signal],
) -> None:
    assert life([Signal.FAILED, *arrivals, Signal.DELIVERED])[-1] is DELIVERED
    assert set(life(arrivals, DELIVERED)) == {DELIVERED}


@given(signals)
@settings(max_examples=200)
def test_a_cancelled_message_stays_cancelled(arrivals: list[Signal]) -> None:
    assert set(life(arrivals, CANCELLED)) == {CANCELLED}


@given(signals)
@settings(max_examples=200)
def test_no_life_walks_in_a_circle(arrivals: list[Signal]) -> None:
    steps = [to for was, to in pairwise(life(arrivals)) if was is not to]
    assert len(steps) == len(set(steps))
    assert PENDING not in steps


@given(signals, st.sampled_from(Signal), st.integers(0, 12))
@settings(max_examples=200)
def test_a_repeated_signal_changes_nothing(
    arrivals: list[Signal], repeated: Signal, place: int
) -> None:
    before, after = arrivals[:place], arrivals[place:]
    assert life([*before, repeated, repeated, *after])[-1] is life([*before, repeated, *after])[-1]


@pytest.mark.parametrize("state", sorted(OPEN))
def test_an_open_state_ends_by_its_deadline_at_the_latest(state: State) -> None:
    assert advance(state, Signal.EXPIRED) is FAILED


@pytest.mark.parametrize(
    ("of", "shows"),
    [
        ([PENDING], PENDING),
        ([SENT, PENDING, CANCELLING, CANCELLED, PROCESSED, FAILED, DELIVERED], PENDING),
        ([SENT, CANCELLING, CANCELLED, PROCESSED, FAILED, DELIVERED], CANCELLING),
        ([SENT, CANCELLED, PROCESSED, FAILED, DELIVERED], CANCELLED),
        ([SENT, PROCESSED, FAILED, DELIVERED], PROCESSED),
        ([FAILED, FAILED], FAILED),
        ([DELIVERED, DELIVERED], DELIVERED),
        ([DELIVERED, FAILED], SENT),
        ([SENT, FAILED], SENT),
        ([SENT, DELIVERED], SENT),
        ([SENT], SENT),
    ],
)
def test_a_message_shows_the_first_that_matches(of: list[State], shows: State) -> None:
    """The order of A §2.9."""
    assert aggregate(of) is shows


@given(states, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_the_order_and_number_of_equal_recipients_do_not_matter(
    of: list[State], chance: Random
) -> None:
    shuffled = [*of, *of]
    chance.shuffle(shuffled)
    assert aggregate(shuffled) is aggregate(of)


@given(st.sampled_from(State))
def test_a_message_to_one_number_shows_that_numbers_state(state: State) -> None:
    assert aggregate([state]) is state


def test_an_announced_state_has_an_event_and_the_name_of_its_time() -> None:
    assert set(EVENT_OF_STATE) == FINAL | {SENT}
    assert set(TIME_MEMBER) == set(EVENT_OF_STATE.values())
