"""Times as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgate.domain.times import milliseconds, parse_rfc3339, rfc3339

MOMENT = 1_778_051_289_010  # 2026-05-06T07:08:09.010Z
times = st.integers(0, 253_402_300_799_999)  # to the end of the year 9999
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59)


def test_a_time_is_shown_in_utc_with_exactly_three_digits() -> None:
    assert rfc3339(MOMENT) == "2026-05-06T07:08:09.010Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"


@given(times)
def test_what_is_shown_can_be_read_back(ms: int) -> None:
    assert parse_rfc3339(rfc3339(ms)) == ms


@given(times, times)
def test_shown_times_sort_as_text(one: int, other: int) -> None:
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


@given(st.integers(10**11, 10**14), offsets)
@settings(max_examples=200)
def test_any_offset_is_read(ms: int, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)
    assert parse_rfc3339(moment.isoformat()) == ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-06T07:08:09.010Z",
        "2026-05-06T07:08:09.01Z",
        "2026-05-06T07:08:09.010999999Z",
        "2026-05-06t07:08:09.010z",
        "2026-05-06T09:08:09.010+02:00",
        "2026-05-06T00:08:09.010-07:00",
        "2026-05-06T07:08:09.010",  # naive: UTC
        "2026-05-06 07:08:09.010Z",
        "2026-05-06T09:08:09.010 02:00",  # a query decoder made a blank of the plus
        "2026-05-06 09:08:09.010 02:00",
        " 2026-05-06T07:08:09.010Z ",
    ],
)
def test_each_usual_spelling_of_a_time_is_read(text: str) -> None:
    assert parse_rfc3339(text) == MOMENT


@given(st.integers(0, 9), st.text(st.sampled_from("0123456789"), min_size=9, max_size=9))
def test_up_to_nine_digits_of_a_second_are_read(count: int, digits: str) -> None:
    fraction = f".{digits[:count]}" if count else ""
    wants = 1_778_051_289_000 + int(digits[:count].ljust(3, "0")[:3])
    assert parse_rfc3339(f"2026-05-06T07:08:09{fraction}Z") == wants


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-05-06T25:00:00Z", "12345"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


@given(st.text(max_size=40))
@settings(max_examples=300)
def test_any_text_is_either_a_time_or_refused(text: str) -> None:
    try:
        found = parse_rfc3339(text)
    except ValueError:
        return
    assert isinstance(found, int)


def test_spans_are_cut_to_whole_milliseconds() -> None:
    assert milliseconds(timedelta(microseconds=1999)) == 1
    assert milliseconds(timedelta(days=2)) == 172_800_000
