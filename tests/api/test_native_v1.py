"""Textgate's own API: each route, what it does, and each way in which it refuses."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from conversation import Conversation, Memory, check, read_conversations, say
from serving import PASSWORD, Served, serving

from textgate.api import native_v1, thirdparty_v1
from textgate.reading import duration

FOLDER = Path(__file__).parent / "conversations" / "native_v1"


@pytest.mark.parametrize("conversation", list(read_conversations(FOLDER)), ids=str)
async def test_a_conversation(conversation: Conversation, tmp_path: Path) -> None:
    settings: dict[str, Any] = {}
    for line in conversation.scene:
        word, _, rest = line.partition(" ")
        if word == "setting":
            name, _, value = rest.partition("=")
            settings[name] = int(value)
        else:
            assert line == "no channel", f"no such change of the scene: {line}"
    channel = "no channel" not in conversation.scene
    groups = (native_v1.GROUP, thirdparty_v1.GROUP)
    async with serving(tmp_path, *groups, channel=channel, **settings) as served:
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
