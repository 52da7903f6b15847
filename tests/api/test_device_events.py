"""The door through which phones send their events."""

from pathlib import Path

import pytest
from conversation import Conversation, play, read_conversations

FOLDER = Path(__file__).parent / "conversations" / "device_events"


@pytest.mark.parametrize("conversation", list(read_conversations(FOLDER)), ids=str)
async def test_a_conversation_of_events(conversation: Conversation, tmp_path: Path) -> None:
    await play(conversation, tmp_path)
