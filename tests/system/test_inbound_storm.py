"""Messages come in from twenty phones, repeated and out of order, while the server is killed ten
times: each is in the inbox once, and the account's webhook is told of each, by one id.

This is the short form. The full one, of 10,000 messages, is a command (see ``storm``), or set
TEXTGATE_STORM_MESSAGES=10000 for the tests.
"""

import os
import random
from pathlib import Path

from storm import PHONES, Tally, prepared, storm

MESSAGES = int(os.environ.get("TEXTGATE_STORM_MESSAGES", "2000"))
KILLS = 10


async def test_no_incoming_message_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    tally = await storm(tmp_path, MESSAGES, KILLS, chance=random.Random(1))
    print(f"{PHONES} phones\n{tally}")
    assert not tally.faults, str(tally)
    assert (tally.kills, tally.messages) == (KILLS, MESSAGES)
    assert tally.posts > MESSAGES, "some were told twice"
    assert tally.calls >= MESSAGES


async def test_what_is_lost_doubled_or_untold_would_be_counted(tmp_path: Path) -> None:
    tally, chance = Tally(), random.Random(2)
    async with prepared(tmp_path, tally, chance) as (raging, phones):
        raging.give(phones, 40)
        await raging.rage(phones, kills=0)
        await raging.drained()
        await raging.judge()
        assert (tally.messages, tally.faults) == (40, {})
        one, other, *_ = raging.sent
        del raging.sent[one]
        raging.sent["no phone", "1"] = raging.sent[other]
        raging.hook.heard[other]["another id"] += 1
        await raging.judge()
    assert tally.faults == {"lost": 1, "unasked": 1, "untold": 1, "two_ids": 1, "misfed": 2}
