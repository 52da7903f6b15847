"""The queues of phones as the store keeps them: what is whose, and how it is found."""

from typing import Any

from sql_plans import plans
from store_rows import DEVICE, MESSAGE, RECIPIENT, SEND_ATTEMPT, like

from textgate.domain.lifecycle import State
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import START, FakeClock

PHONE, OTHER = "lane-1", "lane-2"
LATER = START + 60_000


def put(tx: Tx, message_id: str, n: int = 0, **fields: Any) -> None:
    """A message with one number more, offered to the phone unless ``fields`` say otherwise."""
    of_message = {"id": message_id, "created_at": START, "schedule_at": fields.pop("at", None)}
    tx.messages.add(like(MESSAGE, **of_message))
    known = {"message_id": message_id, "n": n, "due_at": LATER, "updated_at": START}
    tx.recipients.add(like(RECIPIENT, **known | fields))


async def test_what_is_offered_in_hand_and_reported_are_three_things(store: SqliteStore) -> None:
    def work(tx: Tx) -> None:
        put(tx, "offered")
        put(tx, "looked-after", holder="process")
        put(tx, "in-hand", holder=PHONE)
        put(tx, "reported", holder=PHONE, provider_ref="reported", state=State.PROCESSED)
        put(tx, "scheduled", holder=PHONE, at=LATER)
        put(tx, "sent", due_at=None, provider_ref="sent", state=State.SENT)
        put(tx, "of-another", lane=OTHER)
        put(tx, "too-late", deadline=START)

    await store.write(work)

    def look(tx: Tx) -> tuple[object, ...]:
        q = tx.phone_queues
        return (
            [message_id for message_id, _ in q.offered(PHONE, "fifo", 10)],
            sorted(r.message_id for r in q.in_hand(PHONE)),
            q.busy_with(PHONE, START - 1),
            q.busy_with(PHONE, START),
            q.unfinished(PHONE, 10),
            q.unfinished(PHONE, 3),
            q.pending(PHONE, 10),
            (q.waits(PHONE), q.waits("nobody")),
        )

    assert await store.read(look) == (
        ["looked-after", "offered"],
        ["in-hand", "reported", "scheduled"],
        2,
        1,
        6,
        3,
        4,
        (True, False),
    )


async def test_each_message_is_offered_once_whatever_its_numbers(store: SqliteStore) -> None:
    await store.write(lambda tx: [put(tx, "m", n) for n in range(3)])
    assert await store.read(lambda tx: tx.phone_queues.offered(PHONE, "lifo", 10)) == [("m", None)]
    assert await store.read(lambda tx: tx.phone_queues.pending(PHONE, 10)) == 1


async def test_the_oldest_counts_from_when_it_could_be_sent(
    store: SqliteStore, clock: FakeClock
) -> None:
    await store.write(lambda tx: put(tx, "m", at=LATER))
    assert await store.read(lambda tx: tx.phone_queues.oldest_pending(PHONE)) is None
    clock.advance(60_000)
    assert await store.read(lambda tx: tx.phone_queues.oldest_pending(PHONE)) == LATER


async def test_work_is_put_back_only_by_its_take(store: SqliteStore, clock: FakeClock) -> None:
    await store.write(lambda tx: put(tx, "m"))
    clock.advance(60_000)
    [job] = await store.write(lambda tx: tx.recipients.take(PHONE, 10))
    back = {"due_at": LATER + 1, "holder": None, "uncertain": False}
    put_back = await store.write(lambda tx: tx.phone_queues.put_back(job.recipient, **back))
    again = await store.write(lambda tx: tx.phone_queues.put_back(job.recipient, **back))
    assert (put_back, again) == (True, False)
    after = await store.read(lambda tx: tx.recipients.one("acc", "m", 0))
    assert after is not None
    found = (after.attempt, after.due_at, after.holder, after.updated_at)
    assert found == (0, LATER + 1, None, START), "since when the phone has it does not change"


async def test_the_tries_of_phones_are_told_apart(store: SqliteStore, clock: FakeClock) -> None:
    mine = like(RECIPIENT, message_id="m")
    begun = like(SEND_ATTEMPT, message_id="m", started_at=START, elapsed_ms=None, outcome=None)
    await store.write(lambda tx: (put(tx, "m"), tx.recipients.add_attempt(begun)))

    def look(tx: Tx) -> tuple[bool, ...]:
        q = tx.phone_queues
        return (
            q.tried(mine, PHONE),
            q.tried(mine, PHONE, open_only=True),
            q.tried(mine, OTHER),
            q.in_doubt(mine),
        )

    assert await store.read(look) == (True, True, False, True)
    clock.advance(250)
    await store.write(lambda tx: tx.phone_queues.end_try(mine, OTHER, "accepted"))
    assert await store.read(look) == (True, True, False, True)
    await store.write(lambda tx: tx.phone_queues.end_try(mine, PHONE, "rejected", "unknown", "no"))
    assert await store.read(look) == (True, False, False, False)
    [attempt] = await store.read(lambda tx: tx.recipients.attempts("acc", "m"))
    found = (attempt.outcome, attempt.reason, attempt.detail, attempt.elapsed_ms)
    assert found == ("rejected", "unknown", "no", 250.0)
    await store.write(lambda tx: tx.phone_queues.end_try(mine, PHONE, "accepted"))
    [attempt] = await store.read(lambda tx: tx.recipients.attempts("acc", "m"))
    assert attempt.outcome == "rejected", "an end is an end"


async def test_how_the_last_numbers_ended(store: SqliteStore) -> None:
    def work(tx: Tx) -> None:
        for at, state in enumerate((State.SENT, State.FAILED, State.DELIVERED), START):
            name = f"m{at}"
            put(tx, name, due_at=None, provider_ref=name, state=state, updated_at=at)
        put(tx, "unfinished", provider_ref="unfinished", updated_at=START + 9)
        put(tx, "never-reported", due_at=None, state=State.FAILED, updated_at=START + 9)

    await store.write(work)
    last = await store.read(lambda tx: tx.phone_queues.last_ends(PHONE, START - 1, 2))
    assert last == [State.DELIVERED, State.FAILED]
    assert await store.read(lambda tx: tx.phone_queues.last_ends(PHONE, START, 9)) == last


async def test_phones_are_found_by_when_they_were_heard_of(store: SqliteStore) -> None:
    def work(tx: Tx) -> None:
        for n in (2, 3, 1):
            unique = {"token_hash": f"digest-{n}", "event_key": f"key-{n}"}
            tx.devices.add(like(DEVICE, id=f"p{n}", last_seen=n, **unique))

    await store.write(work)
    recent = await store.read(lambda tx: tx.phone_queues.recent("acc", 2))
    assert recent == [("p3", 3), ("p2", 2)]


async def test_a_message_is_shown_with_the_channel_that_has_all_of_it(store: SqliteStore) -> None:
    await store.write(lambda tx: (put(tx, "m", 0, lane=OTHER), put(tx, "m", 1)))

    async def shown() -> str:
        await store.write(lambda tx: tx.messages.carried_by("acc", "m", OTHER))
        found = await store.read(lambda tx: tx.messages.get("acc", "m"))
        assert found is not None
        return found.device_id

    assert await shown() == PHONE
    await store.write(lambda tx: tx.run("UPDATE recipient SET lane = ?", (OTHER,)))
    assert await shown() == OTHER


async def test_a_stamp_is_kept_as_it_came_first(store: SqliteStore) -> None:
    def work(tx: Tx) -> None:
        put(tx, "m")
        for at in (5, 6):
            tx.messages.stamp("acc", "m", State.SENT, at)

    await store.write(work)
    found = await store.read(lambda tx: tx.messages.get("acc", "m"))
    assert found is not None
    assert (found.state, found.sent_at) == (State.PENDING, 5)


async def test_no_look_at_one_phone_goes_over_what_others_have(store: SqliteStore) -> None:
    def ask(tx: Tx) -> None:
        q = tx.phone_queues
        q.in_hand(PHONE)
        q.busy_with(PHONE, 0)
        q.unfinished(PHONE, 10)
        q.offered(PHONE, "lifo", 10)
        q.last_ends(PHONE, 0, 3)
        q.recent("acc", 10)

    hand, busy, owed, offered, ends, recent = await plans(store, ask)
    assert "recipient_in_hand (holder=?)" in hand
    assert "recipient_in_hand (holder=?)" in busy
    assert "COVERING INDEX recipient_due (lane=?" in owed
    assert "recipient_due (lane=?" in offered
    assert "recipient_reported (lane=? AND updated_at>?)" in ends
    assert "COVERING INDEX device_by_last_seen (account_id=?)" in recent
