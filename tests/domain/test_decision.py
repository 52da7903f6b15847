"""What follows from an outcome, for every outcome there is."""

from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgate.domain.decision import Decision, Finish, Reroute, Retry, decide
from textgate.domain.lifecycle import Signal
from textgate.domain.outcome import (
    BLAMES_THE_CHANNEL,
    Accepted,
    Deferred,
    Outcome,
    Reason,
    Rejected,
    Unknown,
)
from textgate.domain.retry import MESSAGE_POLICY, RetryPolicy

FIRST = timedelta(seconds=5)
blaming = sorted(BLAMES_THE_CHANNEL)
others_fault = sorted(set(Reason) - BLAMES_THE_CHANNEL)
both = [False, True]

spans = st.none() | st.timedeltas(timedelta(0), timedelta(days=2))
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Accepted, signal=st.sampled_from([Signal.SENT, Signal.DELIVERED, Signal.TAKEN])),
    st.builds(Deferred, st.sampled_from(Reason), after=spans),
    st.builds(Rejected, st.sampled_from(Reason)),
    st.builds(Unknown, st.sampled_from(Reason), after=spans),
)


def after(
    outcome: Outcome, *, attempt: int = 1, resend: bool = False, others: bool = False
) -> Decision:
    return decide(outcome, MESSAGE_POLICY, attempt=attempt, dice=0.5, resend=resend, others=others)


@pytest.mark.parametrize(("resend", "others"), list(product(both, both)))
@pytest.mark.parametrize("signal", [Signal.SENT, Signal.DELIVERED])
def test_what_was_accepted_is_finished(signal: Signal, resend: bool, others: bool) -> None:
    outcome = Accepted("ref", signal)
    assert after(outcome, resend=resend, others=others) == Finish(signal)


@pytest.mark.parametrize("resend", both)
@pytest.mark.parametrize("reason", blaming)
def test_a_refusal_that_blames_the_channel_tries_the_next_one(reason: Reason, resend: bool) -> None:
    refused = Rejected(reason)
    assert after(refused, resend=resend, others=True) == Reroute(reason)
    assert after(refused, resend=resend, others=False) == Finish(Signal.FAILED, reason)


@pytest.mark.parametrize(("resend", "others"), list(product(both, both)))
@pytest.mark.parametrize("reason", others_fault)
def test_a_refusal_that_blames_the_message_is_final(
    reason: Reason, resend: bool, others: bool
) -> None:
    assert after(Rejected(reason), resend=resend, others=others) == Finish(Signal.FAILED, reason)


@pytest.mark.parametrize("others", both)
@pytest.mark.parametrize("reason", Reason)
def test_what_may_be_out_already_never_goes_out_by_another_channel(
    reason: Reason, others: bool
) -> None:
    unknown = Unknown(reason)
    assert after(unknown, resend=False, others=others) == Finish(Signal.FAILED, reason)
    assert after(unknown, resend=True, others=others) == Retry(FIRST, reason)


@pytest.mark.parametrize("resend", both)
@pytest.mark.parametrize("reason", Reason)
def test_what_was_deferred_waits_or_goes_elsewhere(reason: Reason, resend: bool) -> None:
    deferred = Deferred(reason)
    assert after(deferred, resend=resend, others=False) == Retry(FIRST, reason)
    elsewhere = reason in BLAMES_THE_CHANNEL
    wants = Reroute(reason) if elsewhere else Retry(FIRST, reason)
    assert after(deferred, resend=resend, others=True) == wants


@pytest.mark.parametrize("outcome", [Deferred(Reason.TIMEOUT), Unknown(Reason.TIMEOUT)])
def test_after_the_last_wait_a_message_fails_with_its_reason(outcome: Outcome) -> None:
    waits = [after(outcome, attempt=n, resend=True) for n in range(1, 6)]
    assert [d.wait.total_seconds() for d in waits if isinstance(d, Retry)] == [
        5,
        30,
        120,
        600,
        3600,
    ]
    assert after(outcome, attempt=6, resend=True) == Finish(Signal.FAILED, Reason.TIMEOUT)


@given(spans, st.integers(1, 5))
@settings(max_examples=200)
def test_a_far_side_that_asks_for_time_lengthens_the_wait_and_never_shortens_it(
    asked: timedelta | None, attempt: int
) -> None:
    own = MESSAGE_POLICY.waits[attempt - 1]
    for outcome in (
        Deferred(Reason.RATE_LIMITED, after=asked),
        Unknown(Reason.TIMEOUT, after=asked),
    ):
        decision = after(outcome, attempt=attempt, resend=True)
        assert isinstance(decision, Retry)
        assert decision.wait == max(own, asked or own)


@given(
    outcomes, st.integers(1, 20), st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True)
)
@settings(max_examples=300)
def test_something_follows_from_everything(
    outcome: Outcome, attempt: int, resend: bool, others: bool, dice: float
) -> None:
    decision = decide(
        outcome, MESSAGE_POLICY, attempt=attempt, dice=dice, resend=resend, others=others
    )
    match decision:
        case Finish(signal=Signal.FAILED, reason=reason):
            assert reason is not None
        case Finish():
            assert isinstance(outcome, Accepted)
        case Retry(wait=wait):
            assert wait > timedelta(0)
            assert attempt <= len(MESSAGE_POLICY.waits)
        case Reroute():
            assert others
        case _:
            pytest.fail(f"nothing follows: {decision!r}")


@given(outcomes, st.integers(1, 20), st.booleans())
def test_without_waits_and_without_others_the_first_outcome_is_the_last_word(
    outcome: Outcome, attempt: int, resend: bool
) -> None:
    decision = decide(
        outcome, RetryPolicy(()), attempt=attempt, dice=0.0, resend=resend, others=False
    )
    assert isinstance(decision, Finish)
