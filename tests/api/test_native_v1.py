"""Textgate's own API: each route, what it does, and each way in which it refuses."""

from pathlib import Path

import pytest
from conversation import Conversation, play, read_conversations

from textgate.api import mobile_v1, native_v1, thirdparty_v1

FOLDER = Path(__file__).parent / "conversations" / "native_v1"


@pytest.mark.parametrize("conversation", list(read_conversations(FOLDER)), ids=str)
async def test_a_conversation(conversation: Conversation, tmp_path: Path) -> None:
    await play(conversation, tmp_path, native_v1.GROUP, thirdparty_v1.GROUP, mobile_v1.GROUP)
