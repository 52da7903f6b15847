"""An account on a real store, with hands that stand in for the engine of this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_world import World

from textgate.gateway.credentials import add_account
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock
from textgate.testing.vault import VAULT


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An account without channels and webhooks; nothing is begun unless a test begins it."""
    clock = FakeClock()
    store = SqliteStore(tmp_path / "textgate.db", clock, VAULT)
    account = await store.write(lambda tx: add_account(tx, password_hash="hash"))
    yield World(store, clock, account.id)
    await store.close()
