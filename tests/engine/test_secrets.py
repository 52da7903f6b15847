"""Secrets are opened when a channel or a webhook is opened, and not for each message."""

from collections.abc import Callable

import pytest
from engine_world import HOOK, PROVIDER, World

from textgate.store.vault import Vault


async def test_no_message_is_kept_waiting_by_the_vault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def noting(vault: Vault, value: str, plain: Callable[[Vault, str], str] = Vault.open) -> str:
        opened.append(value)
        return plain(vault, value)

    monkeypatch.setattr(Vault, "open", noting)
    await world.channel()
    await world.webhook()
    await world.start()
    await world.submit()
    await world.settle_down()
    at_first = len(opened)
    await world.submit_many(10)
    await world.settle_down()
    assert world.far.count(PROVIDER) == world.far.count(HOOK) == 11
    assert at_first > 0
    assert len(opened) == at_first
