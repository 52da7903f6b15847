"""What is finished is kept for a time from its end, and not from its beginning."""

import asyncio

import pytest
from store_rows import DELIVERY, EVENT, MESSAGE, RECIPIENT, like

from textgate.domain.event import DeliveryState
from textgate.domain.identity import ENTROPY_BYTES, make_id
from textgate.domain.lifecycle import State
from textgate.store.base import Tx
from textgate.store.events import SETTLED
from textgate.store.sqlite import SqliteStore


async def test_old_finished_messages_go_and_open_ones_stay(store: SqliteStore) -> None:
    def fill(tx: Tx) -> None:
        tx.messages.add(MESSAGE)
        tx.recipients.add(RECIPIENT)
        tx.messages.add(like(MESSAGE, id="m2", state=State.SENT))
        tx.recipients.add(like(RECIPIENT, message_id="m2", state=State.SENT, due_at=None))
        tx.messages.add(like(MESSAGE, id="m3", state=State.SENT, created_at=9_000))

    await store.write(fill)
    assert await store.write(lambda tx: tx.messages.remove_finished("acc", 5_000, 10)) == 1
    found, total = await store.read(
        lambda tx: tx.messages.page("acc", since=0, until=10**15, limit=9, offset=0)
    )
    assert ([m.id for m in found], total) == (["m3", "m1"], 2)


async def test_a_message_is_kept_from_the_end_of_its_last_number(store: SqliteStore) -> None:
    def fill(tx: Tx) -> None:
        tx.messages.add(like(MESSAGE, state=State.DELIVERED, recipient_count=2))
        for n, at in enumerate((1_000, 9_000)):
            tx.recipients.add(
                like(RECIPIENT, n=n, state=State.DELIVERED, due_at=None, updated_at=at)
            )

    async def remove(before: int) -> int:
        return await store.write(lambda tx: tx.messages.remove_finished("acc", before, 10))

    await store.write(fill)
    assert [await remove(before) for before in (5_000, 9_000, 9_001)] == [0, 0, 1]
    assert await store.read(lambda tx: tx.recipients.of("acc", "m1")) == []


async def test_events_go_only_when_every_webhook_was_told(store: SqliteStore) -> None:
    old = [make_id(1_000, bytes([n] * ENTROPY_BYTES)) for n in range(2)]

    def fill(tx: Tx) -> None:
        for id_, state in zip(old, (DeliveryState.DELIVERED, DeliveryState.PENDING), strict=True):
            tx.events.add(like(EVENT, id=id_))
            tx.deliveries.add(like(DELIVERY, event_id=id_, state=state))
        tx.events.add(like(EVENT, id=make_id(5_000, bytes(ENTROPY_BYTES)), created_at=5_000))

    await store.write(fill)
    assert await store.write(lambda tx: tx.events.remove_settled("acc", 5_000, 10)) == 1
    kept = await store.read(lambda tx: tx.events.after("acc", "", 9))
    assert [event.created_at for event in kept] == [1_000, 5_000]
    assert kept[0].id == old[1]


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.DEAD])
async def test_an_event_is_kept_from_the_end_of_its_last_delivery(
    store: SqliteStore, state: DeliveryState
) -> None:
    id_ = make_id(1_000, bytes(ENTROPY_BYTES))

    def fill(tx: Tx) -> None:
        tx.events.add(like(EVENT, id=id_))
        for lane, at in (("key-1", 2_000), ("key-2", 9_000)):
            ended = like(DELIVERY, event_id=id_, lane=lane, state=state, due_at=None)
            tx.deliveries.add(like(ended, finished_at=at))

    async def remove(before: int) -> int:
        return await store.write(lambda tx: tx.events.remove_settled("acc", before, 10))

    await store.write(fill)
    assert [await remove(before) for before in (5_000, 9_000, 9_001)] == [0, 0, 1]
    assert await store.read(lambda tx: tx.deliveries.of_event("acc", id_)) == []


async def test_the_search_for_old_events_ends_where_the_young_begin(store: SqliteStore) -> None:
    values = {"account": "a", "first_kept": "P", "before": 5, "limit": 9}
    plan = await store.read(lambda tx: tx.all(f"EXPLAIN QUERY PLAN {SETTLED}", values))
    assert any("(account_id=? AND id<?)" in row[-1] for row in plan), plan
    assert not any("SCAN" in row[-1] or "TEMP B-TREE" in row[-1] for row in plan), plan


async def test_the_space_of_removed_rows_goes_back_beside_other_writes(store: SqliteStore) -> None:
    def fill(tx: Tx) -> None:
        for n in range(40):
            tx.messages.add(like(MESSAGE, id=f"m{n}", state=State.SENT, text="x" * 10_000))

    def free_pages(tx: Tx) -> int:
        [(pages,)] = tx.all("PRAGMA freelist_count")
        return int(pages)

    await store.write(fill)
    await store.write(lambda tx: tx.messages.remove_finished("acc", 10**15, 100))
    assert await store.read(free_pages) > 50
    await asyncio.gather(
        store.write(lambda tx: tx.messages.add(MESSAGE)),
        store.write(lambda tx: tx.shrink()),
    )
    assert await store.read(free_pages) == 0
    assert await store.read(lambda tx: tx.messages.get("acc", MESSAGE.id)) is not None
