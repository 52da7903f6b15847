"""Which phone carries a message: properties of the rules alone."""

import itertools
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.device import PhonePolicy
from textgate.domain.lifecycle import State
from textgate.domain.message import Message
from textgate.domain.phone_choice import (
    Burden,
    Candidate,
    in_turn,
    is_busy,
    move_on_at,
    ranked,
    takes_over,
)

NOW = 1_767_225_600_000
SINCE = NOW - 1_200_000
POLICY = PhonePolicy()

phones = st.lists(
    st.builds(
        Candidate,
        id=st.text("abc", min_size=1, max_size=6),
        last_seen=st.integers(NOW - 3_000_000, NOW),
        has_sim=st.booleans(),
        unfinished=st.integers(0, 3),
    ),
    max_size=8,
    unique_by=lambda phone: phone.id,
)


@given(phones, st.text("xyz", min_size=1, max_size=8))
def test_each_phone_has_one_place_whatever_the_order_they_were_found_in(
    found: list[Candidate], message_id: str
) -> None:
    order = ranked(found, message_id, heard_since=SINCE)
    assert sorted(p.id for p in order) == sorted(p.id for p in found)
    assert ranked(found[::-1], message_id, heard_since=SINCE) == order


@given(phones, st.text("xyz", min_size=1, max_size=8))
def test_the_sim_then_being_there_then_the_burden_decide(
    found: list[Candidate], message_id: str
) -> None:
    order = ranked(found, message_id, heard_since=SINCE)
    for one, other in itertools.pairwise(order):
        assert one.has_sim >= other.has_sim
        if one.has_sim != other.has_sim:
            continue
        silent = [phone.last_seen < SINCE for phone in (one, other)]
        assert silent != [True, False]
        if silent == [False, False]:
            assert one.unfinished <= other.unfinished
        if silent == [True, True]:
            assert one.last_seen >= other.last_seen


def test_messages_are_spread_over_equal_phones() -> None:
    equal = [Candidate(f"phone-{n}", NOW - n) for n in range(4)]
    first = Counter(ranked(equal, f"message-{n}", heard_since=SINCE)[0].id for n in range(4_000))
    assert len(first) == 4
    assert min(first.values()) > 900


@given(
    st.integers(5, 86_400), st.integers(60, 86_400), st.integers(0, 5), st.none() | st.integers(0)
)
def test_nobody_waits_less_than_the_account_wants_nor_is_moved_before_its_schedule(
    move_on_s: int, offline_s: int, rounds: int, after_ms: int | None
) -> None:
    policy = PhonePolicy(move_on_after_s=move_on_s, offline_after_s=offline_s)
    schedule_at = None if after_ms is None else NOW + after_ms
    until = move_on_at(policy, offered_at=NOW, schedule_at=schedule_at, rounds=rounds)
    wait = move_on_s if rounds == 0 else max(move_on_s, offline_s)
    assert until == max(NOW + wait * 1000, schedule_at or 0)


burdens = st.builds(
    Burden,
    last_seen=st.integers(NOW - 3_000_000, NOW),
    in_hand=st.integers(0, 4),
    unfinished=st.integers(0, 4),
    most=st.integers(1, 4),
)


@given(burdens, burdens)
def test_two_phones_never_take_from_each_other_in_turns(one: Burden, other: Burden) -> None:
    """Else a message would go to and fro between busy phones, and be carried by none."""
    busy = [is_busy(phone, POLICY, NOW) for phone in (one, other)]
    if busy == [True, True]:
        consistent = [
            msgspec.structs.replace(p, unfinished=max(p.in_hand, p.unfinished))
            for p in (one, other)
        ]
        assert not any(takes_over(p, POLICY, NOW, from_busy=True) for p in consistent)


@given(burdens)
def test_a_phone_takes_over_only_if_it_was_heard_of(other: Burden) -> None:
    for from_busy in (True, False):
        if takes_over(other, POLICY, NOW, from_busy=from_busy):
            assert other.last_seen >= SINCE


def test_a_channel_takes_over_from_a_silent_phone_and_not_from_a_busy_one() -> None:
    assert takes_over(None, POLICY, NOW, from_busy=False)
    assert not takes_over(None, POLICY, NOW, from_busy=True)


def message(**fields: Any) -> Message:
    known: dict[str, Any] = dict.fromkeys(Message.__struct_fields__)
    return Message(**known | {"account_id": "a", "state": State.PENDING} | fields)


messages = st.lists(
    st.builds(
        message,
        id=st.text("abcd", min_size=1, max_size=4),
        created_at=st.integers(0, 3),
        priority=st.integers(-2, 2),
        schedule_at=st.none() | st.integers(1, 3),
    ),
    max_size=10,
    unique_by=lambda m: m.id,
)


@given(messages)
def test_lifo_and_fifo_differ_in_age_alone(found: list[Message]) -> None:
    fifo = in_turn(found, "fifo")
    lifo = in_turn(found, "lifo")
    rank = [(m.schedule_at or 0, -m.priority) for m in fifo]
    assert rank == sorted(rank) == [(m.schedule_at or 0, -m.priority) for m in lifo]
    for order, direction in ((fifo, 1), (lifo, -1)):
        for one, other in itertools.pairwise(order):
            if (one.schedule_at, one.priority) == (other.schedule_at, other.priority):
                ages = [(one.created_at, one.id), (other.created_at, other.id)]
                assert sorted(ages, reverse=direction < 0) == ages
