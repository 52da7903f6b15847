"""Each route of a phone's own API: what it does, and each way in which it refuses.

The phone behind it is the real one, under a clock that stands still until a conversation moves it.
Beside the usual changes of the scene: ``reaches ID STATE`` lets time pass until a message has come
so far; ``sms {…}`` is a message from the air; ``behave {…}`` changes the phone; ``log PRIORITY
TEXT`` writes into its log; ``inbox N`` and ``told EVENT N`` wait until so many are there.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from conversation import Conversation, Memory, check, read_conversations, say

from textgate.domain.lifecycle import State
from textgate.phone.behaviour import Behaviour
from textgate.phone.incoming import Incoming, Part
from textgate.phone.local import Local, LocalOptions, open_local
from textgate.reading import duration
from textgate.store.base import Tx
from textgate.testing.clock import FakeClock

FOLDER = Path(__file__).parent / "conversations" / "local"
PASSWORD = "eight-ch"
PATIENCE_S = 20.0
STEP_MS = 100


class Spoken(msgspec.Struct, rename="camel"):
    """A message from the air, as a conversation writes it."""

    sender: str
    text: str = ""
    kind: Any = "SMS"
    transaction_id: str | None = None
    attachments: list[dict[str, str]] = []

    def incoming(self) -> Incoming:
        parts = [
            Part(content_type=a["contentType"], name=a["name"], data=a["data"])
            for a in self.attachments
        ]
        return Incoming(
            sender=self.sender,
            text=self.text,
            kind=self.kind,
            transaction_id=self.transaction_id,
            attachments=tuple(parts),
        )


class Scene:
    """A phone in local mode, and what a conversation can have happen on it."""

    def __init__(self, local: Local, clock: FakeClock) -> None:
        self.local, self.clock = local, clock
        basic = base64.b64encode(f"{local.answering.user}:{PASSWORD}".encode()).decode()
        self.memory = Memory(device=local.answering.device_id, basic=f"Basic {basic}")

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.local.answering.url, timeout=20, trust_env=False)

    async def happen(self, line: str) -> None:
        word, _, rest = self.memory.fill(line).partition(" ")
        handset = self.local.handset
        match word:
            case "wait":
                self.clock.advance(int(duration(rest).total_seconds() * 1000))
            case "sms":
                said = msgspec.json.decode(rest, type=Spoken)
                await handset.receive(said.incoming())
            case "behave":
                changes = json.loads(rest)
                handset.behaviour = msgspec.structs.replace(handset.behaviour, **changes)
            case "log":
                priority, _, text = rest.partition(" ")
                await self.local.ground.store.write(
                    lambda tx: tx.logs.add(self.local.account_id, priority, "test", text)
                )
            case "reaches":
                message_id, _, state = rest.partition(" ")
                await self.until(
                    lambda tx: self._reached(tx, message_id, State(state)), pass_time=True
                )
            case "inbox":
                await self.until(lambda tx: self._received(tx) == int(rest))
            case "told":
                event, _, count = rest.partition(" ")
                await self.until(lambda tx: self._told(tx, event) == int(count))
            case _:
                pytest.fail(f"no such change of the scene: {line}")

    async def until(self, holds: Callable[[Tx], bool], *, pass_time: bool = False) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await self.local.ground.store.read(holds):
                if pass_time:
                    wake = self.clock.next_wake()
                    self.clock.advance(max(STEP_MS, (wake or 0) - self.clock.now()))
                await asyncio.sleep(0.002)

    def _reached(self, tx: Tx, message_id: str, state: State) -> bool:
        """Every number is at its end or there, and the message is in this state."""
        message = tx.messages.get(self.local.account_id, message_id)
        states = tx.recipients.states(self.local.account_id, message_id)
        under_way = {State.PENDING, State.PROCESSED} - {state}
        return message is not None and message.state is state and not under_way & set(states)

    def _received(self, tx: Tx) -> int:
        found = tx.inbox.page(self.local.account_id, since=0, until=2**62, limit=1, offset=0)
        return found[1]

    def _told(self, tx: Tx, event: str) -> int:
        events = tx.events.after(self.local.account_id, "", 1_000)
        return len([one for one in events if one.type == event])


@asynccontextmanager
async def phone(folder: Path, **behaviour: Any) -> AsyncIterator[Scene]:
    clock, answers = FakeClock(), asyncio.Event()
    options = LocalOptions(
        data=folder, port=0, password=PASSWORD, behaviour=Behaviour(seed=1, **behaviour)
    )
    async with open_local(options, clock, lambda happening: None, started=answers.set) as local:
        living = asyncio.create_task(local.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await answers.wait()
            yield Scene(local, clock)
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)


@pytest.mark.parametrize("conversation", list(read_conversations(FOLDER)), ids=str)
async def test_a_conversation_with_a_phone(conversation: Conversation, tmp_path: Path) -> None:
    assert not conversation.scene
    async with phone(tmp_path) as scene, scene.client() as client:
        answer = None
        for kind, said in conversation.turns:
            if kind == ">":
                answer = await say(client, said, scene.memory)
            elif kind == "<":
                assert answer is not None
                check(said, answer, scene.memory)
            else:
                await scene.happen(said.first)


async def test_tokens_are_those_of_the_app(tmp_path: Path) -> None:
    async with phone(tmp_path) as scene, scene.client() as client:
        basic = {"Authorization": scene.memory.known["basic"]}
        wanted = {"scopes": ["messages:read", "logs:read"], "ttl": 3_600}
        pair = (await client.post("/auth/token", json=wanted, headers=basic)).json()
        now = scene.clock.now() // 1000
        access, refresh = (
            jwt.decode(pair[f"{kind}_token"], options={"verify_signature": False})
            for kind in ("access", "refresh")
        )
        assert access.pop("jti") == pair["id"]
        assert access == {
            "iss": "me.capcom.smsgateway",
            "iat": now,
            "exp": now + 3_600,
            "scopes": ["messages:read", "logs:read"],
            "token_use": "access",
        }
        assert refresh.pop("jti") != pair["id"]
        assert refresh == {
            "iss": "me.capcom.smsgateway",
            "iat": now,
            "exp": now + 7 * 3_600,
            "scopes": ["tokens:refresh"],
            "original_scopes": ["messages:read", "logs:read"],
            "token_use": "refresh",
        }


async def test_bytes_of_an_attachment(tmp_path: Path) -> None:
    async with phone(tmp_path) as scene, scene.client() as client:
        photo = Part(content_type="image/png", name="a b.png", data="aGk=")
        incoming = Incoming(kind="MMS_DOWNLOADED", sender="+33700000001", attachments=(photo,))
        await scene.local.handset.receive(incoming)
        basic = {"Authorization": scene.memory.known["basic"]}
        listed = await client.get("/inbox?includeAttachments=true", headers=basic)
        [message] = listed.json()
        [part] = message["attachments"]
        path = f"/inbox/{message['id']}/attachments/{part['partId']}"
        answer = await client.get(path, headers=basic)
        assert (answer.status_code, answer.content) == (200, b"hi")
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a b.png"'


async def test_secrets_typed_by_the_api_are_sealed_and_used(tmp_path: Path) -> None:
    async with phone(tmp_path) as scene, scene.client() as client:
        basic = {"Authorization": scene.memory.known["basic"]}
        change = {
            "encryption": {"passphrase": "open sesame"},
            "webhooks": {"signing_key": "s3cr3tK1"},
        }
        answer = await client.patch("/settings", json=change, headers=basic)
        assert answer.status_code == 200
        account = await scene.local.ground.store.read(
            lambda tx: tx.accounts.get(scene.local.account_id)
        )
        assert account is not None
        assert account.webhook_secret == "s3cr3tK1"
        kept = account.settings["encryption"]["passphrase"]
        assert "sesame" not in kept
        assert await scene.local.ground.store.read(lambda tx: tx.vault.open(kept)) == "open sesame"
