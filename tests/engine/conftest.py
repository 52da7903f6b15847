"""An account on a real store, a far side on the loopback, and an engine that a story starts."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from engine_world import World

from textgate.gateway.credentials import add_account
from textgate.outbound.guard import Guard
from textgate.testing.clock import FakeClock
from textgate.testing.far_side import FarSide
from textgate.testing.vault import VAULT
from textgate.testing.watched import WatchedHttp, WatchedStore


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Faults are provoked here by the dozen, and a coloured traceback takes a tenth of a second."""
    before = structlog.get_config()
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    yield
    structlog.configure(**before)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock, guard = FakeClock(), Guard(allow_loopback=True)
    path = tmp_path / "textgate.db"
    store = WatchedStore(path, clock, VAULT)
    http = WatchedHttp(guard, user_agent="test")
    account = await store.write(lambda tx: add_account(tx, password_hash="hash"))
    async with FarSide() as far:
        world = World(path, clock, store, http, far, account.id, guard)
        yield world
        for engine in world.engines:
            await engine.stop(0)
        await http.close()
    await store.close()
