"""Each route for phones: what it does, and each way in which it refuses."""

from pathlib import Path

import pytest
from conversation import Conversation, play, read_conversations

FOLDER = Path(__file__).parent / "conversations" / "mobile_v1"


@pytest.mark.parametrize("conversation", list(read_conversations(FOLDER)), ids=str)
async def test_a_conversation_with_a_phone(conversation: Conversation, tmp_path: Path) -> None:
    await play(conversation, tmp_path)
