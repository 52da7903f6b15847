"""What the inbox promises: received messages, what is attached to them, conversations."""

from itertools import product

import pytest
from sql_plans import plans
from store_rows import ATTACHMENT, INBOUND, MESSAGE, RECIPIENT, like

from textgate.domain.inbound import Conversation
from textgate.store.base import Tx
from textgate.store.conversations import RECEIVED, SENT, Place
from textgate.store.sqlite import SqliteStore

NUMBER = INBOUND.sender
OTHER = "+41790000011"
LONG = 10**15


def received(n: int, at: int, **more: object) -> object:
    return like(INBOUND, id=f"i{n}", created_at=at, **{"number": NUMBER, "kept_at": at} | more)


async def test_a_received_message_is_kept_once(store: SqliteStore) -> None:
    again = like(INBOUND, content="Another")
    added = [await store.write(lambda tx, i=i: tx.inbox.add(i)) for i in (INBOUND, again)]  # type: ignore[misc]
    assert added == [True, False]
    found = await store.read(lambda tx: [tx.inbox.get("acc", i) for i in ("i1", "i2")])
    assert found == [INBOUND, None]


@pytest.mark.parametrize(("kind", "device"), list(product([None, "MMS"], [None, "lane-2"])))
async def test_a_page_of_the_inbox_holds_what_was_asked_for(
    store: SqliteStore, kind: str | None, device: str | None
) -> None:
    kinds = product(["SMS", "MMS"], ["lane-1", "lane-2"], range(3))
    rows = [
        like(INBOUND, id=f"i{n}", created_at=n, type=kind, device_id=device)
        for n, (kind, device, _) in enumerate(kinds)
    ]
    wanted = [
        row
        for row in reversed(rows)
        if 1 <= row.created_at < 11 and kind in (None, row.type) and device in (None, row.device_id)
    ]
    await store.write(lambda tx: [tx.inbox.add(row) for row in rows])
    found, total = await store.read(
        lambda tx: tx.inbox.page(
            "acc", since=1, until=11, kind=kind, device_id=device, limit=3, offset=1
        )
    )
    assert (found, total) == (wanted[1:4], len(wanted))


@pytest.mark.parametrize("number", [None, NUMBER])
@pytest.mark.parametrize("kind", [None, "MMS"])
@pytest.mark.parametrize("device", [None, "lane-2"])
async def test_the_inbox_is_paged_newest_first(
    store: SqliteStore, number: str | None, kind: str | None, device: str | None
) -> None:
    choices = product([NUMBER, OTHER], ["SMS", "MMS"], ["lane-1", "lane-2"], range(3))
    rows = [
        like(INBOUND, id=f"i{n:02}", created_at=n // 2, number=who, type=what, device_id=where)
        for n, (who, what, where, _) in enumerate(choices)
    ]
    wanted = [
        row.id
        for row in reversed(rows)
        if 1 <= row.created_at < 11
        and number in (None, row.number)
        and kind in (None, row.type)
        and device in (None, row.device_id)
    ]
    await store.write(lambda tx: [tx.inbox.add(row) for row in rows])
    found: list[str] = []
    cursor = None
    while page := await store.read(
        lambda tx, c=cursor: tx.inbox.after(  # type: ignore[misc]
            "acc", c, since=1, until=11, number=number, kind=kind, device_id=device, limit=3
        )
    ):
        found += [row.id for row in page]
        cursor = (page[-1].created_at, page[-1].id)
    assert found == wanted


async def test_attachments_are_listed_without_their_bytes(store: SqliteStore) -> None:
    later = like(ATTACHMENT, part_id=2, name=None, size=None, data=None)
    again = like(ATTACHMENT, data="XXXX")
    others = like(ATTACHMENT, inbound_id="i2")
    await store.write(
        lambda tx: [tx.inbox.add_attachment(a) for a in (later, ATTACHMENT, again, others)]
    )
    listed = await store.read(lambda tx: tx.inbox.attachments("acc", "i1"))
    assert listed == [like(ATTACHMENT, data=None), later]
    found = await store.read(lambda tx: [tx.inbox.attachment("acc", "i1", n) for n in (1, 2, 3)])
    assert found == [ATTACHMENT, later, None]


async def test_what_came_in_goes_by_the_time_it_came_with_all_that_was_attached(
    store: SqliteStore,
) -> None:
    def fill(tx: Tx) -> None:
        # The clock of the phone says anything: what counts is when it came in here.
        for row in (received(1, 9_000, kept_at=1_000), received(2, 1, kept_at=2_000)):
            tx.inbox.add(row)
            tx.inbox.add_attachment(like(ATTACHMENT, inbound_id=row.id))

    async def remove(before: int) -> int:
        return await store.write(lambda tx: tx.inbox.remove_before("acc", before, 9))

    await store.write(fill)
    assert [await remove(before) for before in (1_000, 1_001, 1_001)] == [0, 1, 0]
    left = await store.read(lambda tx: tx.all("SELECT inbound_id FROM attachment"))
    assert left == [("i2",)]
    assert await store.read(lambda tx: tx.inbox.get("acc", "i1")) is None
    assert await store.read(lambda tx: tx.inbox.get("acc", "i2")) is not None


# --- conversations ---


async def test_a_conversation_knows_how_often_and_when_a_number_wrote(store: SqliteStore) -> None:
    def fill(tx: Tx) -> None:
        for number, at in ((NUMBER, 5), (NUMBER, 9), (OTHER, 7), (NUMBER, 6)):
            tx.conversations.count("acc", number, at)
        tx.conversations.count("stranger", NUMBER, 99)

    await store.write(fill)
    found = await store.read(lambda tx: tx.conversations.after("acc", None, 9))
    assert found == [
        Conversation(account_id="acc", number=NUMBER, last_at=9, received=3),
        Conversation(account_id="acc", number=OTHER, last_at=7, received=1),
    ]


async def test_conversations_are_paged_by_the_last_to_write(store: SqliteStore) -> None:
    await store.write(lambda tx: [tx.conversations.count("acc", f"+{n}", n // 2) for n in range(7)])
    found: list[str] = []
    cursor = None
    while page := await store.read(lambda tx, c=cursor: tx.conversations.after("acc", c, 3)):  # type: ignore[misc]
        found += [one.number for one in page]
        cursor = (page[-1].last_at, page[-1].number)
    assert found == [f"+{n}" for n in reversed(range(7))]


async def test_a_conversation_counts_what_is_left_and_ends_with_the_last(
    store: SqliteStore,
) -> None:
    def fill(tx: Tx) -> None:
        rows = [received(1, 9_000, kept_at=1), received(2, 5_000, kept_at=2)]
        rows += [received(3, 7_000, kept_at=3), received(4, 8_000, kept_at=1, number=OTHER)]
        for row in rows:
            tx.inbox.add(row)
            tx.conversations.count("acc", row.number, row.created_at)

    async def left() -> list[tuple[str, int, int]]:
        found = await store.read(lambda tx: tx.conversations.after("acc", None, 9))
        return [(one.number, one.last_at, one.received) for one in found]

    await store.write(fill)
    assert await left() == [(NUMBER, 9_000, 3), (OTHER, 8_000, 1)]
    for before, wanted in ((2, [(NUMBER, 7_000, 2)]), (3, [(NUMBER, 7_000, 1)]), (4, [])):
        await store.write(lambda tx, b=before: tx.inbox.remove_before("acc", b, 9))  # type: ignore[misc]
        assert await left() == wanted


def talk(tx: Tx) -> None:
    """Five pairs of messages, some at one time, and what others said."""
    for n, at in enumerate((1, 2, 2, 4, 5)):
        tx.inbox.add(received(n, at))
        tx.messages.add(like(MESSAGE, id=f"m{n}", created_at=at))
        for place, number in enumerate((OTHER, NUMBER)):
            tx.recipients.add(like(RECIPIENT, message_id=f"m{n}", n=place, number=number))
    tx.inbox.add(received(9, 3, number=OTHER))
    tx.messages.add(like(MESSAGE, account_id="stranger", id="m9"))
    tx.recipients.add(like(RECIPIENT, account_id="stranger", message_id="m9", number=NUMBER))


SPOKEN = [
    *((5, SENT, "m4"), (5, RECEIVED, "i4"), (4, SENT, "m3"), (4, RECEIVED, "i3")),
    *((2, SENT, "m2"), (2, SENT, "m1"), (2, RECEIVED, "i2"), (2, RECEIVED, "i1")),
    *((1, SENT, "m0"), (1, RECEIVED, "i0")),
]


@pytest.mark.parametrize("from_place", range(len(SPOKEN) + 1))
async def test_both_directions_go_on_from_any_place(store: SqliteStore, from_place: int) -> None:
    def read(tx: Tx, before: Place | None) -> list[Place]:
        heard = tx.conversations.received("acc", NUMBER, before, 9)
        said = tx.conversations.sent("acc", NUMBER, before, 9)
        assert all(r.message_id == m.id and r.number == NUMBER for m, r in said)
        places: list[Place] = [(m.created_at, RECEIVED, m.id) for m in heard]
        return sorted([*places, *((m.created_at, SENT, m.id) for m, _ in said)], reverse=True)

    await store.write(talk)
    before = SPOKEN[from_place - 1] if from_place else None
    assert await store.read(lambda tx: read(tx, before)) == SPOKEN[from_place:]


async def test_of_a_conversation_only_so_much_is_read(store: SqliteStore) -> None:
    await store.write(talk)
    heard = await store.read(lambda tx: tx.conversations.received("acc", NUMBER, None, 2))
    said = await store.read(lambda tx: tx.conversations.sent("acc", NUMBER, None, 2))
    assert [m.id for m in heard] == ["i4", "i3"]
    assert [m.id for m, _ in said] == ["m4", "m3"]


# --- what it costs ---


@pytest.mark.parametrize("number", [None, NUMBER])
@pytest.mark.parametrize("cursor", [None, (5, "i4")])
async def test_a_page_of_the_inbox_is_read_from_an_index_in_its_order(
    store: SqliteStore, number: str | None, cursor: tuple[int, str] | None
) -> None:
    index = "inbound_by_number" if number else "inbound_by_time"
    found = await plans(
        store,
        lambda tx: tx.inbox.after("acc", cursor, since=0, until=LONG, number=number, limit=9),
    )
    assert len(found) == 1
    assert f"SEARCH inbound USING INDEX {index}" in found[0]
    assert "TEMP B-TREE" not in found[0]


@pytest.mark.parametrize("before", [None, SPOKEN[0], SPOKEN[1]])
async def test_a_conversation_is_read_from_the_index_of_its_number(
    store: SqliteStore, before: Place | None
) -> None:
    await store.write(talk)
    [heard] = await plans(store, lambda tx: tx.conversations.received("acc", NUMBER, before, 9))
    assert "SEARCH said USING INDEX inbound_by_number" in heard
    assert "TEMP B-TREE" not in heard
    said = (await plans(store, lambda tx: tx.conversations.sent("acc", NUMBER, before, 9)))[0]
    index = "COVERING INDEX recipient_by_number (account_id=? AND number=?)"
    assert said.startswith(f"SEARCH r USING {index}")
    assert "SEARCH said USING PRIMARY KEY (account_id=? AND id=?)" in said


async def test_neither_the_list_nor_the_sweep_looks_at_everything(store: SqliteStore) -> None:
    found = await plans(store, lambda tx: tx.conversations.after("acc", (5, NUMBER), 9))
    found += await plans(store, lambda tx: tx.inbox.remove_before("acc", 5, 9))
    found += await plans(store, lambda tx: tx.conversations.forget("acc", NUMBER, 1))
    assert len(found) == 4
    assert not [plan for plan in found if "SCAN" in plan or "TEMP" in plan], found
