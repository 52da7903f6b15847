"""Who waits for a message learns that it moved; who follows an account, which of its did."""

import asyncio

import pytest
from store_rows import MESSAGE, RECIPIENT, like

from textgate.domain.errors import Conflict
from textgate.domain.lifecycle import State
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore

SENT = like(RECIPIENT, state=State.SENT)
OTHER = like(RECIPIENT, message_id="m2")


@pytest.fixture(autouse=True)
async def messages(store: SqliteStore) -> None:
    def put(tx: Tx) -> None:
        for recipient in (RECIPIENT, OTHER):
            tx.messages.add(like(MESSAGE, id=recipient.message_id))
            tx.recipients.add(recipient)

    await store.write(put)


def send(tx: Tx) -> bool:
    return tx.recipients.move(RECIPIENT, SENT)


async def test_all_who_watch_a_message_learn_of_its_move(store: SqliteStore) -> None:
    with store.watch("acc", "m1") as one, store.watch("acc", "m1") as two:
        assert await store.write(send)
        assert (one.is_set(), two.is_set()) == (True, True)


async def test_a_watcher_is_told_of_each_move_until_it_goes(store: SqliteStore) -> None:
    delivered = like(SENT, state=State.DELIVERED)
    with store.watch("acc", "m1") as staying:
        with store.watch("acc", "m1") as gone:
            await store.write(send)
        staying.clear()
        gone.clear()
        await store.write(lambda tx: tx.recipients.move(SENT, delivered))
        assert (staying.is_set(), gone.is_set()) == (True, False)


async def test_the_moves_of_others_are_no_news(store: SqliteStore) -> None:
    moved = like(OTHER, state=State.SENT)
    with store.watch("acc", "m1") as mine, store.watch("stranger", "m2") as strangers:
        assert await store.write(lambda tx: tx.recipients.move(OTHER, moved))
        assert (mine.is_set(), strangers.is_set()) == (False, False)


async def test_a_move_that_is_not_kept_is_no_news(store: SqliteStore) -> None:
    def fail(tx: Tx) -> None:
        send(tx)
        raise Conflict("no")

    with store.watch("acc", "m1") as event:
        with pytest.raises(Conflict):
            await store.write(fail)
        assert not event.is_set()
        await store.write(send)
        event.clear()
        assert not await store.write(send)  # it has moved already
        assert not event.is_set()


async def test_who_comes_between_a_move_and_its_commit_learns_of_it(store: SqliteStore) -> None:
    ran = asyncio.Event()
    write = asyncio.create_task(store.write(lambda tx: (send(tx), ran.set())))
    await ran.wait()
    assert not write.done()
    with store.watch("acc", "m1") as event:
        await write
        assert event.is_set()


# --- who follows an account ---


async def test_a_follower_learns_once_of_each_message_that_moved(store: SqliteStore) -> None:
    delivered = like(SENT, state=State.DELIVERED)
    with store.follow("acc") as moves, store.follow("stranger") as strangers:
        await store.write(send)
        await store.write(lambda tx: tx.recipients.move(SENT, delivered))
        await store.write(lambda tx: tx.recipients.move(OTHER, like(OTHER, state=State.SENT)))
        assert moves.filled.is_set()
        assert moves.take() == ["m1", "m2"]
        assert (moves.filled.is_set(), moves.take()) == (False, [])
        assert not strangers.filled.is_set()


async def test_what_is_not_kept_is_no_move_to_follow(store: SqliteStore) -> None:
    def fail(tx: Tx) -> None:
        send(tx)
        raise Conflict("no")

    with store.follow("acc") as moves:
        with pytest.raises(Conflict):
            await store.write(fail)
        assert moves.take() == []


async def test_who_follows_no_more_is_told_nothing(store: SqliteStore) -> None:
    with store.follow("acc") as gone:
        pass
    await store.write(send)
    assert gone.take() == []
