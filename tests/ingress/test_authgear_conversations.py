"""Authgear's webhook and the older ``/send``, as conversations with a real engine behind them.

The files are in the form of ``tests/api/conversation.py``, with these changes of the scene before
the first ``> ``: ``ingress {…}`` and ``channel {…}`` say what is unusual about them, ``channel
{}`` leaves the channel out, ``no engine`` lets nobody send, ``far {…}`` or ``far 500 …`` is what
the provider says to the next request (else ``{"code":"ok"}``). The client presents no password; a
header ``Sign`` names the secret that it signs the body with. Between question and answer, ``! wait
25s`` lets the time pass once the message is stored, and ``! until waiting`` goes on when its first
attempt is over.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from conversation import Conversation, Memory, Said, check, read_conversations, say
from ingress_world import PROVIDER, SECRET, TAKEN, Gate, gate

from textgate.domain.signing import body_hex
from textgate.reading import duration
from textgate.testing.far_side import Say

FOLDER = Path(__file__).parent / "conversations"


@pytest.mark.parametrize("conversation", list(read_conversations(FOLDER)), ids=str)
async def test_a_conversation(conversation: Conversation, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {"engine": "no engine" not in conversation.scene}
    says = []
    for line in conversation.scene:
        word, _, rest = line.partition(" ")
        if word in ("ingress", "channel"):
            wanted[word] = json.loads(rest)
        elif word == "far":
            says.append(far_says(rest))
        else:
            assert line == "no engine", f"no such change of the scene: {line}"
    async with gate(tmp_path, **wanted) as world:
        world.far.on(PROVIDER, *says, script=lambda request: TAKEN)
        await hold(conversation, world)


def far_says(text: str) -> Say:
    if text == "drops":
        return Say(drop=True)
    status, _, rest = text.partition(" ")
    return Say(int(status), rest.encode()) if status.isdecimal() else Say(200, text.encode())


async def hold(conversation: Conversation, world: Gate) -> None:
    memory = Memory(basic="-", url=world.ingress["url"], secret=SECRET, far=world.far.url)
    asked: asyncio.Task[httpx.Response] | None = None
    before = 0
    for kind, said in conversation.turns:
        if kind == ">":
            before = len(await world.messages())
            client = world.api if said.first.split()[1].startswith("/v1") else world.project
            asked = asyncio.create_task(say(client, signed(said, memory), memory))
        elif kind == "<":
            assert asked is not None
            answer = await asyncio.wait_for(asked, 20)
            check(said, answer, memory)
            if "/ingress/" in answer.request.url.path:
                assert answer.content.endswith(b"}\n")
        elif said.first == "until waiting":
            await world.until_waiting()
        else:
            if asked is not None and not asked.done():
                await world.until_stored(before + 1)
                await world.until_asleep()
            world.served.clock.advance(
                int(duration(said.first.removeprefix("wait ")).total_seconds() * 1000)
            )


def signed(said: Said, memory: Memory) -> Said:
    headers = dict(said.headers)
    if not said.first.split()[1].startswith("/v1"):
        headers.setdefault("Authorization", "-")
    secret = headers.pop("Sign", None)
    if secret is not None:
        body = memory.fill(said.body).encode()
        headers["X-Authgear-Body-Signature"] = body_hex(memory.fill(secret), body)
    return Said(said.first, headers, said.body)
