"""How fast a lane goes, and how long it rests."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgate.domain.pace import LATE_MS, Breaker, Pace

START = 1_767_225_600_000


def starts(pace: Pace, during_ms: int) -> list[int]:
    """When a lane with endless work begins it, on a clock of whole milliseconds."""
    now, found = START, []
    while now < START + during_ms:
        if (wait := pace.wait(now)) > 0:
            now += max(1, round(wait))
        else:
            pace.start(now)
            found.append(now)
    return found


def test_a_lane_without_a_rate_never_waits() -> None:
    pace = Pace()
    for _ in range(1000):
        assert pace.wait(START) == 0
        pace.start(START)


@given(st.floats(0.5, 5000), st.integers(1_000, 5_000))
@settings(max_examples=40)
def test_no_stretch_of_time_holds_more_starts_than_the_rate_allows(
    rate: float, during_ms: int
) -> None:
    times = starts(Pace(rate), during_ms)
    for span in (1_000, during_ms):
        # Beside them the first, those of a begun millisecond, and what was late.
        most = rate * (span + 1 + LATE_MS) / 1000 + 1
        first = 0
        for place, at in enumerate(times):
            while times[first] <= at - span:
                first += 1
            assert place - first + 1 <= most


@pytest.mark.parametrize("rate", [1, 7.5, 60, 250, 999, 1_000, 1_001, 5_000, 50_000])
def test_endless_work_goes_as_fast_as_the_rate_allows(rate: float) -> None:
    assert len(starts(Pace(rate), 10_000)) >= rate * 10 * 0.99


def test_starts_are_spread_evenly() -> None:
    assert starts(Pace(4), 1_000) == [START, START + 250, START + 500, START + 750]


def test_a_timer_that_rings_late_costs_nothing() -> None:
    pace = Pace(100)
    pace.start(START)
    pace.start(START + 14)  # due at 10
    assert pace.wait(START + 14) == 6


def test_a_quiet_hour_saves_nothing_up() -> None:
    pace = Pace(10)
    pace.start(START)
    later = START + 3_600_000
    pace.start(later)
    assert pace.wait(later) == 100


def fail(breaker: Breaker, times: int, now: int = START) -> list[bool]:
    return [breaker.failed(now) for _ in range(times)]


def test_the_fifth_failure_in_a_row_begins_a_rest_of_five_seconds() -> None:
    breaker = Breaker()
    assert fail(breaker, 5) == [False] * 4 + [True]
    assert breaker.suspect
    assert breaker.rests(START + 4_999)
    assert not breaker.rests(START + 5_000)


def test_a_success_in_between_begins_the_count_anew() -> None:
    breaker = Breaker()
    fail(breaker, 4)
    assert not breaker.succeeded()
    assert fail(breaker, 4) == [False] * 4
    assert not breaker.suspect


def test_each_failed_trial_doubles_the_rest_up_to_five_minutes() -> None:
    breaker, now, rests = Breaker(), START, []
    fail(breaker, 4)
    for _ in range(12):
        assert breaker.failed(now)
        rests.append(breaker.resting_until - now)
        now = breaker.resting_until
    assert rests == [5_000, 10_000, 20_000, 40_000, 80_000, 160_000] + [300_000] * 6


def test_a_hundred_failures_at_once_are_one_bad_moment() -> None:
    """They were under way together: the trial after the rest is the next news."""
    breaker = Breaker()
    assert sum(fail(breaker, 100)) == 1
    assert breaker.resting_until == START + 5_000
    assert breaker.failed(START + 5_000)
    assert breaker.resting_until == START + 15_000


def test_a_successful_trial_ends_the_rest_and_says_so_once() -> None:
    breaker = Breaker()
    fail(breaker, 6)
    assert breaker.succeeded()
    assert not breaker.suspect
    assert not breaker.rests(START)
    assert not breaker.succeeded()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400_000)), max_size=60))
@settings(max_examples=200)
def test_no_rest_is_longer_than_five_minutes_and_only_the_suspect_rest(
    news: list[tuple[bool, int]],
) -> None:
    breaker = Breaker()
    times = accumulate((gap for _, gap in news), initial=START)
    for (good, _), now in zip(news, times, strict=False):
        breaker.succeeded() if good else breaker.failed(now)
        assert breaker.resting_until <= now + 300_000
        assert breaker.suspect or not breaker.rests(now)
