"""Kills a real server again and again under load, then counts what became of every message.

By command, from the top of the checkout: ``python -m tests.system.kill --kills 200``. It ends by
itself, and with 1 if something was lost or doubled that must not be. All traffic stays on the
loopback.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # also for `python -m`, without pytest

from kill_world import PATIENCE_S, TAKEN, TOLD, Broken, Installation, Line, Sinks, message

from textgate.testing.far_side import Say

SENDERS = 8
PAUSE_S = 0.008
"""Between two messages of a sender: a load that the sinks of this process keep up with."""
ANSWER_S = (0.0, 0.03)
"""How long a sink thinks: so that at a kill much is under way, and more waits for it."""
IN_FLIGHT = 8
HICCUPS = 0.01
"""Of this share of its calls a sink says that it cannot now; they come again 5 or 10 s later."""
LIFE_S = (0.2, 1.0)
"""How long a server lives before the next kill."""
SILENCE_S = 30.0
"""When nothing has come for so long, nothing more will come: the longest wait is 20 s."""


@dataclass
class Tally:
    """What a run comes to. Everything above ``messages_lost`` is only counted; of the others,
    each must be 0."""

    kills: int = 0
    seconds: float = 0.0
    accepted: int = 0
    refused: int = 0
    """Posts that were answered by anything but 202 (a server in its stop says 503); repeated."""
    broken: int = 0
    """Posts without an answer, repeated with the same id."""
    hiccups: int = 0
    """Calls that a sink refused, so that they had to come again."""
    provider_repeats: int = 0
    """Second and further calls of the provider for one message, by the same Idempotency-Key."""
    webhook_repeats: int = 0
    """Second and further calls of the webhook for one event, by the same event id."""
    messages_lost: int = 0
    """Accepted, and the server does not know them any more, or never sent them."""
    never_at_provider: int = 0
    events_missing: int = 0
    """Messages without exactly one sms:sent in the feed."""
    events_lost: int = 0
    """Events of the feed that the webhook was never told of."""
    events_unknown: int = 0
    """Events that the webhook was told of and the feed does not know."""
    two_keys: int = 0
    """Messages that reached the provider by two keys, or with two texts."""
    unasked: int = 0
    """Messages at the provider that nobody asked for."""

    @property
    def faults(self) -> dict[str, int]:
        names = [f.name for f in fields(self)]
        judged = names[names.index("messages_lost") :]
        return {name: getattr(self, name) for name in judged if getattr(self, name)}

    def __str__(self) -> str:
        return "\n".join(f"{f.name:18}{getattr(self, f.name):>10g}" for f in fields(self))


@dataclass
class Load:
    """Senders that post with ids of their own, and repeat until they are told 202."""

    house: Installation
    tally: Tally
    accepted: set[str] = field(default_factory=set)
    running: bool = True
    _ids: Iterator[int] = field(default_factory=count)

    async def send_for_ever(self, sender: int) -> None:
        line = Line(self.house.server)
        while self.running:
            await self._insist(line, f"load-{sender}-{next(self._ids)}")
            await asyncio.sleep(PAUSE_S)
        line.close()

    async def end(self, senders: Collection[asyncio.Task[None]]) -> None:
        """Let them finish what they insist on; TimeoutError if nobody answers them any more."""
        self.running = False
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*senders)

    async def _insist(self, line: Line, message_id: str) -> None:
        while True:
            try:
                status, answer = await line.call(
                    "POST", "/3rdparty/v1/messages", message(message_id)
                )
            except Broken:
                self.tally.broken += 1
                await asyncio.sleep(0.02)
                continue
            if status == 202:
                assert answer["id"] == message_id
                self.accepted.add(message_id)
                return
            assert status in (429, 503), (status, answer)
            self.tally.refused += 1
            await asyncio.sleep(0.05)


async def kill_at_random(
    folder: Path, kills: int, *, chance: random.Random, hiccups: float = 0.0
) -> Tally:
    """Run the load, kill ``kills`` times, let it drain, and count."""
    tally, began = Tally(), time.monotonic()
    async with Installation.open(folder, max_in_flight=IN_FLIGHT) as house:
        make_human(house.sinks, tally, chance, hiccups)
        load = Load(house, tally)
        senders = [asyncio.create_task(load.send_for_ever(n)) for n in range(SENDERS)]
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(*LIFE_S))
            await house.kill()
            tally.kills += 1
            await house.start()
        await asyncio.sleep(0.5)
        await load.end(senders)
        await drained(house, load.accepted)
        await judge(house, load.accepted, tally)
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


def make_human(sinks: Sinks, tally: Tally, chance: random.Random, hiccups: float) -> None:
    """Let both sinks take their time, and sometimes fail."""

    def choose(well: Say, ill: Say) -> Callable[[], Say]:
        def say() -> Say:
            bad = chance.random() < hiccups
            tally.hiccups += bad
            return replace(ill if bad else well, delay_s=chance.uniform(*ANSWER_S))

        return say

    sinks.on_provider = choose(TAKEN, Say(408))
    sinks.on_hook = choose(TOLD, Say(500))


async def drained(house: Installation, accepted: set[str]) -> None:
    """Wait until every accepted message was told of, or until nothing comes any more."""
    heard, left, since = house.sinks.heard, accepted, time.monotonic()
    while left and time.monotonic() - since < SILENCE_S:
        await asyncio.sleep(0.2)
        still = {one for one in left if not heard.told(one)}
        if len(still) < len(left):
            left, since = still, time.monotonic()
    await asyncio.sleep(0.5)  # what would be one too many


async def judge(house: Installation, accepted: set[str], tally: Tally) -> None:
    """Count what became of every accepted message, by all three witnesses."""
    states, feed, heard = await house.states(), await house.feed(), house.sinks.heard
    tally.accepted = len(accepted)
    tally.messages_lost = sum(states.get(one) != "Sent" for one in accepted)
    tally.never_at_provider = sum(not heard.keys[one] for one in accepted)
    for one in accepted:
        told, known = set(heard.told(one)), set(feed[one])
        tally.events_missing += [type_ for _, type_ in feed[one]] != ["sms:sent"]
        tally.events_lost += len(known - told)
        tally.events_unknown += len(told - known)
        tally.two_keys += len(heard.keys[one]) > 1
        tally.provider_repeats += max(0, heard.keys[one].total() - 1)
        tally.webhook_repeats += heard.told(one).total() - len(told)
    tally.unasked = len(set(heard.keys) - accepted)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory() as folder:
        run = kill_at_random(
            Path(folder), asked.kills, chance=random.Random(asked.seed), hiccups=HICCUPS
        )
        tally = asyncio.run(run)
    print(tally)
    print(f"FAULTS: {tally.faults}" if tally.faults else "nothing was lost")
    return bool(tally.faults)


if __name__ == "__main__":
    sys.exit(main())
