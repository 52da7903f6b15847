"""A storm of incoming messages from many phones, with a server that is killed again and again; then
what became of every message is counted.

By command, from the top of the checkout: ``python -m tests.system.storm --messages 10000``. It ends
by itself, and with 1 if a message was lost, or stored or told twice. All traffic stays on the
loopback.
"""

import argparse
import asyncio
import random
import string
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # also for `python -m`, without pytest

import httpx
from device_client import Phone, basic
from kill_world import TOLD, Installation, Line

from textgate.testing.far_side import FarSide, Request, Say
from textgate.testing.server import start_server

PHONES = 20
AT_ONCE = 3
"""Events that a phone has under way: that alone mixes their order."""
TWICE, REFIRED = 0.15, 0.05
"""Shares of the messages that are sent again: the same event (its answer was lost), and a new event
about the same message (it was exported from the phone's inbox)."""
HICCUPS = 0.002
"""Of this share of its calls the account's webhook says that it cannot now; they come again."""
BEGAN = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
SILENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """An SMS that a phone receives."""

    sender: str
    text: str
    at: datetime
    sim: int

    @property
    def id(self) -> str:
        """What the app calls it (A §4.3): the hash of four things, as unsigned hex."""
        ms = round(self.at.timestamp() * 1000)
        parts = (java_hash(self.sender), (ms ^ ms >> 32), self.sim, java_hash(self.text))
        value = 0
        for part in parts:
            value = 31 * value + part & 0xFFFF_FFFF
        return f"{value:x}"

    @property
    def kept(self) -> str:
        """What the inbox shows of it."""
        at = self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return f"{at} {self.sender} {self.text}"

    def payload(self) -> dict[str, Any]:
        at = self.at.astimezone().isoformat(timespec="milliseconds")
        said = {"messageId": self.id, "message": self.text, "receivedAt": at}
        return said | {"sender": self.sender, "phoneNumber": self.sender, "simNumber": self.sim}


def java_hash(text: str) -> int:
    value = 0
    for letter in text:
        value = 31 * value + ord(letter) & 0xFFFF_FFFF
    return value


Known = tuple[str, str]
"""A phone's id, and its name for a message."""


@dataclass
class Tally:
    """What a storm comes to. From ``lost`` on each must be 0."""

    messages: int = 0
    kills: int = 0
    seconds: float = 0.0
    taking_s: float = 0.0
    """Until the server had taken the last event, kills included."""
    posts: int = 0
    """Events that phones sent and that were answered by 2xx."""
    broken: int = 0
    """Posts without an answer, or in the server's stop; repeated with the same event id."""
    calls: int = 0
    """Of the account's webhook."""
    lost: int = 0
    """Messages that are not in the inbox."""
    doubled: int = 0
    """Messages that are in the inbox more than once."""
    unasked: int = 0
    """Messages in the inbox that nobody sent, or with other words."""
    untold: int = 0
    """Messages that the webhook never heard of."""
    two_ids: int = 0
    """Messages that the webhook was told of by two event ids."""
    misfed: int = 0
    """Messages without exactly one event in the feed, of the id that the webhook was told."""

    @property
    def faults(self) -> dict[str, int]:
        names = [f.name for f in fields(self)]
        judged = names[names.index("lost") :]
        return {name: getattr(self, name) for name in judged if getattr(self, name)}

    def __str__(self) -> str:
        return "\n".join(f"{f.name:10}{getattr(self, f.name):>10g}" for f in fields(self))


class Hook(FarSide):
    """The account's webhook: counts which event ids it is told for which message."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.heard: dict[Known, Counter[str]] = defaultdict(Counter)
        self.calls = 0
        self.last = time.monotonic()

    def answer(self, request: Request) -> Say:
        self.calls, self.last = self.calls + 1, time.monotonic()
        if self.chance.random() < HICCUPS:
            return Say(503)
        told = request.json
        assert told["event"] == "sms:received"
        self.heard[told["deviceId"], told["payload"]["messageId"]][told["id"]] += 1
        return TOLD


Telling = tuple[str, Known]
"""An event of a phone: its id, and the message that it is about."""


@dataclass
class Storm:
    """Phones, what each of them receives, and the server that is to keep it."""

    house: Installation
    hook: Hook
    chance: random.Random
    tally: Tally
    sent: dict[Known, Incoming] = field(default_factory=dict)

    def give(self, phones: list[Phone], messages: int) -> None:
        """Say what each phone will have received."""
        for n in range(messages):
            # Few senders and few texts: only all four things together tell messages apart.
            at = BEGAN + timedelta(milliseconds=self.chance.randrange(10**9))
            text = f"Code {n % 97}" if n % 3 else f"Grüße № {n} 📱"
            incoming = Incoming(f"+3370000{n % 50:04}", text, at, 1 + n % 2)
            self.sent[phones[n % len(phones)].id, incoming.id] = incoming
        self.tally.messages = len(self.sent)

    async def rage(self, phones: list[Phone], kills: int) -> None:
        """Let every phone tell of its messages, and kill the server ``kills`` times meanwhile."""
        began = time.monotonic()
        plans = [(phone, self._plan(phone)) for phone in phones]
        planned = sum(len(plan) for _, plan in plans)
        work = [asyncio.create_task(self._tell(phone, iter(plan))) for phone, plan in plans]
        for n in range(kills):
            while self.tally.posts < planned * (n + 1) // (kills + 1):
                await asyncio.sleep(0.005)
            await self.house.kill()
            self.tally.kills += 1
            await self.house.start()
        await asyncio.gather(*work)
        assert self.tally.posts == planned
        self.tally.taking_s = round(time.monotonic() - began, 1)

    def _plan(self, phone: Phone) -> list[Telling]:
        """All events of a phone, some of them twice, in any order."""
        mine = [known for known in self.sent if known[0] == phone.id]
        events = [(self._event_id(), known) for known in mine]
        events += self.chance.sample(events, round(len(events) * TWICE))
        again = self.chance.sample(mine, round(len(mine) * REFIRED))
        events += [(self._event_id(), known) for known in again]
        self.chance.shuffle(events)
        return events

    def _event_id(self) -> str:
        return "".join(self.chance.choices(string.ascii_letters + string.digits + "_-", k=21))

    async def _tell(self, phone: Phone, plan: Iterator[Telling]) -> None:
        """One phone tells its server, a few events at a time."""
        [hook] = [one for one in await phone.webhooks() if one["event"] == "sms:received"]
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:

            async def work() -> None:
                for event_id, known in plan:
                    await self._insist(http, hook, event_id, known)

            await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def _insist(
        self, http: httpx.AsyncClient, hook: dict[str, Any], event_id: str, known: Known
    ) -> None:
        """Post an event until it is answered by 2xx, as the app's durable queue does (A §4.8)."""
        envelope = {"id": event_id, "webhookId": hook["id"], "event": "sms:received"}
        envelope |= {"deviceId": known[0], "payload": self.sent[known].payload()}
        signed = {"X-Timestamp": str(int(time.time())), "X-Signature": "00" * 32}
        while True:
            try:
                answer = await http.post(hook["url"], json=envelope, headers=signed)
            except httpx.TransportError:
                self.tally.broken += 1
                await asyncio.sleep(0.1)
                continue
            if answer.is_success:
                break
            assert answer.status_code in (429, 503), (answer.status_code, answer.text)
            self.tally.broken += 1
            await asyncio.sleep(0.05)
        self.tally.posts += 1

    async def drained(self) -> None:
        """Wait until the webhook was told of every message, or nothing comes any more."""
        self.hook.last = time.monotonic()
        while len(self.hook.heard) < len(self.sent):
            if time.monotonic() - self.hook.last > SILENCE_S:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)  # what would be one too many

    async def judge(self) -> None:
        """Count what became of every message, by all three witnesses."""
        kept, feed, heard = await self._inbox(), await self._feed(), self.hook.heard
        tally, sent = self.tally, self.sent
        tally.calls = self.hook.calls
        tally.lost = len(sent.keys() - kept.keys())
        tally.doubled = sum(len(texts) > 1 for texts in kept.values())
        tally.unasked = sum(
            known not in sent or texts[0] != sent[known].kept for known, texts in kept.items()
        )
        tally.untold = len(sent.keys() - heard.keys())
        tally.two_ids = sum(len(ids) > 1 for ids in heard.values())
        tally.misfed = sum(
            set(feed[known]) != set(heard[known]) or len(feed[known]) != 1 for known in sent
        )

    async def _inbox(self) -> dict[Known, list[str]]:
        """What is kept: the id is the phone's, as a signed number, with one more behind it if
        another phone's message has the same."""
        found: dict[Known, list[str]] = defaultdict(list)
        async for item in self._pages("/v1/inbox?limit=100", "cursor"):
            signed = int(item["id"].removeprefix("text:").partition(".")[0])
            known = item["device_id"], f"{signed % 2**32:x}"
            found[known].append(f"{item['received_at']} {item['sender']} {item['preview']}")
        return found

    async def _feed(self) -> dict[Known, list[str]]:
        found: dict[Known, list[str]] = defaultdict(list)
        async for item in self._pages("/v1/events?limit=200", "after"):
            if item["type"] == "sms:received":
                found[item["device_id"], item["payload"]["messageId"]].append(item["id"])
        return found

    async def _pages(self, path: str, turn: str) -> AsyncIterator[Any]:
        more = ""
        while True:
            page = await self.house.ask("GET", path + more)
            for item in page["items"]:
                yield item
            if not page["items"] or page["next"] is None:
                return
            more = f"&{turn}={page['next']}"


async def storm(folder: Path, messages: int, kills: int, *, chance: random.Random) -> Tally:
    """Let ``messages`` come in through ``PHONES`` phones under ``kills`` kills, and count."""
    tally, began = Tally(messages=messages), time.monotonic()
    async with prepared(folder, tally, chance) as (raging, phones):
        raging.give(phones, messages)
        await raging.rage(phones, kills)
        await raging.drained()
        await raging.judge()
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


@asynccontextmanager
async def prepared(
    folder: Path, tally: Tally, chance: random.Random
) -> AsyncIterator[tuple[Storm, list[Phone]]]:
    """A server whose account has ``PHONES`` phones and a webhook."""
    server = await asyncio.to_thread(start_server, folder)
    try:
        async with AsyncExitStack() as stack:
            hook = await stack.enter_async_context(Hook(chance))
            line = Line(server)
            house = Installation(server, hook, line)  # type: ignore[arg-type]
            wanted = {"id": "hook", "url": f"{hook.url}/hook", "event": "sms:received"}
            await house.ask("POST", "/3rdparty/v1/webhooks", wanted)
            phones = [await stack.enter_async_context(Phone(server.url)) for _ in range(PHONES)]
            login = basic(server.login, server.password)
            for phone in phones:
                await phone.register(login)
            yield Storm(house, hook, chance, tally), phones
            line.close()
    finally:
        await asyncio.to_thread(server.kill)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory() as folder:
        chance = random.Random(asked.seed)
        tally = asyncio.run(storm(Path(folder), asked.messages, asked.kills, chance=chance))
    print(tally)
    print(f"FAULTS: {tally.faults}" if tally.faults else "every message once, and none lost")
    return bool(tally.faults)


if __name__ == "__main__":
    sys.exit(main())
