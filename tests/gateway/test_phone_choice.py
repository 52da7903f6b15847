"""Which phone a message is given to."""

from collections import Counter

import pytest
from gateway_world import World
from queue_world import MOVE_ON_MS, OFFLINE_MS, Phones

from textgate.domain.device import DeviceEvent
from textgate.domain.errors import Invalid
from textgate.domain.lifecycle import State
from textgate.domain.phone_choice import MOST_PHONES
from textgate.gateway.credentials import add_account

HOUR_MS = 3_600_000


@pytest.fixture
def phones(world: World) -> Phones:
    return Phones(world)


async def route(phones: Phones, message_id: str, **wanted: object) -> list[str]:
    """Submit a message and return who may carry it, in order."""
    done = await phones.submit(message_id, **wanted)
    [recipient] = done.recipients
    assert done.message.device_id == recipient.lane
    return [recipient.lane, *recipient.route.split()]


async def test_messages_are_spread_over_phones(phones: Phones) -> None:
    made = [await phones.phone(f"p{n}") for n in range(3)]
    carriers = Counter([(await route(phones, f"m{n}"))[0] for n in range(60)])
    assert [carriers[phone.id] for phone in made] == [20, 20, 20], "the least burdened takes it"


async def test_who_sends_quickly_gets_more(phones: Phones) -> None:
    quick, slow = await phones.phone("quick"), await phones.phone("slow")
    for n in range(30):
        await phones.submit(f"m{n}")
        for message_id in await phones.fetch(quick):
            await phones.say(quick, message_id, State.SENT)
    owed = await phones.world.write(lambda tx: tx.phone_queues.unfinished(slow.id, 100))
    assert owed <= 1


async def test_the_others_follow_in_the_route(phones: Phones) -> None:
    made = [await phones.phone(f"p{n}") for n in range(3)]
    assert sorted(await route(phones, "m1")) == sorted(phone.id for phone in made)


async def test_no_more_than_eight_take_part(phones: Phones) -> None:
    made = [await phones.phone(f"p{n}") for n in range(12)]
    found = [await route(phones, f"m{n}") for n in range(40)]
    assert {len(ids) for ids in found} == {MOST_PHONES}
    assert {ids[0] for ids in found} == {phone.id for phone in made}


async def test_a_silent_phone_comes_last_and_the_last_heard_of_before(phones: Phones) -> None:
    oldest = await phones.phone("oldest")
    phones.world.clock.advance(1_000)
    older = await phones.phone("older")
    phones.world.clock.advance(OFFLINE_MS)
    living = await phones.phone("living")
    phones.world.clock.advance(1_001)
    await phones.hear(living)
    for n in range(5):
        assert await route(phones, f"m{n}") == [living.id, older.id, oldest.id]


async def test_a_silent_phone_is_better_than_none(phones: Phones) -> None:
    phone = await phones.phone()
    phones.world.clock.advance(10 * OFFLINE_MS)
    assert await route(phones, "m1") == [phone.id]
    assert phones.nudged() == [(phone.id, DeviceEvent.MESSAGE_ENQUEUED, {})]


async def test_a_phone_with_the_sim_is_better_than_one_without(phones: Phones) -> None:
    one = await phones.phone("one", sims=(1,))
    both = await phones.phone("both", sims=(1, 2))
    for n in range(5):
        assert await route(phones, f"m{n}", sim_number=2) == [both.id, one.id]
    assert await route(phones, "named", sim_number=2, device_id=one.id) == [one.id]


async def test_a_phone_that_does_not_say_which_sims_it_has_may_have_it(phones: Phones) -> None:
    silent = await phones.phone("says nothing")
    other = await phones.phone("other", sims=(1,))
    assert await route(phones, "m1", sim_number=3) == [silent.id, other.id]


async def test_a_named_phone_is_the_only_one(phones: Phones) -> None:
    one, _ = await phones.phone("one"), await phones.phone("two")
    assert await route(phones, "m1", device_id=one.id) == [one.id]
    with pytest.raises(Invalid, match="No active device with such ID found"):
        await phones.submit("m2", device_id="nobody")
    await phones.change(one, enabled=False)
    with pytest.raises(Invalid, match="No active device with such ID found"):
        await phones.submit("m3", device_id=one.id)


async def test_only_phones_heard_of_lately_if_that_is_wanted(phones: Phones) -> None:
    old = await phones.phone("old")
    phones.world.clock.advance(2 * HOUR_MS)
    new = await phones.phone("new")
    assert await route(phones, "m1", active_within_hours=1) == [new.id]
    assert sorted(await route(phones, "m2", active_within_hours=3)) == sorted([old.id, new.id])
    assert sorted(await route(phones, "m3", active_within_hours=0)) == sorted([old.id, new.id])
    with pytest.raises(Invalid, match="failed to select device: record not found"):
        await phones.submit("m4", active_within_hours=1, device_id=old.id)
    phones.world.clock.advance(2 * HOUR_MS)
    with pytest.raises(Invalid, match="failed to select device: record not found"):
        await phones.submit("m5", active_within_hours=1)
    http = await phones.other_way()
    assert await route(phones, "m6", active_within_hours=1) == [http.id]


async def test_phones_stand_together_at_the_place_of_the_first(phones: Phones) -> None:
    before = await phones.other_way("before")
    one = await phones.phone("one")
    between = await phones.other_way("between")
    two = await phones.phone("two")
    found = await route(phones, "m1")
    assert (found[0], found[3]) == (before.id, between.id)
    assert sorted(found[1:3]) == sorted([one.id, two.id])


async def test_a_simulator_does_not_stand_in_for_phones(phones: Phones) -> None:
    simulator = await phones.world.channel()
    phone = await phones.phone()
    assert await route(phones, "m1") == [phone.id]
    await phones.change(phone, enabled=False)
    assert await route(phones, "m2") == [simulator.id]


async def test_what_comes_first_to_another_channel_begins_there(phones: Phones) -> None:
    http = await phones.other_way()
    phone = await phones.phone()
    assert await route(phones, "m1") == [http.id, phone.id]
    assert phones.nudged() == []
    [job] = phones.hands.held
    assert job.lane == http.id


async def test_a_data_message_goes_to_what_can_carry_it(phones: Phones) -> None:
    await phones.other_way()
    phone = await phones.phone()
    found = await route(phones, "m1", text=None, data="AAECAw==", port=53739)
    assert found == [phone.id]
    [queued] = await phones.queue(phone)
    assert (queued.message.data, queued.message.port) == ("AAECAw==", 53739)


async def test_a_repeat_stands_once_in_the_queue(phones: Phones) -> None:
    phone = await phones.phone()
    await phones.submit("m1")
    phones.nudged()
    assert (await phones.submit("m1")).created is False
    assert phones.nudged() == []
    assert await phones.fetch(phone) == ["m1"]
    assert (await phones.submit("m1")).message.id == "m1"


async def test_phones_of_others_are_never_asked(phones: Phones) -> None:
    await phones.phone()
    other = Phones(phones.world)
    await phones.submit("m1")
    account = await phones.world.write(lambda tx: add_account(tx, password_hash="hash"))
    mine, phones.world.account = phones.world.account, account.id
    theirs = await other.phone("theirs")
    assert await other.fetch(theirs) == []
    phones.world.account = mine
    await phones.pass_time(MOVE_ON_MS, theirs)
    assert await phones.carrier("m1") != theirs.id
