"""Phones fetch and report while the server is killed again and again: each message is sent once."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
from device_client import Phone, Refused, basic
from system_world import MESSAGES, client, message_to

from textgate.testing.server import Server, start_server

T = TypeVar("T")
PHONES, SENDERS, KILLS = 3, 4, 6
LIFE_S = (0.3, 0.8)
"""How long a server lives before the next kill."""
PATIENCE_S = 30.0


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat until there is an answer that the server did not give in its stop or its start."""
    while True:
        try:
            return await call()
        except httpx.TransportError:
            pass
        except Refused as refused:
            if refused.status not in (429, 503):
                raise
        await asyncio.sleep(0.05)


@dataclass
class Handset:
    """A phone that never forgets what it has, as the app's own database does."""

    phone: Phone
    states: dict[str, str] = field(default_factory=dict)
    texts: Counter[str] = field(default_factory=Counter)
    """What left by its SIM."""

    async def work(self) -> None:
        while True:
            for message in await insist(self.phone.pull):
                if message["id"] not in self.states:
                    self.texts[message["textMessage"]["text"]] += 1
                    await self._tell(message, "Processed")
                    self.states[message["id"]] = "Sent"
                await self._tell(message, self.states[message["id"]])
            await asyncio.sleep(0.02)

    async def _tell(self, message: dict[str, str], state: str) -> None:
        self.states[message["id"]] = state
        await insist(lambda: self.phone.report(message, state))


async def send_for_ever(server: Server, sender: int, accepted: set[str]) -> None:
    who = (server.login, server.password)
    async with httpx.AsyncClient(base_url=server.url, auth=who, trust_env=False) as api:
        for n in range(10**6):
            name = f"load-{sender}-{n}"
            wanted = {**message_to("+41790000001"), "id": name, "textMessage": {"text": name}}

            async def post(wanted: object = wanted) -> None:
                answer = await api.post(MESSAGES, json=wanted)
                if answer.status_code != 202:
                    raise Refused(answer)

            await insist(post)
            accepted.add(name)
            await asyncio.sleep(0.02)


def states(server: Server) -> dict[str, str]:
    with client(server) as api:
        found: dict[str, str] = {}
        cursor = ""
        while True:
            page = api.get(f"/v1/messages?limit=200{cursor}").raise_for_status().json()
            found |= {item["id"]: item["state"] for item in page["items"]}
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"


async def test_each_message_leaves_by_one_phone_once(tmp_path: Path) -> None:
    server = await asyncio.to_thread(start_server, tmp_path)
    handsets = [Handset(Phone(server.url, name=f"phone {n}")) for n in range(PHONES)]
    try:
        for handset in handsets:
            await handset.phone.register(basic(server.login, server.password))
        accepted: set[str] = set()
        working = [asyncio.create_task(handset.work()) for handset in handsets]
        sending = [
            asyncio.create_task(send_for_ever(server, sender, accepted))
            for sender in range(SENDERS)
        ]
        chance = random.Random(1)
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(*LIFE_S))
            server.kill()
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.3)
        for task in sending:
            task.cancel()
        async with asyncio.timeout(PATIENCE_S):
            while set((known := await asyncio.to_thread(states, server)).values()) != {"Sent"}:
                await asyncio.sleep(0.2)
        for task in working:
            task.cancel()
        await asyncio.gather(*sending, *working, return_exceptions=True)
    finally:
        for handset in handsets:
            await handset.phone.__aexit__()
        await asyncio.to_thread(server.kill)
    sent = sum((handset.texts for handset in handsets), Counter[str]())
    print(f"{len(accepted)} messages, {KILLS} kills, {[len(h.texts) for h in handsets]} by phone")
    assert len(accepted) > 100
    assert accepted <= known.keys(), "accepted, and lost"
    assert set(sent) == set(known)
    assert set(sent.values()) == {1}, [name for name, times in sent.items() if times > 1]
