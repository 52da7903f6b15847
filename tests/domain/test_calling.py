"""What follows from calling a webhook (A §4.6, §4.7)."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgate.domain.calling import Again, Dead, Disable, Told, Verdict, judge
from textgate.domain.retry import webhook_policy

POLICY = webhook_policy()
failures = st.none() | st.integers(100, 599).filter(lambda s: not 200 <= s < 300 and s != 410)


def after(status: int | None, retry_after_s: int | None = None, attempt: int = 1) -> Verdict:
    return judge(status, retry_after_s, POLICY, attempt=attempt, dice=0.5)


@pytest.mark.parametrize("attempt", [1, 15, 100])
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success_however_late(status: int, attempt: int) -> None:
    assert after(status, attempt=attempt) == Told()


@pytest.mark.parametrize("status", [None, 100, 301, 302, 307, 400, 401, 404, 409, 429, 500, 503])
def test_everything_else_is_called_again_redirects_too(status: int | None) -> None:
    assert after(status) == Again(timedelta(seconds=10))


@pytest.mark.parametrize("attempt", [1, 14, 15])
def test_410_ends_the_calls(attempt: int) -> None:
    assert after(410, attempt=attempt) == Disable()


@given(failures, st.none() | st.integers(0, 10**6))
@settings(max_examples=200)
def test_fifteen_failures_are_the_end(status: int | None, retry_after_s: int | None) -> None:
    verdicts = [after(status, retry_after_s, attempt) for attempt in range(1, 16)]
    assert all(isinstance(verdict, Again) for verdict in verdicts[:14])
    assert verdicts[14] == Dead()


@given(st.sampled_from([429, 503]), st.none() | st.integers(0, 10**6), st.integers(1, 14))
@settings(max_examples=200)
def test_retry_after_lengthens_a_wait_up_to_a_day_and_never_shortens_it(
    status: int, retry_after_s: int | None, attempt: int
) -> None:
    own = timedelta(seconds=10 * 2 ** (attempt - 1))
    asked = timedelta(seconds=min(retry_after_s or 0, 86_400))
    assert after(status, retry_after_s, attempt) == Again(max(own, asked))


@given(failures.filter(lambda s: s not in (429, 503)), st.integers(0, 10**6), st.integers(1, 14))
def test_retry_after_of_other_statuses_is_not_listened_to(
    status: int | None, retry_after_s: int, attempt: int
) -> None:
    assert after(status, retry_after_s, attempt) == after(status, None, attempt)
