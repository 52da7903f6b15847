"""The real API with a real engine behind it, a far side on the loopback, and one way in."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "api"))  # its server and its conversations

from ingress_world import Gate, gate


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gate(tmp_path) as opened:
        yield opened
