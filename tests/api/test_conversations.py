"""Each route of the dialect: what it does, and each way in which it refuses."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from conversation import Conversation, Memory, check, read_conversations, say
from serving import PASSWORD, Served, serving

from textgate.api import thirdparty_v1
from textgate.reading import duration

FOLDER = Path(__file__).parent / "conversations" / "thirdparty_v1"


@pytest.mark.parametrize("conversation", list(read_conversations(FOLDER)), ids=str)
async def test_a_conversation(conversation: Conversation, tmp_path: Path) -> None:
    settings: dict[str, Any] = {}
    channel = True
    for line in conversation.scene:
        word, _, rest = line.partition(" ")
        if line == "no channel":
            channel = False
        elif word == "setting":
            name, _, value = rest.partition("=")
            settings[name] = int(value) if value.isdecimal() else value
        else:
            pytest.fail(f"no such change of the scene: {line}")
    async with serving(tmp_path, thirdparty_v1.GROUP, channel=channel, **settings) as served:
        await _hold(conversation, served)


async def _hold(conversation: Conversation, served: Served) -> None:
    basic = base64.b64encode(f"{served.login}:{PASSWORD}".encode()).decode()
    memory = Memory(login=served.login, password=PASSWORD, basic=f"Basic {basic}")
    async with served.client(auth=None) as client:
        answer = None
        for kind, said in conversation.turns:
            if kind == ">":
                answer = await say(client, said, memory)
            elif kind == "<":
                assert answer is not None
                check(said, answer, memory)
            else:
                assert said.first.startswith("wait "), said.first
                served.clock.advance(int(duration(said.first[5:]).total_seconds() * 1000))
                await asyncio.sleep(0)
