"""Phones that do not listen are woken by a push relay, as seldom as it wants to be asked."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import structlog
from engine_world import World

from textgate import telemetry
from textgate.domain.device import DeviceEvent
from textgate.domain.push import Push
from textgate.engine import push
from textgate.engine.push import EVERY_MS, GATHER_MS, OTHERS_MOST, STALE_MS
from textgate.gateway import devices
from textgate.gateway.devices import Registered
from textgate.gateway.nudges import nudge
from textgate.store.base import Tx
from textgate.testing.far_side import Request, Say

RELAY = "/upstream/v1/push"
TAKEN = Say(202, b"{}")
MINUTE_MS = 60_000


class Relay:
    """A far side that keeps what it was asked to push and when, and answers as it is told."""

    def __init__(self, world: World, *says: Say) -> None:
        self.world = world
        self.start = world.clock.now()
        self.asked: list[tuple[int, list[dict[str, Any]]]] = []
        self.says = list(says)
        world.far.on(RELAY, script=self._answer)

    def _answer(self, request: Request) -> Say:
        assert request.headers["content-type"] == "application/json"
        self.asked.append((self.world.clock.now() - self.start, request.json))
        return self.says.pop(0) if self.says else TAKEN

    @property
    def times(self) -> list[int]:
        return [at for at, _ in self.asked]

    @property
    def pushed(self) -> list[dict[str, Any]]:
        return [entry for _, entries in self.asked for entry in entries]


async def started(world: World, *says: Say) -> Relay:
    relay = Relay(world, *says)
    await world.start(push_relay_url=world.far.url + RELAY)
    return relay


async def tell(
    world: World, phone: Registered, event: DeviceEvent = DeviceEvent.MESSAGE_ENQUEUED, **data: str
) -> None:
    device = phone.device
    await world.write(lambda tx: nudge(tx, world.account, device.id, event, data or None))


async def test_a_phone_with_a_push_token_that_does_not_listen_is_woken(world: World) -> None:
    relay = await started(world)
    phone = await world.phone(push_token="tok-1")
    await tell(world, phone)
    await world.live(MINUTE_MS)
    assert relay.asked == [(GATHER_MS, [{"token": "tok-1", "event": "MessageEnqueued"}])]
    counted = 'textgate_phone_events_sent_total{event="MessageEnqueued",way="push"}'
    assert counted in telemetry.exposition().decode()


async def test_a_phone_without_a_token_polls(world: World) -> None:
    relay = await started(world)
    await tell(world, await world.phone())
    await world.live(MINUTE_MS)
    assert relay.asked == []


async def test_an_open_stream_is_preferred_to_the_token(world: World) -> None:
    relay = await started(world)
    phone = await world.phone(push_token="tok-1")
    with world.store.listen(phone.device.id) as mailbox:
        await tell(world, phone)
        await world.live(MINUTE_MS)
        assert [heard.event for heard in mailbox.take()] == ["MessageEnqueued"]
    assert relay.asked == []


async def test_a_phone_that_connects_before_the_push_goes_out_is_not_pushed(world: World) -> None:
    relay = await started(world)
    phone = await world.phone(push_token="tok-1")
    await tell(world, phone)
    with world.store.listen(phone.device.id):
        await world.live(MINUTE_MS)
    assert relay.asked == []


async def test_a_phone_that_was_removed_is_not_pushed(world: World) -> None:
    relay = await started(world)
    phone = await world.phone(push_token="tok-1")
    await tell(world, phone)
    await world.write(lambda tx: devices.remove(tx, world.account, phone.device.id))
    await world.live(MINUTE_MS)
    assert relay.asked == []


async def test_however_much_happens_there_is_a_request_in_twelve_seconds_at_most(
    world: World,
) -> None:
    relay = await started(world)
    phones = [await world.phone(push_token=f"tok-{n}") for n in range(3)]
    for _ in range(60):
        for phone in phones:
            await tell(world, phone)
            await tell(world, phone)
        await world.live(1_000)
    spans = [later - earlier for earlier, later in pairwise(relay.times)]
    assert spans
    assert min(spans) >= EVERY_MS
    first = [entry["token"] for entry in relay.asked[0][1]]
    assert first == ["tok-0", "tok-1", "tok-2"]  # each once, whatever happened


async def test_no_cancellation_is_left_out_and_the_phone_is_told_to_look(world: World) -> None:
    relay = await started(world)
    phone, other = await world.phone(push_token="tok-1"), await world.phone(push_token="tok-2")
    for n in (1, 2, 3):
        await tell(world, phone, DeviceEvent.MESSAGE_CANCELLED, messageId=f"m{n}")
    await tell(world, other, DeviceEvent.MESSAGE_CANCELLED, messageId="m9")
    await world.live(MINUTE_MS)
    cancelled = [
        (entry["token"], entry["data"]["messageId"])
        for entry in relay.pushed
        if entry["event"] == "MessageCancelled"
    ]
    assert cancelled == [("tok-1", "m1"), ("tok-1", "m2"), ("tok-1", "m3"), ("tok-2", "m9")]
    # The original relay lets one cancellation of these through: so the phone fetches its queue.
    [look] = [entry for entry in relay.pushed if entry["event"] == "MessageEnqueued"]
    assert look == {"token": "tok-1", "event": "MessageEnqueued"}


async def test_a_relay_that_is_asked_too_often_says_when_to_come_back(world: World) -> None:
    relay = await started(world, Say(429, headers={"Retry-After": "40"}))
    await tell(world, await world.phone(push_token="tok-1"))
    await world.live(2 * MINUTE_MS)
    # Again, after the forty seconds and the second in which more may come.
    assert relay.times == [GATHER_MS, GATHER_MS + 40_000 + GATHER_MS]
    assert relay.asked[0][1] == relay.asked[1][1]


async def test_a_relay_that_fails_is_asked_ever_more_seldom_and_nothing_is_forgotten(
    world: World,
) -> None:
    relay = await started(world, *[Say(503)] * 4, Say(drop=True), Say(202, b"{}"), Say(503))
    phone = await world.phone(push_token="tok-1")
    await tell(world, phone)
    await world.live(12 * MINUTE_MS)
    spans = [later - earlier for earlier, later in pairwise(relay.times)]
    assert spans == [25_000, 49_000, 97_000, 193_000, 301_000]
    assert [entry["token"] for entry in relay.pushed] == ["tok-1"] * 6
    # Once it has answered, its next failure is the first again.
    await tell(world, phone)
    await world.live(MINUTE_MS)
    assert relay.times[-1] - relay.times[-2] == 25_000


@pytest.mark.parametrize(
    ("said", "waited_ms"), [("1", EVERY_MS), ("86400", STALE_MS), ("tomorrow", 24_000)]
)
async def test_a_relay_that_wants_to_be_asked_at_once_or_never_gets_its_usual_bounds(
    world: World, said: str, waited_ms: int
) -> None:
    relay = await started(world, Say(503, headers={"Retry-After": said}))
    await tell(world, await world.phone(push_token="tok-1"))
    await world.live(MINUTE_MS)
    await world.leap(STALE_MS - MINUTE_MS)
    await tell(world, await world.phone(push_token="tok-2"))
    await world.live(MINUTE_MS)
    assert relay.times[1] - relay.times[0] == waited_ms + GATHER_MS


async def test_a_fault_of_ours_does_not_end_the_pushing(world: World) -> None:
    relay = await started(world)
    phone = await world.phone(push_token="tok-1")
    await tell(world, phone)
    await world.write(lambda tx: tx.run("ALTER TABLE device RENAME TO elsewhere"))
    await world.live(GATHER_MS)
    await world.write(lambda tx: tx.run("ALTER TABLE elsewhere RENAME TO device"))
    assert relay.asked == []
    await tell(world, phone)
    await world.live(MINUTE_MS)
    assert [entry["token"] for entry in relay.pushed] == ["tok-1"]


async def test_what_a_relay_refuses_is_not_repeated(world: World) -> None:
    relay = await started(world, Say(400))
    phone = await world.phone(push_token="tok-1")
    await tell(world, phone)
    await world.live(MINUTE_MS)
    assert len(relay.asked) == 1
    await tell(world, phone)
    await world.live(MINUTE_MS)
    assert len(relay.asked) == 2


async def test_nobody_is_woken_for_what_a_poll_has_found_long_ago(world: World) -> None:
    relay = await started(world, *[Say(503)] * 50)
    await tell(world, await world.phone(push_token="tok-1"))
    await world.live(2 * STALE_MS)
    assert relay.times[-1] <= STALE_MS + GATHER_MS


async def test_a_full_queue_drops_pushes_and_no_messages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "WAITING_MOST", 2)
    relay = await started(world)
    phones = [await world.phone(push_token=f"tok-{n}") for n in range(3)]

    def happen(tx: Tx) -> None:
        for phone in phones:
            nudge(tx, world.account, phone.device.id, DeviceEvent.SETTINGS_UPDATED)

    await world.write(happen)
    await world.live(MINUTE_MS)
    assert [entry["token"] for entry in relay.pushed] == ["tok-0", "tok-1"]
    kept = await world.store.read(
        lambda tx: [len(tx.devices.notices(world.account, phone.device.id)) for phone in phones]
    )
    assert kept == [1, 1, 1]


async def test_pushes_of_others_go_out_with_ours(world: World) -> None:
    relay = await started(world)
    engine = world.engines[0].relay
    assert engine is not None
    assert engine.forward([Push("their-token", DeviceEvent.WEBHOOKS_UPDATED, (("k", "v"),))])
    await tell(world, await world.phone(push_token="tok-1"))
    await world.live(MINUTE_MS)
    [(_, entries)] = relay.asked
    assert entries == [
        {"token": "tok-1", "event": "MessageEnqueued"},
        {"token": "their-token", "event": "WebhooksUpdated", "data": {"k": "v"}},
    ]


async def test_however_much_others_push_our_phones_are_woken_at_once(world: World) -> None:
    relay = await started(world)
    engine = world.engines[0].relay
    assert engine is not None
    pushes = [Push(f"t{n}", DeviceEvent.MESSAGE_ENQUEUED) for n in range(OTHERS_MOST + 1)]
    assert engine.forward(pushes[:OTHERS_MOST])
    assert not engine.forward(pushes[OTHERS_MOST:])
    await tell(world, await world.phone(push_token="ours"))
    await world.live(MINUTE_MS)
    _, entries = relay.asked[0]
    assert [entry["token"] for entry in entries] == ["ours", *(f"t{n}" for n in range(499))]


async def test_others_are_told_when_there_is_no_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "OTHERS_MOST", 2)
    await started(world)
    engine = world.engines[0].relay
    assert engine is not None
    three = [Push(f"t{n}", DeviceEvent.MESSAGE_ENQUEUED) for n in range(3)]
    assert not engine.forward(three)
    assert engine.forward(three[:2])


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    with structlog.testing.capture_logs() as entries:
        yield lambda: repr(entries)


async def test_no_log_has_a_token(world: World, logged: Callable[[], str]) -> None:
    await started(world, Say(503), Say(400))
    await tell(world, await world.phone(push_token="tok-secret"))
    await world.live(2 * MINUTE_MS)
    assert "push relay" in logged()
    assert "tok-secret" not in logged()
