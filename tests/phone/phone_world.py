"""Phones in this process, hurried, and the servers they talk to."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from textgate.clock import SystemClock
from textgate.domain.account import Account
from textgate.domain.times import Milliseconds
from textgate.phone.behaviour import Behaviour
from textgate.phone.cloud import Cloud, Plan, Told, open_cloud
from textgate.phone.ground import Reach
from textgate.phone.sign_in import SignIn
from textgate.store.base import Store, Tx
from textgate.testing.receiver import Answer, Call
from textgate.testing.server import Server

WAIT_S = 20.0
HURRY = 100
"""How many times faster a phone waits: 10 s are 0.1 s."""
NUMBER = "+12025550101"


class HurriedClock(SystemClock):
    """The time of this machine; who sleeps wakes early."""

    def __init__(self, hurry: int) -> None:
        self._hurry = hurry

    async def sleep(self, ms: Milliseconds) -> None:
        await asyncio.sleep(ms / 1000 / self._hurry)


@dataclass
class Living:
    """Phones that live, and what they told."""

    cloud: Cloud
    told: deque[Told]
    task: "asyncio.Task[None]"

    @property
    def store(self) -> Store:
        return self.cloud._ground.store

    @property
    def id(self) -> str:
        """The first phone's."""
        member = self.cloud.phones[0].member
        assert member is not None
        return member.known.id

    def kinds(self, kind: str) -> list[Told]:
        return [told for told in self.told if told.happening.kind == kind]

    async def account(self) -> Account:
        account_id = self.cloud.phones[0].account_id
        found = await self.store.read(lambda tx: tx.accounts.get(account_id))
        assert found is not None
        return found

    async def read(self, look: Callable[[Tx, str], Any]) -> Any:
        account_id = self.cloud.phones[0].account_id
        return await self.store.read(lambda tx: look(tx, account_id))

    async def until(self, holds: Callable[[], Any], within_s: float = WAIT_S) -> Any:
        """Return what ``holds`` finds, as soon as it is something."""

        async def look() -> Any:
            while not (found := holds()):
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)
            return found

        try:
            return await asyncio.wait_for(look(), within_s)
        except TimeoutError:
            said = "\n".join(f"{t.happening.kind}: {t.happening.text}" for t in self.told)
            raise AssertionError(f"it never came to be:\n{said}") from None

    async def connected(self, times: int = 1) -> None:
        await self.until(lambda: len(self.kinds("connected")) >= times)


@contextlib.asynccontextmanager
async def phones(
    folder: Path, server: str, *, hurry: int = HURRY, **wanted: Any
) -> AsyncIterator[Living]:
    """Phones with their data in ``folder``; ``wanted`` are members of ``Plan``."""
    told: deque[Told] = deque(maxlen=10_000)
    wanted.setdefault("behaviour", Behaviour(seed=1))
    plan = Plan(data=folder, server=server, **wanted)
    reach = Reach(version=plan.behaviour.version)
    async with open_cloud(plan, HurriedClock(hurry), reach, told.append) as cloud:
        task = asyncio.create_task(cloud.run())
        try:
            yield Living(cloud, told, task)
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def member_of(server: Server) -> SignIn:
    """How a phone joins the server's first account."""
    return SignIn(login=server.login, password=server.password)


@dataclass
class Api:
    """The server as its user sees it."""

    http: httpx.AsyncClient

    async def send(self, text: str = "Hello", **more: Any) -> str:
        wanted = {"textMessage": {"text": text}, "phoneNumbers": [NUMBER], **more}
        answer = await self.http.post("/3rdparty/v1/messages", json=wanted)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def message(self, message_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get(f"/3rdparty/v1/messages/{message_id}")).json()
        return found

    async def reaches(self, message_id: str, state: str) -> dict[str, Any]:
        """Return the message as soon as it is in this state."""
        message: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while (message := await self.message(message_id))["state"] != state:
                    await asyncio.sleep(0.02)
        assert message["state"] == state, message
        return message


@contextlib.asynccontextmanager
async def api_of(server: Server) -> AsyncIterator[Api]:
    auth = (server.login, server.password)
    async with httpx.AsyncClient(
        base_url=server.url, auth=auth, trust_env=False, timeout=20
    ) as http:
        yield Api(http)


@dataclass
class Mock:
    """A server of a test's own making, behind a ``Receiver``: what it answers to which call."""

    queue: list[Any] = field(default_factory=list)
    webhooks: list[Any] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    """By method and path: what is answered before all else."""

    def __call__(self, call: Call) -> Answer:
        path = call.path.partition("?")[0]
        if self.answers.get(f"{call.method} {path}"):
            return self.answers[f"{call.method} {path}"].pop(0)
        match call.method, path:
            case "POST", "/m/device":
                return said({"id": "d" * 21, "token": "t" * 21, "login": "A", "password": "p"})
            case "GET", "/m/events":
                return Answer(404)  # a phone lives without; it polls
            case "GET", "/m/message":
                return said(self.queue)
            case "GET", "/m/webhooks":
                return said(self.webhooks)
            case "GET", "/m/settings":
                return said(self.settings)
        return Answer(204)


def said(value: Any) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def reports(calls: list[Call]) -> list[Any]:
    """What was reported, in the order of arrival; each request holds one."""
    found = [call.json for call in calls if (call.method, call.path) == ("PATCH", "/m/message")]
    assert all(len(each) == 1 for each in found)
    return [each[0] for each in found]
