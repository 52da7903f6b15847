"""Ids in the order in which they were made, also within one millisecond."""

import os

from textgate.domain.identity import ENTROPY_BYTES, make_next_id

NOW = 1_767_225_600_000


def test_ids_of_one_millisecond_are_in_the_order_in_which_they_were_made() -> None:
    last, made = 0, []
    for _ in range(10_000):
        last, new = make_next_id(last, NOW, os.urandom(ENTROPY_BYTES))
        made.append(new)
    assert made == sorted(set(made))


def test_an_id_of_a_later_time_is_greater_whatever_the_dice_say() -> None:
    last, early = make_next_id(0, NOW, b"\xff" * ENTROPY_BYTES)
    _, late = make_next_id(last, NOW + 1, bytes(ENTROPY_BYTES))
    assert early < late


def test_the_greatest_dice_still_leave_room_for_the_next_id() -> None:
    last, first = make_next_id(0, NOW, b"\xff" * ENTROPY_BYTES)
    _, second = make_next_id(last, NOW, b"\xff" * ENTROPY_BYTES)
    assert first < second
