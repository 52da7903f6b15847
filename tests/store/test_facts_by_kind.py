"""What is noted of a phone can be asked for by kind."""

from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore


async def test_facts_are_returned_by_kind(store: SqliteStore) -> None:
    def put(tx: Tx) -> None:
        for fact in ("told:a", "told:b", "tolds:c", "tole:d", "event:e", "told"):
            tx.devices.add_fact("acc", "phone", fact)
        tx.devices.add_fact("acc", "other", "told:f")

    await store.write(put)
    assert await store.read(lambda tx: tx.devices.facts("acc", "phone", "told")) == {"a", "b"}
    assert await store.read(lambda tx: tx.devices.facts("acc", "phone", "none")) == set()
