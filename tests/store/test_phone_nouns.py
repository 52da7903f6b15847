"""What the noun of phones promises: devices, one-time codes, notices, facts."""

from store_rows import DEVICE, like

from textgate.domain.device import DeviceEvent, SimCard
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.clock import FakeClock

OTHER = like(DEVICE, id="other", token_hash="hash-2", event_key="key-2", created_at=2)


async def both(store: SqliteStore) -> None:
    await store.write(lambda tx: [tx.devices.add(one) for one in (OTHER, DEVICE)])


async def test_a_phone_is_kept_changed_and_removed(store: SqliteStore) -> None:
    account_id, device_id = DEVICE.account_id, DEVICE.id
    await both(store)
    assert await store.read(lambda tx: tx.devices.all(account_id)) == [DEVICE, OTHER]
    changed = like(
        DEVICE,
        name="Kitchen",
        push_token="token",
        sim_cards=[SimCard(slot_index=1, sim_number=2, carrier_name="***2 DE")],
        app_version="1.68.0",
        health={"at": 7, "health": {"status": "pass"}},
        tells_server=True,
        offline_since=9,
    )
    before = store.generation("device")
    await store.write(lambda tx: tx.devices.save(changed))
    assert store.generation("device") > before
    assert await store.read(lambda tx: tx.devices.get(account_id, device_id)) == changed
    assert await store.read(lambda tx: tx.devices.get("stranger", device_id)) is None
    removed = [
        await store.write(lambda tx, a=account: tx.devices.remove(a, device_id))  # type: ignore[misc]
        for account in ("stranger", account_id, account_id)
    ]
    assert removed == [False, True, False]
    assert await store.read(lambda tx: tx.devices.all(account_id)) == [OTHER]


async def test_a_phone_is_found_by_its_token_and_by_the_address_of_its_events(
    store: SqliteStore,
) -> None:
    await both(store)

    def found(tx: Tx) -> list[object]:
        devices = tx.devices
        return [
            devices.by_token("hash-2"),
            devices.by_token(DEVICE.token_hash),
            devices.by_token("nobody's"),
            devices.by_event_key("key-2"),
            devices.by_event_key(DEVICE.event_key),
            devices.by_event_key(""),
        ]

    assert await store.read(found) == [OTHER, DEVICE, None, OTHER, DEVICE, None]


async def test_whom_a_phone_tells_of_events_is_noted(store: SqliteStore) -> None:
    await both(store)

    def listener(tx: Tx) -> tuple[bool, bool]:
        device = tx.devices.get(DEVICE.account_id, DEVICE.id)
        assert device is not None
        return device.tells_server, device.calls_webhooks

    for server, webhooks in ((True, False), (False, True), (False, False)):
        await store.write(
            lambda tx, s=server, w=webhooks: tx.devices.set_listener(  # type: ignore[misc]
                DEVICE.account_id, DEVICE.id, tells_server=s, calls_webhooks=w
            )
        )
        assert await store.read(listener) == (server, webhooks)
    assert await store.read(lambda tx: tx.devices.get(OTHER.account_id, OTHER.id)) == OTHER


async def test_a_code_is_spent_once_and_in_its_time(store: SqliteStore, clock: FakeClock) -> None:
    now = clock.now()
    added = [
        await store.write(lambda tx, c=code, u=until: tx.devices.add_code(c, "acc", u))  # type: ignore[misc]
        for code, until in (("k7mq2x", now + 10), ("k7mq2x", now + 20), ("late22", now + 5))
    ]
    assert added == [True, False, True]
    clock.advance(5)
    used = [
        await store.write(lambda tx, c=code: tx.devices.use_code(c))  # type: ignore[misc]
        for code in ("k7mq2x", "k7mq2x", "late22", "wrong2")
    ]
    assert used == ["acc", None, None, None]
    assert await store.write(lambda tx: tx.devices.remove_codes(now + 5)) == 0
    assert await store.write(lambda tx: tx.devices.remove_codes(now + 6)) == 1


async def test_a_notice_is_kept_until_it_is_told_and_once(store: SqliteStore) -> None:
    which = (DEVICE.account_id, DEVICE.id)
    export = DeviceEvent.MESSAGES_EXPORT_REQUESTED

    def add(tx: Tx) -> None:
        for _ in range(2):
            tx.devices.add_notice(*which, DeviceEvent.SETTINGS_UPDATED, None)
            tx.devices.add_notice(*which, export, {"since": "a"})
            tx.devices.add_notice(*which, export, {"since": "b"})

    await both(store)
    await store.write(add)
    kept = await store.read(lambda tx: tx.devices.notices(*which))
    assert [(one.event, one.data) for one in kept] == [
        (DeviceEvent.SETTINGS_UPDATED, None),
        (export, {"since": "a"}),
        (export, {"since": "b"}),
    ]
    assert await store.write(lambda tx: tx.devices.end_notices(*which, export, {"since": "a"})) == 1
    assert len(await store.read(lambda tx: tx.devices.notices(*which))) == 2
    await store.write(lambda tx: tx.devices.remove(*which))
    assert await store.read(lambda tx: tx.devices.notices(*which)) == []


async def test_a_fact_is_noted_once_until_it_is_old(store: SqliteStore, clock: FakeClock) -> None:
    which = (DEVICE.account_id, DEVICE.id)

    async def note(fact: str) -> bool:
        return await store.write(lambda tx: tx.devices.add_fact(*which, fact))

    facts = ("event:1", "event:2", "event:1", "events:3", "even:4", "event")
    assert [await note(fact) for fact in facts] == [True, True, False, True, True, True]
    await store.write(lambda tx: tx.devices.add_fact("acc", "other", "event:of another"))
    assert await store.read(lambda tx: tx.devices.facts(*which, "event")) == {"1", "2"}
    assert await store.read(lambda tx: tx.devices.facts(*which, "none")) == set()
    clock.advance(1)
    assert await note("event:4")
    before = clock.now()
    removed = [await store.write(lambda tx: tx.devices.remove_facts(before, 4)) for _ in range(3)]
    assert removed == [4, 2, 0]
    assert await store.read(lambda tx: tx.devices.facts(*which, "event")) == {"4"}
