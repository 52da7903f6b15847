"""The push relay for others: what it takes, and that it is closed unless it is opened."""

from pathlib import Path

import pytest
from conversation import Conversation, play, read_conversations

FOLDER = Path(__file__).parent / "conversations" / "upstream"


@pytest.mark.parametrize("conversation", list(read_conversations(FOLDER)), ids=str)
async def test_a_conversation(conversation: Conversation, tmp_path: Path) -> None:
    await play(conversation, tmp_path)  # with all routes that a server of these settings has
