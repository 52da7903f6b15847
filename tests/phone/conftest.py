"""A phone in its own store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from handset_world import Phone, open_phone


@pytest.fixture
async def phone(tmp_path: Path) -> AsyncIterator[Phone]:
    opened = await open_phone(tmp_path)
    yield opened
    await opened.stop()
    await opened.store.close()
