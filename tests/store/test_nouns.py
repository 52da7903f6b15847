"""What single nouns promise: tokens, pages, leases, logs."""

from itertools import product

import pytest
from store_rows import (
    ACCOUNT,
    CALL_ATTEMPT,
    CHANNEL,
    DELIVERY,
    EVENT,
    MESSAGE,
    RECIPIENT,
    SEND_ATTEMPT,
    TOKEN,
    WEBHOOK,
    like,
)

from textgate.domain.event import DeliveryState
from textgate.domain.lifecycle import State
from textgate.domain.message import Receipt
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock

PENDING, DELIVERED = DeliveryState.PENDING, DeliveryState.DELIVERED
DEAD, HELD = DeliveryState.DEAD, DeliveryState.HELD
REFRESH = like(TOKEN, id="t2", parent_id="t1", refresh=True, expires_at=2_000)
LONG = 10**15


# --- accounts, tokens, logs ---


async def test_what_an_account_changes_is_kept(store: SqliteStore) -> None:
    def change(tx: Tx) -> None:
        tx.accounts.add(ACCOUNT)
        tx.accounts.set_password("acc", "new hash")
        tx.accounts.set_settings("acc", {"messages": {"limit_period": "PerDay"}})
        tx.accounts.rotate_secret("acc", "new secret", 9_000)

    await store.write(change)
    found = await store.read(lambda tx: (tx.accounts.get("acc"), tx.accounts.by_login("LOGIN1")))
    changed = like(
        ACCOUNT,
        password_hash="new hash",
        settings={"messages": {"limit_period": "PerDay"}},
        webhook_secret="new secret",
        previous_secret="secret",
        previous_secret_until=9_000,
    )
    assert found == (changed, changed)


async def test_an_account_may_get_another_login(store: SqliteStore) -> None:
    await store.write(lambda tx: (tx.accounts.add(ACCOUNT), tx.accounts.set_login("acc", "other")))
    found = await store.read(lambda tx: [tx.accounts.by_login(n) for n in ("LOGIN1", "other")])
    assert found == [None, like(ACCOUNT, login="other")]


async def test_how_many_messages_reached_a_state_since(store: SqliteStore) -> None:
    """The moment itself is not in it: a minute after, the minute is over."""

    def make(tx: Tx) -> None:
        for n, at in enumerate((100, 200, 300)):
            tx.messages.add(like(MESSAGE, id=f"m{n}"))
            tx.messages.reach("acc", f"m{n}", State.PROCESSED, at)
        tx.messages.add(like(MESSAGE, account_id="other", id="m"))
        tx.messages.reach("other", "m", State.PROCESSED, 400)

    await store.write(make)
    found = await store.read(
        lambda tx: [
            tx.messages.reached_since("acc", state, since)
            for state, since in ((State.PROCESSED, 100), (State.PROCESSED, 300), (State.FAILED, 0))
        ]
    )
    assert found == [(2, 300), (0, None), (0, None)]


async def test_a_refresh_token_is_used_once_and_an_access_token_never(
    store: SqliteStore, clock: FakeClock
) -> None:
    await store.write(lambda tx: (tx.tokens.add(TOKEN), tx.tokens.add(REFRESH)))
    used = [await store.write(lambda tx, t=t: tx.tokens.use("acc", t)) for t in ("t1", "t2", "t2")]  # type: ignore[misc]
    assert used == [False, True, False]
    found = await store.read(lambda tx: [tx.tokens.get("acc", t) for t in ("t1", "t2")])
    assert found == [TOKEN, like(REFRESH, revoked_at=clock.now())]


async def test_a_token_is_revoked_with_those_issued_with_it(
    store: SqliteStore, clock: FakeClock
) -> None:
    others = [like(TOKEN, id="t3"), like(TOKEN, account_id="stranger")]
    await store.write(lambda tx: [tx.tokens.add(one) for one in (TOKEN, REFRESH, *others)])
    assert await store.write(lambda tx: tx.tokens.revoke("acc", "t1")) == 2
    assert await store.write(lambda tx: tx.tokens.revoke("acc", "t1")) == 0

    def revoked(tx: Tx) -> list[int | None]:
        keys = [("acc", "t1"), ("acc", "t2"), ("acc", "t3"), ("stranger", "t1")]
        return [token.revoked_at for key in keys if (token := tx.tokens.get(*key))]

    now = clock.now()
    assert await store.read(revoked) == [now, now, None, None]
    clock.advance(1)
    await store.write(lambda tx: tx.tokens.revoke_all("acc"))
    assert await store.read(revoked) == [now, now, now + 1, None]


async def test_tokens_are_forgotten_when_they_have_expired(store: SqliteStore) -> None:
    await store.write(lambda tx: (tx.tokens.add(TOKEN), tx.tokens.add(REFRESH)))
    removed = [
        await store.write(lambda tx, b=b: tx.tokens.remove_expired(b))  # type: ignore[misc]
        for b in (1_000, 1_001)
    ]
    assert removed == [0, 1]
    assert await store.read(lambda tx: tx.tokens.get("acc", "t1")) is None
    assert await store.read(lambda tx: tx.tokens.get("acc", "t2")) == REFRESH


async def test_a_log_shows_its_newest_entries_oldest_first(
    store: SqliteStore, clock: FakeClock
) -> None:
    began = clock.now()
    for n in range(4):
        await store.write(lambda tx, n=n: tx.logs.add("acc", "INFO", "store", f"{n}"))  # type: ignore[misc]
        clock.advance(10)
    found = await store.read(lambda tx: tx.logs.between("acc", began, began + 30, 2))
    assert [(entry.id, entry.message) for entry in found] == [(2, "1"), (3, "2")]
    assert await store.write(lambda tx: tx.logs.remove_before("acc", began + 20, 9)) == 2
    left = await store.read(lambda tx: tx.logs.between("acc", 0, LONG, 9))
    assert [entry.message for entry in left] == ["2", "3"]


async def test_a_channel_and_a_webhook_are_saved_and_removed(store: SqliteStore) -> None:
    hook, channel = like(WEBHOOK, url="https://example.com/new"), like(CHANNEL, name="new")

    def found(tx: Tx) -> object:
        return tx.channels.get("acc", "lane-1"), tx.webhooks.by_key("acc", "key-1")

    await store.write(lambda tx: (tx.channels.add(CHANNEL), tx.webhooks.add(WEBHOOK)))
    await store.write(lambda tx: (tx.channels.save(channel), tx.webhooks.save(hook)))
    assert await store.read(found) == (channel, hook)
    await store.write(
        lambda tx: (tx.channels.remove("acc", "lane-1"), tx.webhooks.remove("acc", hook.id))
    )
    assert await store.read(found) == (None, None)


# --- pages ---


@pytest.mark.parametrize(("state", "device"), list(product([None, State.SENT], [None, "lane-2"])))
@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_page_of_messages_holds_what_was_asked_for(
    store: SqliteStore, state: State | None, device: str | None, newest_first: bool
) -> None:
    rows = [
        like(MESSAGE, id=f"m{n}", created_at=n, state=state, device_id=device)
        for n, (state, device) in enumerate(product(State, ["lane-1", "lane-2"]))
    ] + [like(MESSAGE, id=f"s{n}", created_at=20 + n, state=State.SENT) for n in range(3)]
    wanted = [
        row.id
        for row in rows
        if 1 <= row.created_at < 22
        and state in (None, row.state)
        and device in (None, row.device_id)
    ]
    if newest_first:
        wanted.reverse()
    await store.write(lambda tx: [tx.messages.add(row) for row in rows])
    found, total = await store.read(
        lambda tx: tx.messages.page(
            "acc",
            since=1,
            until=22,
            state=state,
            device_id=device,
            limit=4,
            offset=1,
            newest_first=newest_first,
        )
    )
    assert ([message.id for message in found], total) == (wanted[1:5], len(wanted))


async def test_all_messages_are_paged_newest_first(store: SqliteStore) -> None:
    rows = [like(MESSAGE, id=f"m{n}", created_at=n // 2) for n in range(7)]
    await store.write(lambda tx: [tx.messages.add(row) for row in rows])
    found, cursor = [], None
    while page := await store.read(lambda tx, c=cursor: tx.messages.after("acc", c, 3)):  # type: ignore[misc]
        found += [message.id for message in page]
        cursor = (page[-1].created_at, page[-1].id)
    assert found == ["m6", "m5", "m4", "m3", "m2", "m1", "m0"]


@pytest.mark.parametrize(
    "states", [(), (DEAD,), (PENDING,), (DELIVERED,), (DEAD, HELD), (DEAD, DELIVERED, HELD)]
)
@pytest.mark.parametrize("before", [None, "e5"])
async def test_a_page_of_deliveries_holds_what_was_asked_for(
    store: SqliteStore, states: tuple[DeliveryState, ...], before: str | None
) -> None:
    rows = [
        like(DELIVERY, event_id=f"e{n}", state=state)
        for n, state in enumerate([*DeliveryState, *DeliveryState])
    ]
    wanted = [
        row
        for row in reversed(rows)
        if (not before or row.event_id < before) and (not states or row.state in states)
    ]
    stranger = like(DELIVERY, event_id="e0", lane="key-2")
    await store.write(lambda tx: [tx.deliveries.add(row) for row in (*rows, stranger)])
    found = await store.read(
        lambda tx: tx.deliveries.page("acc", "key-1", before=before, states=states, limit=3)
    )
    assert found == wanted[:3]


async def test_the_events_of_a_message_are_found(store: SqliteStore) -> None:
    events = [like(EVENT, id="e2", message_id="m2"), EVENT, like(EVENT, id="e0")]
    await store.write(lambda tx: [tx.events.add(event) for event in events])
    found = await store.read(lambda tx: tx.events.of_message("acc", "m1"))
    assert [event.id for event in found] == ["e0", "e1"]


# --- work ---


async def test_attempts_are_read_as_they_were_recorded(store: SqliteStore) -> None:
    def fill(tx: Tx) -> None:
        tx.recipients.add_attempt(SEND_ATTEMPT)
        tx.deliveries.add_attempt(CALL_ATTEMPT)
        tx.deliveries.add_attempt(like(CALL_ATTEMPT, status=500))  # the first one counts

    await store.write(fill)
    assert await store.read(lambda tx: tx.recipients.attempts("acc", "m1")) == [SEND_ATTEMPT]
    assert await store.read(lambda tx: tx.deliveries.attempts("acc", "key-1", "e1")) == [
        CALL_ATTEMPT
    ]


async def test_an_attempt_that_was_noted_when_it_began_is_told_to_its_end(
    store: SqliteStore,
) -> None:
    began = like(SEND_ATTEMPT, elapsed_ms=None, outcome=None)
    ended = like(
        SEND_ATTEMPT, outcome="rejected", reason="r", code="c", detail="d", trace={"script": [1]}
    )
    await store.write(lambda tx: tx.recipients.add_attempt(began))
    await store.write(lambda tx: tx.recipients.end_attempt(ended))
    assert await store.read(lambda tx: tx.recipients.attempts("acc", "m1")) == [ended]


async def test_it_is_known_how_much_is_owed(store: SqliteStore) -> None:
    def fill(tx: Tx) -> None:
        for n, at in enumerate([0, LONG, None]):
            tx.recipients.add(like(RECIPIENT, n=n, due_at=at))
            tx.deliveries.add(like(DELIVERY, event_id=f"e{n}", due_at=at))

    await store.write(fill)
    assert await store.read(lambda tx: (tx.recipients.owed(), tx.deliveries.owed())) == (2, 2)


async def test_released_and_abandoned_deliveries_are_due_at_once(store: SqliteStore) -> None:
    await store.write(lambda tx: (tx.events.add(EVENT), tx.deliveries.add(DELIVERY)))
    [job] = await store.write(lambda tx: tx.deliveries.take("key-1", 9))
    await store.write(lambda tx: tx.deliveries.release(job))
    [again] = await store.write(lambda tx: tx.deliveries.take("key-1", 9))
    assert (again.delivery.attempt, again.delivery.base) == (1, 0)
    assert await store.write(lambda tx: tx.deliveries.end_leases()) == 1
    [third] = await store.write(lambda tx: tx.deliveries.take("key-1", 9))
    assert (third.delivery.attempt, third.delivery.base) == (2, 1)


async def test_what_is_overdue_and_in_nobodys_hands_is_found(
    store: SqliteStore, clock: FakeClock
) -> None:
    now = clock.now()

    def fill(tx: Tx) -> None:
        tx.messages.add(MESSAGE)
        for n, changes in enumerate(
            [{}, {"deadline": now + 1}, {"due_at": None}, {"holder": "h"}, {"due_at": LONG}]
        ):
            tx.recipients.add(like(RECIPIENT, **{"n": n, "deadline": now, **changes}))

    await store.write(fill)
    found = await store.read(lambda tx: tx.recipients.overdue(9))
    assert sorted(job.recipient.n for job in found) == [0, 4]


async def test_an_early_receipt_is_kept_for_a_time(store: SqliteStore, clock: FakeClock) -> None:
    receipt = Receipt(channel_id="lane-1", ref="r", state=State.DELIVERED, at=5)
    await store.write(lambda tx: tx.recipients.keep_early(receipt))
    removed = [
        await store.write(lambda tx, b=b: tx.recipients.remove_early(b))  # type: ignore[misc]
        for b in (clock.now(), clock.now() + 1)
    ]
    assert removed == [0, 1]
