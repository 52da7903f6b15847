"""A real server under load is killed at random, and stopped cleanly: nothing is lost.

The long form, of 200 kills and more, is a command: see ``kill``.
"""

import asyncio
import random
import time
from pathlib import Path

from kill import (
    IN_FLIGHT,
    SENDERS,
    Load,
    Tally,
    drained,
    judge,
    kill_at_random,
    make_human,
)
from kill_world import Installation

from textgate.testing.far_side import Say

KILLS = 8
STOP_TIMEOUT_S = 10


async def test_killed_at_random_under_load_nothing_is_lost(tmp_path: Path) -> None:
    tally = await kill_at_random(tmp_path, KILLS, chance=random.Random(1))
    print(tally)
    assert not tally.faults, str(tally)
    assert tally.kills == KILLS
    assert tally.accepted > 100
    # What was under way at a kill may be repeated, and nothing else.
    assert tally.provider_repeats <= KILLS * IN_FLIGHT, str(tally)


async def test_stopped_under_load_it_ends_in_time_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    tally, environ = Tally(), {"TEXTGATE_STOP_TIMEOUT": f"{STOP_TIMEOUT_S}s"}
    async with Installation.open(tmp_path, environ) as house:
        make_human(house.sinks, tally, random.Random(2), 0.0)
        load = Load(house, tally)
        senders = [asyncio.create_task(load.send_for_ever(n)) for n in range(SENDERS)]
        for _ in range(3):
            await asyncio.sleep(1.0)
            began = time.monotonic()
            assert await house.stop() == 0
            assert time.monotonic() - began < STOP_TIMEOUT_S
            await house.start()
        await load.end(senders)
        await drained(house, load.accepted)
        await judge(house, load.accepted, tally)
    print(tally)
    assert not tally.faults, str(tally)
    assert (tally.provider_repeats, tally.webhook_repeats) == (0, 0), str(tally)
    assert tally.accepted > 100


async def test_stopped_while_a_provider_does_not_answer_it_ends_within_its_bound(
    tmp_path: Path,
) -> None:
    environ = {"TEXTGATE_STOP_TIMEOUT": "2s"}
    async with Installation.open(tmp_path, environ) as house:
        house.sinks.on_provider = Say(hold=asyncio.Event())
        await house.submit("stuck")
        await house.sinks.until(lambda: house.sinks.holding)
        began = time.monotonic()
        assert await house.stop() == 0
        assert 1.5 < time.monotonic() - began < 2 + 3
