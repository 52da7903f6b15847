"""The promises of ``Store`` and ``Tx``."""

import asyncio
import time
from pathlib import Path

import apsw
import pytest
from store_rows import (
    ACCOUNT,
    ATTACHMENT,
    CALL_ATTEMPT,
    CHANNEL,
    DELIVERY,
    DEVICE,
    EVENT,
    INBOUND,
    INGRESS,
    MESSAGE,
    RECIPIENT,
    SCRIPT,
    SEND_ATTEMPT,
    SMS_GATEWAY,
    TEMPLATE,
    TOKEN,
    WEBHOOK,
    Taker,
    like,
)

from textgate.domain.device import DeviceEvent
from textgate.domain.errors import Conflict, Unavailable
from textgate.domain.event import CallJob, DeliveryState
from textgate.domain.lifecycle import State
from textgate.domain.message import Receipt
from textgate.store.base import LEASE_MS, Tx
from textgate.store.deliveries import Deliveries
from textgate.store.migrate import NEWEST
from textgate.store.recipients import Recipients
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock
from textgate.testing.vault import VAULT


def put(tx: Tx) -> None:
    tx.messages.add(MESSAGE)
    tx.recipients.add(RECIPIENT)


async def test_what_a_write_returns_is_on_disk(store: SqliteStore, tmp_path: Path) -> None:
    await store.write(lambda tx: tx.accounts.add(ACCOUNT))
    other = apsw.Connection(str(tmp_path / "textgate.db"))
    assert other.execute("SELECT login FROM account").fetchall() == [("LOGIN1",)]


async def test_the_disk_is_asked_to_keep_each_commit(store: SqliteStore) -> None:
    full, wal = await store.write(
        lambda tx: (tx.one("PRAGMA synchronous"), tx.one("PRAGMA journal_mode"))
    )
    assert (full, wal) == ((2,), ("wal",))


async def test_a_write_that_raises_leaves_nothing(store: SqliteStore) -> None:
    def work(tx: Tx) -> None:
        tx.accounts.add(ACCOUNT)
        raise Conflict("no")

    with pytest.raises(Conflict):
        await store.write(work)
    assert await store.read(lambda tx: tx.accounts.all()) == []


async def test_a_failing_write_fails_alone_in_its_group(store: SqliteStore) -> None:
    def failing(tx: Tx) -> None:
        tx.accounts.add(like(ACCOUNT, id="bad", login="BAD"))
        raise Conflict("no")

    def good(n: int) -> "asyncio.Future[None]":
        row = like(ACCOUNT, id=f"a{n}", login=f"L{n}")
        return asyncio.ensure_future(store.write(lambda tx: tx.accounts.add(row)))

    results = await asyncio.gather(good(1), store.write(failing), good(2), return_exceptions=True)
    assert isinstance(results[1], Conflict)
    assert sorted(a.login for a in await store.read(lambda tx: tx.accounts.all())) == ["L1", "L2"]


async def test_writes_asked_for_together_share_a_commit(store: SqliteStore, tmp_path: Path) -> None:
    watcher = apsw.Connection(str(tmp_path / "textgate.db"))
    before = watcher.pragma("data_version")
    seen: list[object] = []

    def add(n: int) -> "asyncio.Future[None]":
        row = like(ACCOUNT, id=f"a{n}", login=f"L{n}")

        def work(tx: Tx) -> None:
            tx.accounts.add(row)
            seen.append(watcher.pragma("data_version") == before)

        return asyncio.ensure_future(store.write(work))

    await asyncio.gather(*(add(n) for n in range(20)))
    assert seen == [True] * 20  # nothing was visible outside until the last of them had run
    assert watcher.execute("SELECT count(*) FROM account").fetchall() == [(20,)]


async def test_a_caller_that_goes_away_does_not_undo_its_write(store: SqliteStore) -> None:
    task = asyncio.create_task(store.write(lambda tx: tx.accounts.add(ACCOUNT)))
    await asyncio.sleep(0)
    task.cancel()
    await store.write(lambda tx: None)
    assert [a.id for a in await store.read(lambda tx: tx.accounts.all())] == ["acc"]


async def test_ids_sort_in_the_order_they_were_made(store: SqliteStore) -> None:
    ids = await store.write(lambda tx: [tx.new_id() for _ in range(500)])
    ids += await store.write(lambda tx: [tx.new_id() for _ in range(500)])
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {21}


async def test_ids_go_on_when_the_clock_goes_back(store: SqliteStore, clock: FakeClock) -> None:
    first = await store.write(lambda tx: tx.new_id())
    clock.advance(-3_600_000)
    assert await store.write(lambda tx: tx.new_id()) > first


async def test_events_stay_in_order_over_a_restart_with_a_clock_set_back(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(tmp_path / "t.db", clock, VAULT)
    first = await store.write(lambda tx: tx.new_id())
    await store.write(lambda tx: (tx.accounts.add(ACCOUNT), tx.events.add(like(EVENT, id=first))))
    await store.close()
    clock.advance(-86_400_000)
    store = SqliteStore(tmp_path / "t.db", clock, VAULT)
    assert await store.write(lambda tx: tx.new_id()) > first
    await store.close()


async def test_work_whose_lease_ran_out_is_due_again(store: SqliteStore, clock: FakeClock) -> None:
    await store.write(put)
    [first] = await store.write(lambda tx: tx.recipients.take("lane-1", 9))
    clock.advance(LEASE_MS - 1)
    assert await store.write(lambda tx: tx.recipients.take("lane-1", 9)) == []
    clock.advance(1)
    [again] = await store.write(lambda tx: tx.recipients.take("lane-1", 9))
    assert [first.recipient.attempt, again.recipient.attempt] == [1, 2]
    assert again.message.text == "Hello"


async def test_a_result_of_a_lost_lease_changes_nothing(
    store: SqliteStore, clock: FakeClock
) -> None:
    await store.write(put)
    [lost] = await store.write(lambda tx: tx.recipients.take("lane-1", 9))
    clock.advance(LEASE_MS)
    await store.write(lambda tx: tx.recipients.take("lane-1", 9))
    sent = like(lost.recipient, state=State.SENT, due_at=None)
    assert not await store.write(lambda tx: tx.recipients.move(lost.recipient, sent))


async def test_released_work_is_due_at_once_and_its_attempt_is_not_counted(
    store: SqliteStore,
) -> None:
    await store.write(put)
    [job] = await store.write(lambda tx: tx.recipients.take("lane-1", 9))
    await store.write(lambda tx: tx.recipients.release(job))
    [again] = await store.write(lambda tx: tx.recipients.take("lane-1", 9))
    assert again.recipient.attempt == 1


async def test_a_new_process_ends_the_leases_of_the_old_but_keeps_retry_times(
    store: SqliteStore, clock: FakeClock
) -> None:
    later = clock.now() + 40_000

    def two(tx: Tx) -> None:
        put(tx)
        tx.recipients.add(like(RECIPIENT, n=1, attempt=1, due_at=later))

    await store.write(two)
    await store.write(lambda tx: tx.recipients.take("lane-1", 1))
    assert await store.write(lambda tx: tx.recipients.end_leases()) == 1
    taken = await store.write(lambda tx: tx.recipients.take("lane-1", 9))
    assert [job.recipient.n for job in taken] == [0]
    assert [job.recipient.attempt - job.recipient.base for job in taken] == [1]  # not a retry spent
    assert await store.read(lambda tx: tx.recipients.lanes()) == [("lane-1", later)]


async def test_every_lane_with_work_is_found_with_its_first_time(store: SqliteStore) -> None:
    def several(tx: Tx) -> None:
        for n, (lane, at) in enumerate([("b", 9), ("a", 5), ("b", 3), ("c", None), ("d", 1)]):
            tx.recipients.add(like(RECIPIENT, n=n, lane=lane, due_at=at))
            tx.deliveries.add(like(DELIVERY, event_id=f"e{n}", lane=lane, due_at=at))

    await store.write(several)
    wanted = [("a", 5), ("b", 3), ("d", 1)]
    assert await store.read(lambda tx: tx.recipients.lanes()) == wanted
    assert await store.read(lambda tx: tx.deliveries.lanes()) == wanted


@pytest.mark.parametrize(
    ("take", "index"),
    [(Deliveries.work.take, "delivery_due"), (Recipients.work.take, "recipient_due")],
    ids=["deliveries", "recipients"],
)
async def test_a_long_queue_of_one_lane_does_not_slow_the_claim_of_another(
    store: SqliteStore, take: str, index: str
) -> None:
    values = {"lane": "x", "now": 5, "lease_until": 9, "holder": "h", "limit": 9}
    plan = await store.read(lambda tx: tx.all(f"EXPLAIN QUERY PLAN {take}", values))
    assert any(f"{index} (lane=? AND due_at<?)" in row[-1] for row in plan), plan
    assert not any("SCAN" in row[-1] or "TEMP B-TREE" in row[-1] for row in plan), plan


async def test_deliveries_are_taken_with_their_event(store: SqliteStore) -> None:
    await store.write(lambda tx: (tx.events.add(EVENT), tx.deliveries.add(DELIVERY)))
    [job] = await store.write(lambda tx: tx.deliveries.take("key-1", 5))
    assert job == CallJob(EVENT, job.delivery)
    assert job.delivery.attempt == 1


async def test_a_delivery_is_owed_once_for_an_event_and_a_webhook(store: SqliteStore) -> None:
    assert await store.write(lambda tx: tx.deliveries.add(DELIVERY))
    assert not await store.write(lambda tx: tx.deliveries.add(DELIVERY))


async def test_dead_deliveries_can_be_replayed_from_the_start_of_the_schedule(
    store: SqliteStore,
) -> None:
    dead = like(DELIVERY, state=DeliveryState.DEAD, due_at=None, attempt=15, finished_at=5)
    await store.write(lambda tx: (tx.events.add(EVENT), tx.deliveries.add(dead)))
    assert await store.write(lambda tx: tx.deliveries.replay("acc", "key-1")) == 1
    [job] = await store.write(lambda tx: tx.deliveries.take("key-1", 5))
    assert (job.delivery.attempt, job.delivery.base) == (16, 15)


async def test_the_feed_of_events_misses_nothing_between_two_pages(store: SqliteStore) -> None:
    ids = []
    for _ in range(7):
        event_id = await store.write(lambda tx: tx.new_id())
        ids.append(event_id)
        await store.write(lambda tx, e=event_id: tx.events.add(like(EVENT, id=e)))  # type: ignore[misc]
    found = [""]
    while page := await store.read(lambda tx, a=found[-1]: tx.events.after("acc", a, 3)):  # type: ignore[misc]
        found += [event.id for event in page]
    assert found[1:] == ids


async def test_an_early_receipt_is_handed_out_once(store: SqliteStore) -> None:
    receipt = Receipt(channel_id="lane-1", ref="r", state=State.DELIVERED, at=5)
    await store.write(lambda tx: (tx.recipients.keep_early(receipt),) * 2)
    assert await store.write(lambda tx: tx.recipients.early("lane-1", "r")) == [receipt]
    assert await store.write(lambda tx: tx.recipients.early("lane-1", "r")) == []


async def test_what_was_remembered_is_forgotten_when_it_changes(store: SqliteStore) -> None:
    await store.write(lambda tx: tx.webhooks.add(WEBHOOK))
    listening = await store.write(lambda tx: tx.webhooks.listening("acc", "sms:sent", "x"))
    before = store.generation("webhook")
    await store.write(lambda tx: tx.webhooks.save(like(WEBHOOK, enabled=False)))
    again = await store.write(lambda tx: tx.webhooks.listening("acc", "sms:sent", "x"))
    assert [w.enabled for w in (*listening, *again)] == [True, False]
    assert store.generation("webhook") != before


async def test_what_another_process_changed_is_seen(store: SqliteStore, tmp_path: Path) -> None:
    await store.write(lambda tx: (tx.accounts.add(ACCOUNT), tx.accounts.get("acc")))
    before = store.generation("account")
    other = apsw.Connection(str(tmp_path / "textgate.db"))
    other.execute("UPDATE account SET password_hash = 'new'")
    other.close()
    account = await store.write(lambda tx: tx.accounts.get("acc"))
    assert account is not None
    assert account.password_hash == "new"
    assert store.generation("account") != before


async def test_a_write_waits_for_another_process_without_blocking_the_loop(
    store: SqliteStore, tmp_path: Path
) -> None:
    other = apsw.Connection(str(tmp_path / "textgate.db"))
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.create_task(store.write(lambda tx: tx.accounts.add(ACCOUNT)))
    began = time.monotonic()
    for _ in range(10):
        await asyncio.sleep(0.002)  # the loop turns
    assert time.monotonic() - began < 1
    assert not write.done()
    other.execute("ROLLBACK")
    await asyncio.wait_for(write, 5)


async def test_reading_does_not_write(store: SqliteStore) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        await store.read(lambda tx: tx.accounts.add(ACCOUNT))


async def test_more_writes_than_may_wait_are_refused_and_later_ones_are_made(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textgate.store.sqlite.QUEUE_LIMIT", 3)

    async def add(n: int) -> None:
        row = like(ACCOUNT, id=f"a{n}", login=f"L{n}")
        await store.write(lambda tx: tx.accounts.add(row))

    found = await asyncio.gather(*map(add, range(5)), return_exceptions=True)
    assert [type(one) for one in found] == [type(None)] * 3 + [Unavailable] * 2
    await add(5)
    kept = [a.login for a in await store.read(lambda tx: tx.accounts.all())]
    assert sorted(kept) == ["L0", "L1", "L2", "L5"]


async def test_work_of_a_write_that_raises_is_not_handed_over(store: SqliteStore) -> None:
    taker, job = Taker(), CallJob(EVENT, DELIVERY)
    store.intake = taker

    def failing(tx: Tx) -> None:
        tx.events.add(EVENT)
        tx.hand_over(job)
        raise Conflict("no")

    with pytest.raises(Conflict):
        await store.write(failing)
    assert taker.taken == []
    await store.write(lambda tx: tx.hand_over(job))
    assert taker.taken == [job]


async def test_a_closed_store_has_finished_its_writes(tmp_path: Path, clock: FakeClock) -> None:
    store = SqliteStore(tmp_path / "t.db", clock, VAULT)
    write = asyncio.create_task(store.write(lambda tx: tx.accounts.add(ACCOUNT)))
    await asyncio.sleep(0)
    await store.close()
    await write
    again = SqliteStore(tmp_path / "t.db", clock, VAULT)
    assert [a.id for a in await again.read(lambda tx: tx.accounts.all())] == ["acc"]
    await again.close()


async def test_a_database_of_a_newer_program_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    other = apsw.Connection(str(tmp_path / "t.db"))
    other.execute(f"PRAGMA user_version = {NEWEST + 1}")
    other.close()
    with pytest.raises(Unavailable, match="newer program"):
        SqliteStore(tmp_path / "t.db", clock, VAULT)


async def test_the_oldest_message_with_something_owed_is_known(store: SqliteStore) -> None:
    await store.write(lambda tx: tx.accounts.add(ACCOUNT))
    assert await store.read(lambda tx: tx.messages.oldest_open()) is None
    await store.write(put)
    assert await store.read(lambda tx: tx.messages.oldest_open()) == 1_000


async def test_it_is_known_which_channels_and_webhooks_there_are(store: SqliteStore) -> None:
    await store.write(lambda tx: (tx.webhooks.add(WEBHOOK), tx.channels.add(CHANNEL)))
    known = await store.read(lambda tx: (tx.channels.ids(), tx.webhooks.keys()))
    assert known == ({"lane-1"}, {"key-1"})


async def test_removing_an_account_removes_all_that_is_its(store: SqliteStore) -> None:
    def fill(tx: Tx) -> None:
        tx.accounts.add(ACCOUNT)
        put(tx)
        tx.tokens.add(TOKEN)
        tx.channels.add(CHANNEL)
        tx.recipients.add_attempt(SEND_ATTEMPT)
        tx.webhooks.add(WEBHOOK)
        tx.events.add(EVENT)
        tx.deliveries.add(DELIVERY)
        tx.deliveries.add_attempt(CALL_ATTEMPT)
        tx.inbox.add(INBOUND)
        tx.inbox.add_attachment(ATTACHMENT)
        tx.conversations.count("acc", INBOUND.sender, 1_000)
        tx.devices.add(DEVICE)
        tx.devices.add_code("code", "acc", 1_000)
        tx.devices.add_notice("acc", DEVICE.id, DeviceEvent.WEBHOOKS_UPDATED, None)
        tx.devices.add_fact("acc", DEVICE.id, "fact")
        tx.logs.add("acc", "INFO", "store", "filled")
        tx.ingresses.add(INGRESS)
        tx.sms_gateways.save(SMS_GATEWAY)
        tx.scripts.add(SCRIPT)
        tx.templates.save(TEMPLATE)

    def counts(tx: Tx) -> dict[str, int]:
        tables = tx.all("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name: tx.all(f"SELECT count(*) FROM {name}")[0][0] for (name,) in tables}

    await store.write(fill)
    before = await store.read(counts)
    # A receipt that came before its message is a lane's and not an account's.
    assert {name for name, rows in before.items() if not rows} == {"early_receipt"}
    await store.write(lambda tx: tx.accounts.remove("acc"))
    left = await store.read(counts)
    assert left.pop("vault") == 1  # of the whole database
    assert set(left.values()) == {0}, left
