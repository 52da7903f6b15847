"""A real store in a temporary folder, with a clock that the test owns."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock
from textgate.testing.vault import VAULT


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "textgate.db", clock, VAULT)
    yield store
    await store.close()
