"""Who follows an account learns which of its messages moved."""

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


async def test_what_is_not_kept_is_no_move(store: SqliteStore) -> None:
    def fail(tx: Tx) -> None:
        send(tx)
        raise Conflict("no")

    with store.follow("acc") as moves:
        with pytest.raises(Conflict):
            await store.write(fail)
        assert moves.take() == []


async def test_who_went_away_is_told_nothing(store: SqliteStore) -> None:
    with store.follow("acc") as gone:
        pass
    await store.write(send)
    assert gone.take() == []
