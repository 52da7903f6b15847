"""Retry schedules: exact where they are promised, bounded where chance is let in."""

from datetime import timedelta
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.retry import MESSAGE_POLICY, RetryPolicy, webhook_policy

dice = st.integers(0, 999).map(lambda n: n / 1000)
jitters = st.integers(0, 100).map(lambda n: n / 100)
waits = st.lists(st.integers(0, 10**8), max_size=6).map(
    lambda ms: tuple(timedelta(milliseconds=n) for n in ms)
)


def seconds(policy: RetryPolicy, dice: float = 0.5) -> list[float]:
    found, attempt = [], 1
    while (wait := policy.wait(attempt, dice)) is not None:
        found.append(wait.total_seconds())
        attempt += 1
    return found


def test_a_webhook_is_called_again_after_10_20_40_seconds_doubling_fourteen_times() -> None:
    assert seconds(webhook_policy()) == [
        10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 40960, 81920,
    ]  # fmt: skip


def test_the_webhook_schedule_lasts_as_long_as_the_documentation_says() -> None:
    assert sum(seconds(webhook_policy())) == 163_830  # A §4.7, first row: about 45.5 hours


@given(st.integers(0, 30))
def test_any_number_of_retries_doubles_from_ten_seconds(retries: int) -> None:
    assert seconds(webhook_policy(retries)) == [10 * 2**n for n in range(retries)]


@given(st.integers(0, 30), dice)
def test_without_jitter_chance_changes_nothing(retries: int, rolled: float) -> None:
    policy = webhook_policy(retries)
    assert seconds(policy, rolled) == seconds(policy, 0.0)


def test_a_message_is_tried_again_after_the_documented_waits() -> None:
    assert seconds(MESSAGE_POLICY) == [5, 30, 120, 600, 3600]


@given(waits, jitters, dice)
def test_jitter_stays_within_its_share_either_way(
    plain: tuple[timedelta, ...], jitter: float, rolled: float
) -> None:
    policy = RetryPolicy(plain, jitter)
    for attempt, wait in enumerate(plain, start=1):
        got = policy.wait(attempt, rolled)
        assert got is not None
        # A timedelta is kept in whole microseconds.
        assert abs(got - wait) <= wait * jitter + timedelta(microseconds=1)
        assert got >= timedelta(0)


@given(waits, st.integers(1, 100), dice)
def test_a_policy_waits_as_often_as_it_has_waits_and_then_gives_up(
    plain: tuple[timedelta, ...], attempt: int, rolled: float
) -> None:
    got = RetryPolicy(plain).wait(attempt, rolled)
    assert got == (plain[attempt - 1] if attempt <= len(plain) else None)


@given(
    st.integers(2, 30), st.integers(0, 33).map(lambda n: n / 100), st.randoms(use_true_random=False)
)
def test_a_doubling_schedule_grows_even_with_a_third_of_jitter(
    retries: int, jitter: float, chance: Random
) -> None:
    policy = webhook_policy(retries, jitter)
    got = [policy.wait(n + 1, chance.random()) for n in range(retries)]
    assert all(a is not None and b is not None and a < b for a, b in pairwise(got))


@given(waits, jitters, dice)
def test_the_higher_the_dice_the_longer_the_wait(
    plain: tuple[timedelta, ...], jitter: float, rolled: float
) -> None:
    policy = RetryPolicy(plain, jitter)
    for attempt in range(1, len(plain) + 1):
        low, high = policy.wait(attempt, 0.0), policy.wait(attempt, rolled)
        assert low is not None
        assert high is not None
        assert low <= high
