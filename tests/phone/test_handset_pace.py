"""The sending loop against the app's own, written down as A §7.2 has it."""

from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from handset_world import EXACT, OTHER, Phone

from textgate.domain.times import Milliseconds

MINUTE_MS = 60_000


class Asked(msgspec.Struct):
    """A message of a scenario."""

    id: str
    priority: int
    created_at: Milliseconds
    valid_until: Milliseconds | None


class Oracle(msgspec.Struct):
    """A §7.2 in words of its own: it shares nothing with the handset."""

    newest_first: bool
    interval_s: int | None
    limit: int | None

    def run(self, asked: list[Asked], now: Milliseconds) -> list[tuple[str, Milliseconds]]:
        waiting, previous, processed = list(asked), -128, list[tuple[str, Milliseconds]]()
        age = -1 if self.newest_first else 1
        while waiting:
            waiting.sort(key=lambda m: (-m.priority, age * m.created_at))
            m = waiting.pop(0)
            if m.priority < 100 or previous >= m.priority:
                now += self._limit_wait(processed, now)
            if m.valid_until is not None and m.valid_until <= now:
                continue
            processed.append((m.id, now))
            if m.priority >= 100 and previous < m.priority:
                previous = m.priority
                continue
            previous = m.priority
            if self.interval_s is not None:
                now += self.interval_s * 1000
        return processed

    def _limit_wait(
        self, processed: list[tuple[str, Milliseconds]], now: Milliseconds
    ) -> Milliseconds:
        if self.limit is None:
            return 0
        recent = [at for _, at in processed if at > now - MINUTE_MS]
        if len(recent) < self.limit:
            return 0
        return MINUTE_MS - (now - recent[-1]) + 1_000

    def settings(self) -> dict[str, Any]:
        messages: dict[str, Any] = {
            "processing_order": "LIFO" if self.newest_first else "FIFO",
            "limit_period": "PerMinute",
            "limit_value": self.limit,
        }
        if self.interval_s is not None:
            messages |= {
                "send_interval_min": self.interval_s,
                "send_interval_max": self.interval_s,
            }
        return messages


async def compare(phone: Phone, oracle: Oracle, wanted: list[tuple[int, int | None]]) -> None:
    """Have the phone send messages of (priority, seconds of validity), and compare."""
    asked = []
    for n, (priority, valid_s) in enumerate(wanted):
        phone.clock.advance(1)
        valid_until = None if valid_s is None else phone.clock.now() + valid_s * 1000
        created_at = phone.clock.now()
        await phone.submit(id=f"m{n}", priority=priority, valid_until=valid_until)
        asked.append(Asked(f"m{n}", priority, created_at, valid_until))
    await phone.set(messages=oracle.settings())
    expected = oracle.run(asked, phone.clock.now())
    await phone.start(EXACT)
    await phone.live(30 * MINUTE_MS)
    assert phone.when("processed") == expected
    assert len(expected) + len(phone.when("failed")) <= len(wanted)


TABLE = {
    "newest first": (Oracle(True, None, None), [0, 0, 0]),
    "oldest first": (Oracle(False, None, None), [0, 0, 0]),
    "priority before age": (Oracle(True, None, None), [0, 5, -5, 100, 5]),
    "an interval between": (Oracle(False, 7, None), [0, 0, 0]),
    "two a minute": (Oracle(False, None, 2), [0, 0, 0, 0, 0]),
    "two a minute, slowly": (Oracle(False, 20, 2), [0, 0, 0, 0, 0]),
    "urgent ones pass": (Oracle(False, 30, 1), [0, 0, 100, 101, 127]),
    "equal urgent ones are limited from the second on": (Oracle(False, None, 1), [110, 110, 110]),
    "urgent ones downwards are limited": (Oracle(False, 5, 1), [127, 120, 110, 100, 99]),
}


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_pace_is_that_of_the_app(phone: Phone, row: str) -> None:
    oracle, priorities = TABLE[row]
    await compare(phone, oracle, [(priority, None) for priority in priorities])


@pytest.mark.parametrize("seed", range(24))
async def test_pace_of_whatever_comes_is_that_of_the_app(phone: Phone, seed: int) -> None:
    dice = Random(seed)
    oracle = Oracle(
        newest_first=dice.random() < 0.5,
        interval_s=dice.choice([None, 3, 40]),
        limit=dice.choice([None, 1, 2, 3]),
    )
    wanted = [
        (dice.choice([-128, 0, 0, 1, 99, 100, 100, 120, 127]), dice.choice([None, None, 45, 200]))
        for _ in range(dice.randint(1, 8))
    ]
    await compare(phone, oracle, wanted)


async def test_expired_message_costs_no_time_and_says_why(phone: Phone) -> None:
    """It is looked at when it is its turn: behind one that waits for the limit."""
    await phone.set(
        messages={
            "processing_order": "FIFO",
            "limit_period": "PerMinute",
            "limit_value": 1,
            "send_interval_min": 10,
            "send_interval_max": 10,
        }
    )
    start = phone.clock.now()
    await phone.submit(id="first")
    phone.clock.advance(1)
    await phone.submit(id="late", valid_until=start + 30_000)
    phone.clock.advance(1)
    await phone.submit(id="last")
    await phone.start()
    begun = phone.clock.now()
    await phone.live(5 * MINUTE_MS)
    # 61 s after the first one the period is over; "late" is too late then, and costs nothing.
    assert phone.when("processed") == [("first", begun), ("last", begun + 61_000)]
    [late] = await phone.recipients("late")
    assert (late.state, late.error) == ("Failed", "TTL expired")


async def test_limit_counts_messages_and_not_numbers(phone: Phone) -> None:
    await phone.set(messages={"limit_period": "PerMinute", "limit_value": 2})
    await phone.start()
    await phone.submit(*(f"+4179000{n:04}" for n in range(20)), id="many")
    await phone.live(1)
    await phone.submit(id="one more")
    await phone.live(1)
    assert {message for message, _ in phone.when("processed")} == {"many", "one more"}
    await phone.submit(id="too many")
    await phone.live(30_000)
    assert "too many" not in {message for message, _ in phone.when("processed")}
    await phone.live(31_000)
    assert "too many" in {message for message, _ in phone.when("processed")}


async def test_limit_holds_over_a_restart(phone: Phone) -> None:
    await phone.set(messages={"limit_period": "PerHour", "limit_value": 1})
    await phone.start()
    await phone.submit(id="before")
    await phone.live(10_000)
    await phone.stop()
    await phone.start()
    begun = phone.clock.now()
    await phone.submit(id="after")
    await phone.live(2 * 60 * MINUTE_MS)
    [(_, at)] = [one for one in phone.when("processed") if one[0] == "after"]
    assert at == begun - 10_000 + 60 * MINUTE_MS + 1_000


async def test_interval_is_thrown_anew_each_time(phone: Phone) -> None:
    await phone.set(messages={"send_interval_min": 5, "send_interval_max": 9})
    for n in range(30):
        await phone.submit(id=f"m{n}")
    await phone.start()
    await phone.live(10 * MINUTE_MS)
    times = [at for _, at in phone.when("processed")]
    waits = {(b - a) // 1000 for a, b in pairwise(times)}
    assert waits == {5, 6, 7, 8, 9}


async def test_scheduled_message_waits_for_its_time(phone: Phone) -> None:
    await phone.start()
    at = phone.clock.now() + 90_000
    await phone.submit(id="later", schedule_at=at)
    await phone.submit(id="now")
    await phone.live(10 * MINUTE_MS)
    assert [m for m, _ in phone.when("processed")] == ["now", "later"]
    assert phone.when("processed")[1] == ("later", at)


async def test_scheduled_message_takes_its_place_by_age_once_it_is_due(phone: Phone) -> None:
    await phone.set(messages={"processing_order": "FIFO"})
    at = phone.clock.now() + 10_000
    await phone.submit(id="old, scheduled", schedule_at=at)
    phone.clock.advance(5_000)
    await phone.submit(id="newer")
    phone.clock.advance(5_000)
    await phone.start()
    assert [m for m, _ in phone.when("processed")] == ["old, scheduled", "newer"]


async def test_work_hours_hold_all_but_urgent_messages(phone: Phone) -> None:
    """The clock of the tests begins at midnight UTC; the phone is an hour ahead."""
    await phone.set(
        messages={
            "work_hours_enabled": True,
            "work_hours_start": "09:00",
            "work_hours_end": "19:00",
        }
    )
    midnight = phone.clock.now()
    await phone.start(msgspec.structs.replace(EXACT, offset_minutes=60))
    await phone.submit(id="bulk")
    await phone.submit(OTHER, id="code", priority=100)
    await phone.live(12 * 60 * MINUTE_MS)
    assert phone.when("processed") == [("code", midnight), ("bulk", midnight + 8 * 3_600_000)]


async def test_work_hours_over_midnight(phone: Phone) -> None:
    await phone.set(
        messages={
            "work_hours_enabled": True,
            "work_hours_start": "22:30",
            "work_hours_end": "06:00",
        }
    )
    midnight = phone.clock.now()
    await phone.start()
    await phone.submit(id="night")
    await phone.live(1)
    await phone.live(6 * 3_600_000)
    await phone.submit(id="morning")
    await phone.live(24 * 3_600_000)
    assert phone.when("processed") == [("night", midnight), ("morning", midnight + 81_000_000)]


async def test_settings_that_change_hold_from_the_next_message_on(phone: Phone) -> None:
    for n in range(3):
        phone.clock.advance(1)
        await phone.submit(id=f"m{n}")
    numbers_as_they_come = {"send_interval_min": "60", "send_interval_max": 60.0}
    await phone.set(messages=numbers_as_they_come | {"processing_order": "FIFO"})
    await phone.start()
    begun = phone.clock.now()
    await phone.set(messages={})
    await phone.live(10 * MINUTE_MS)
    # The wait that had begun is waited for; the order is the default again.
    assert phone.when("processed") == [
        ("m0", begun),
        ("m2", begun + 60_000),
        ("m1", begun + 60_000),
    ]
