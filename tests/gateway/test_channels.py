"""Adding channels, changing them, putting them in order."""

from typing import Any

import pytest
from gateway_world import World

from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.gateway import channels
from textgate.providers.base import MASK

PROVIDER_URL = "http://127.0.0.1:9/sms"
SECRET = "a-secret-of-some-length"


async def webhook_channel(world: World, name: str = "hook") -> channels.Channel:
    draft = channels.Draft(
        provider="webhook", name=name, settings={"url": PROVIDER_URL, "signature_key": SECRET}
    )
    return await world.write(lambda tx: channels.add(tx, world.account, draft, world.guard))


async def change(world: World, channel_id: str, **changes: Any) -> channels.Channel:
    wanted = channels.Changes(**changes)
    return await world.write(
        lambda tx: channels.change(tx, world.account, channel_id, wanted, world.guard)
    )


async def order(world: World) -> list[str]:
    found = await world.write(lambda tx: tx.channels.all(world.account))
    return [channel.name for channel in found]


async def logged(world: World) -> list[str]:
    found = await world.write(lambda tx: tx.logs.between(world.account, 0, 1 << 60, 100))
    return [entry.message for entry in found]


async def test_a_new_channel_is_the_last_to_be_tried(world: World) -> None:
    for name in ("first", "second", "third"):
        await world.channel(name)
    assert await order(world) == ["first", "second", "third"]


async def test_the_order_can_be_changed_and_must_name_every_channel_once(world: World) -> None:
    one, two, three = [await world.channel(name) for name in ("one", "two", "three")]

    async def reorder(*ids: str) -> None:
        await world.write(lambda tx: channels.reorder(tx, world.account, ids))

    await reorder(three.id, one.id, two.id)
    assert await order(world) == ["three", "one", "two"]
    for wrong in ((one.id, two.id), (one.id, one.id, two.id), (one.id, two.id, three.id, "x")):
        with pytest.raises(Invalid) as refused:
            await reorder(*wrong)
        assert refused.value.field == "ids"
    await world.channel("four")
    assert await order(world) == ["three", "one", "two", "four"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"max_in_flight": 1001}, "max_in_flight"),
        ({"rate": 0.0}, "rate"),
        ({"rate": -1.0}, "rate"),
        ({"retry_waits": (1,) * 21}, "retry_waits"),
        ({"retry_waits": (-1,)}, "retry_waits"),
        ({"settings": {"unheard_of": 1}}, "settings.unheard_of"),
        ({"settings": {"late_s": "soon"}}, "settings.late_s"),
    ],
)
async def test_a_channel_that_breaks_a_rule_is_refused_with_the_member_at_fault(
    world: World, wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await world.channel(**wanted)
    assert refused.value.field == field
    good = await world.channel("good")
    with pytest.raises(Invalid) as refused:
        await change(world, good.id, **wanted)
    assert refused.value.field == field
    assert await order(world) == ["good"]


async def test_an_unknown_provider_is_refused_with_the_known_ones(world: World) -> None:
    draft = channels.Draft(provider="pigeon", name="p")
    with pytest.raises(Invalid, match="simulator") as refused:
        await world.write(lambda tx: channels.add(tx, world.account, draft, world.guard))
    assert refused.value.field == "provider"


async def test_two_channels_of_an_account_cannot_have_one_name(world: World) -> None:
    await world.channel("sim")
    other = await world.channel("other")
    with pytest.raises(Conflict) as refused:
        await world.channel(" sim ")
    assert refused.value.field == "name"
    with pytest.raises(Conflict):
        await change(world, other.id, name="sim")
    assert (await change(world, other.id, name="other")).name == "other"


async def test_a_secret_that_comes_back_masked_keeps_its_value(world: World) -> None:
    channel = await webhook_channel(world)
    changed = await change(world, channel.id, settings={"signature_key": MASK, "timeout": 5})
    assert changed.settings["signature_key"] == SECRET
    assert changed.settings["timeout"] == 5
    assert changed.settings["url"] == PROVIDER_URL


async def test_a_mask_is_no_secret_for_a_new_channel(world: World) -> None:
    settings = {"url": PROVIDER_URL, "signature_key": MASK}
    draft = channels.Draft(provider="webhook", name="hook", settings=settings)
    with pytest.raises(Invalid) as refused:
        await world.write(lambda tx: channels.add(tx, world.account, draft, world.guard))
    assert refused.value.field == "settings.signature_key"


async def test_a_setting_given_as_null_gets_its_default_again(world: World) -> None:
    channel = await world.channel(settings={"late_s": 9.0})
    changed = await change(world, channel.id, settings={"late_s": None})
    assert "late_s" not in changed.settings


async def test_an_address_that_the_guard_refuses_is_no_setting(world: World) -> None:
    settings = {"url": "http://10.0.0.1/sms", "signature_key": SECRET}
    draft = channels.Draft(provider="webhook", name="hook", settings=settings)
    with pytest.raises(Invalid, match="TEXTGATE_ALLOW_ADDRESSES"):
        await world.write(lambda tx: channels.add(tx, world.account, draft, world.guard))


async def test_limits_can_be_lifted_again(world: World) -> None:
    channel = await world.channel(rate=2.5, retry_waits=(1, 2))
    changed = await change(world, channel.id, rate=None, retry_waits=None)
    assert (changed.rate, changed.retry_waits) == (None, None)
    assert changed.max_in_flight == channel.max_in_flight


async def test_a_disabled_channel_carries_nothing_and_the_next_one_does(world: World) -> None:
    first, second = await world.channel("first"), await world.channel("second")
    await change(world, first.id, enabled=False)
    assert (await world.submit()).recipients[0].lane == second.id
    await change(world, first.id, enabled=True)
    assert (await world.submit()).recipients[0].lane == first.id


async def test_what_is_done_to_channels_is_in_the_log_of_the_account(world: World) -> None:
    channel = await world.channel()
    await change(world, channel.id, enabled=False)
    await change(world, channel.id, rate=1.0, name="slow")
    await change(world, channel.id, enabled=True, max_in_flight=2)
    await world.write(lambda tx: channels.remove(tx, world.account, channel.id))
    assert await logged(world) == [
        "Channel added",
        "Channel disabled",
        "Channel changed: name, rate",
        "Channel enabled",
        "Channel changed: max_in_flight",
        "Channel removed",
    ]


async def test_a_channel_of_another_account_is_not_found(world: World) -> None:
    channel = await world.channel()
    for work in (
        lambda tx: channels.change(tx, "other", channel.id, channels.Changes(), world.guard),
        lambda tx: channels.remove(tx, "other", channel.id),
        lambda tx: channels.known_channel(tx, "other", channel.id),
    ):
        with pytest.raises(NotFound):
            await world.write(work)


async def test_a_simulator_never_stands_in_for_a_channel_that_sends(world: World) -> None:
    simulator = await world.channel("sim")
    alone = await world.submit(id="alone")
    real = await webhook_channel(world)
    beside = await world.submit(id="beside")
    named = await world.submit(id="named", device_id=simulator.id)
    ways = [(m.message.device_id, m.recipients[0].route) for m in (alone, beside, named)]
    assert ways == [(simulator.id, ""), (real.id, ""), (simulator.id, "")]
    with pytest.raises(Invalid, match=r"none of the channels \(hook\) can carry data messages"):
        await world.submit(id="data", text=None, data="AAECAw==", port=1)
