"""One of two phones dies mid-queue: what it had not fetched leaves by the other."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from device_client import Phone, basic
from system_world import client

from textgate.testing.receiver import Receiver
from textgate.testing.server import Server, start_server

MOVE_ON_S = 5
"""The shortest that may be set."""
SLACK_S = 10.0
"""For a machine that is busy with other things."""
CODE = {"context": {"template_variables": {"code": "645200"}}}
"""A message of which a second copy does no harm."""


@dataclass
class Living:
    """A phone that does its work until it is cancelled, and remembers what it sent."""

    phone: Phone
    sent: dict[str, float] = field(default_factory=dict)
    """When it was sent, by message."""
    fetched: Counter[str] = field(default_factory=Counter)
    """How often a message was new to it."""

    async def work(self) -> None:
        async with self.phone.events() as stream:
            await stream.commented()
            while True:
                for message in await self.phone.pull():
                    await self.send(message)
                await stream.until("MessageEnqueued", within_s=60)

    async def send(self, message: dict[str, Any]) -> None:
        if message["id"] in self.sent:
            await self.phone.report(message, "Sent")  # as the app heals a lost report
            return
        self.fetched[message["id"]] += 1
        await self.phone.report(message, "Processed")
        self.sent[message["id"]] = time.monotonic()
        await self.phone.report(message, "Sent")


@dataclass
class Pair:
    """An account with two phones, and what its webhook is told."""

    server: Server
    api: httpx.Client
    told: Receiver
    one: Phone
    other: Phone

    def submit(self, name: str, **more: Any) -> str:
        """Send a message and return the id of the phone that is to carry it."""
        wanted = {"id": name, "to": "+41790000001", "text": f"Message {name}", **more}
        answer = self.api.post("/v1/messages", json=wanted)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["channel_id"])

    def message(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/messages/{name}").raise_for_status().json()
        return found

    def told_of(self, name: str) -> list[tuple[str, str]]:
        """Type and phone of each event that the webhook was told of, once there is one."""
        self.told.wait_until(lambda _: bool(self._events(name)))
        return self._events(name)

    def _events(self, name: str) -> list[tuple[str, str]]:
        envelopes = {call.json["id"]: call.json for call in self.told.calls}.values()
        return [(e["event"], e["deviceId"]) for e in envelopes if e["payload"]["messageId"] == name]

    async def reaches(self, names: list[str], state: str, within_s: float) -> None:
        async with asyncio.timeout(within_s):
            for name in names:
                while self.message(name)["state"] != state:
                    await asyncio.sleep(0.1)


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    with start_server(folder) as server, client(server) as api, Receiver() as told:
        for event in ("sms:sent", "sms:failed"):
            wanted = {"url": told.url, "event": event}
            assert api.post("/3rdparty/v1/webhooks", json=wanted).status_code == 201
        answer = api.patch("/v1/phone-settings", json={"move_on_after_s": MOVE_ON_S})
        assert answer.status_code == 200, answer.text
        async with Phone(server.url, name="one") as one, Phone(server.url, name="other") as other:
            for phone in (one, other):
                await phone.register(basic(server.login, server.password))
            yield Pair(server, api, told, one, other)


async def test_what_a_dead_phone_had_not_fetched_leaves_by_the_other_in_time(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as both:
        first = {name: both.submit(name) for name in (f"first-{n}" for n in range(10))}
        dead = both.other
        fetched = await dead.pull()
        assert {m["id"] for m in fetched} == {n for n, by in first.items() if by == dead.id}
        assert 2 <= len(fetched) <= 8, "they are spread"
        await dead.report(fetched[0], "Sent")  # and then it dies

        began = time.monotonic()
        second = {name: both.submit(name) for name in (f"second-{n}" for n in range(20))}
        stranded = [name for name, by in second.items() if by == dead.id]
        assert stranded, "it seemed to live"
        living = Living(both.one)
        working = asyncio.create_task(living.work())
        await both.reaches([*second], "Sent", MOVE_ON_S + SLACK_S)
        latest = max(living.sent[name] for name in stranded) - began
        print(f"{len(stranded)} of {len(second)} moved on after {latest:.1f} s")
        assert min(living.sent[name] for name in stranded) - began > MOVE_ON_S - 1, "not before"
        working.cancel()

        left = [m["id"] for m in fetched[1:]]
        assert set(living.sent) == {*first, *second} - {m["id"] for m in fetched}
        assert set(living.fetched.values()) == {1}, "each once"
        assert {both.message(name)["state"] for name in left} == {"Pending"}, "in its hands"
        for name in living.sent:
            assert both.told_of(name) == [("sms:sent", both.one.id)]
        assert both.told_of(fetched[0]["id"]) == [("sms:sent", dead.id)]


async def test_what_it_had_fetched_and_never_reported_fails_at_its_deadline_unless_a_code(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as both:
        # One after another, as a phone that is asked for by name takes them.
        assert both.submit("plain", channel=both.other.id, ttl_s=8) == both.other.id
        names = [f"code-{n}" for n in range(6)]
        carried = {name: both.submit(name, **CODE) for name in names}
        codes = [name for name, by in carried.items() if by == both.other.id]
        assert codes
        taken = {message["id"] for message in await both.other.pull()}
        assert taken == {"plain", *codes}  # and then it dies

        living = Living(both.one)
        working = asyncio.create_task(living.work())
        await both.reaches(names, "Sent", MOVE_ON_S + SLACK_S)
        await both.reaches(["plain"], "Failed", 8 + SLACK_S)
        working.cancel()
        assert set(living.sent) == set(names)
        assert both.message("plain")["recipients"][0]["reason"] == "unknown"
        assert both.told_of("plain") == [("sms:failed", both.other.id)]

        # It was not dead after all: what it says now is the truth.
        [plain] = [{"id": "plain", "phoneNumbers": ["+41790000001"]}]
        await both.other.report(plain, "Delivered")
        assert both.message("plain")["state"] == "Delivered"


async def test_one_that_returns_in_time_keeps_its_messages(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        names = [f"m-{n}" for n in range(10)]
        carried = {name: both.submit(name) for name in names}
        one, other = Living(both.one), Living(both.other)
        working = [asyncio.create_task(phone.work()) for phone in (one, other)]
        await both.reaches(names, "Sent", SLACK_S)
        for task in working:
            task.cancel()
        assert set(one.sent) == {name for name, by in carried.items() if by == both.one.id}
        assert set(other.sent) == {name for name, by in carried.items() if by == both.other.id}
        assert one.sent.keys().isdisjoint(other.sent)
