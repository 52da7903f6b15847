"""A mailbox is bounded, and what no longer fits in it is not lost."""

from textgate.domain.device import DeviceEvent, Nudge
from textgate.store.sqlite import SqliteStore
from textgate.store.watching import MOST, Mailbox

WEBHOOKS = Nudge("acc", "d1", DeviceEvent.WEBHOOKS_UPDATED)
ENQUEUED = Nudge("acc", "d1", DeviceEvent.MESSAGE_ENQUEUED)


def cancelled(n: int) -> Nudge:
    return Nudge("acc", "d1", DeviceEvent.MESSAGE_CANCELLED, (("messageId", f"m{n}"),))


def test_each_cancellation_stays_as_long_as_there_is_room() -> None:
    mailbox = Mailbox()
    for n in range(MOST):
        mailbox.put(cancelled(n))
    assert mailbox.take() == [cancelled(n) for n in range(MOST)]
    assert mailbox.take() == []


def test_beyond_it_the_phone_is_told_to_fetch_its_queue_which_shows_them() -> None:
    mailbox = Mailbox()
    mailbox.put(WEBHOOKS)
    for n in range(MOST):
        mailbox.put(cancelled(n))
    assert mailbox.take() == [WEBHOOKS, ENQUEUED, cancelled(MOST - 1)]


def test_it_never_grows_beyond_its_bound() -> None:
    mailbox = Mailbox()
    for n in range(3 * MOST):
        mailbox.put(cancelled(n))
    assert len(mailbox.take()) <= MOST


async def test_who_listens_is_hung_up_on_once_it_is_committed(store: SqliteStore) -> None:
    with store.listen("d1") as mine, store.listen("d2") as other:
        await store.write(lambda tx: tx.hang_up("d1"))
        assert (mine.closed, mine.filled.is_set(), other.closed) == (True, True, False)
