"""What an account wants of its phones, and that they hear of each change."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from gateway_world import World

from textgate.domain.device import Device, DeviceEvent, PhonePolicy
from textgate.domain.errors import NotFound
from textgate.gateway import credentials, devices, webhooks
from textgate.gateway.phone_settings import (
    PolicyChanges,
    change,
    effective,
    known_account,
    store_preferences,
)
from textgate.store.base import Tx

URL = "https://example.com/hook"


@pytest.mark.parametrize(
    ("url", "elsewhere", "delivery"),
    [
        ("https://sms.example.com", True, "server"),
        ("https://192.168.1.10:8080", True, "server"),
        ("http://sms.example.com", False, "phone"),
        ("http://192.168.1.10:8080", True, "phone"),
        ("http://127.0.0.1:8080", False, "server"),
        ("http://127.0.0.1:8080", True, "phone"),
        ("http://localhost:8080", False, "phone"),
        ("http://[::1]:8080", False, "phone"),
        ("https://localhost:8080", True, "phone"),
        ("https://localhost:8080", False, "server"),
    ],
)
def test_a_phone_sends_its_events_only_where_it_can(
    url: str, elsewhere: bool, delivery: str
) -> None:
    found = effective(PhonePolicy(), url, elsewhere=elsewhere)
    assert found.delivery == delivery
    assert (found.why is None) is (delivery == "server")
    wanted = PhonePolicy(webhook_delivery="phone")
    assert effective(wanted, url, elsewhere=elsewhere).delivery == "phone"
    assert effective(wanted, url, elsewhere=elsewhere).why is None


@pytest.fixture
async def phones(world: World) -> list[Device]:
    """Two phones of the account, and one of a stranger."""
    stranger = await world.write(lambda tx: credentials.add_account(tx, password_hash="hash"))
    owners = (world.account, world.account, stranger.id)
    return [
        await world.write(
            lambda tx, o=owner: devices.register(tx, o, devices.Registration()).device  # type: ignore[misc]
        )
        for owner in owners
    ]


async def hear(world: World, phones: list[Device], work: Callable[[Tx], Any]) -> list[set[str]]:
    """Do something; return what each phone heard, at once and as a notice."""
    with ExitStack() as listening:
        mailboxes = [listening.enter_context(world.store.listen(phone.id)) for phone in phones]
        await world.write(work)
        heard = [{nudge.event.value for nudge in mailbox.take()} for mailbox in mailboxes]

    def fetched(tx: Tx) -> list[set[str]]:
        kept = []
        for phone in phones:
            kept.append({n.event.value for n in tx.devices.notices(phone.account_id, phone.id)})
            for event in DeviceEvent:
                tx.devices.end_notices(phone.account_id, phone.id, event)
        return kept

    assert await world.write(fetched) == heard
    return heard


async def test_phones_hear_of_the_webhooks_that_are_theirs(
    world: World, phones: list[Device]
) -> None:
    one, other, _ = phones
    new, nothing = {"WebhooksUpdated"}, set[str]()
    account = world.account

    def register(device_id: str | None, event: str = "sms:sent") -> Callable[[Tx], Any]:
        return lambda tx: webhooks.register(
            tx, account, id="w", url=URL, event=event, device_id=device_id
        )

    assert await hear(world, phones, register(None)) == [new, new, nothing]
    assert await hear(world, phones, register(one.id)) == [new, new, nothing]
    assert await hear(world, phones, register(one.id, "sms:failed")) == [new, nothing, nothing]
    moved = webhooks.Changes(device_id=other.id)
    assert await hear(
        world, phones, lambda tx: webhooks.change(tx, account, "w", moved)
    ) == [new, new, nothing]  # fmt: skip
    for enabled in (False, True):
        assert await hear(
            world, phones, lambda tx, e=enabled: webhooks.set_enabled(tx, account, "w", e)  # type: ignore[misc]
        ) == [nothing, new, nothing]  # fmt: skip
    assert await hear(
        world, phones, lambda tx: webhooks.remove(tx, account, "w")
    ) == [nothing, new, nothing]  # fmt: skip
    assert await hear(
        world, phones, lambda tx: webhooks.remove(tx, account, "w")
    ) == [nothing] * 3  # fmt: skip


async def test_all_phones_hear_of_settings(world: World, phones: list[Device]) -> None:
    heard = await hear(
        world,
        phones,
        lambda tx: store_preferences(tx, world.account, {"ping": {"interval_seconds": 60}}),
    )
    assert heard == [{"SettingsUpdated"}, {"SettingsUpdated"}, set()]


async def test_another_policy_makes_all_phones_fetch_their_webhooks(
    world: World, phones: list[Device]
) -> None:
    wanted = PolicyChanges(webhook_delivery="phone")

    def work(tx: Tx) -> PhonePolicy:
        return change(tx, world.account, wanted)

    assert await hear(world, phones, work) == [{"WebhooksUpdated"}, {"WebhooksUpdated"}, set()]
    assert await hear(world, phones, work) == [set(), set(), set()], "it is so already"
    policy = await world.write(lambda tx: known_account(tx, world.account).phones)
    assert policy == PhonePolicy(webhook_delivery="phone")
    with pytest.raises(NotFound):
        await world.write(lambda tx: change(tx, "nobody", wanted))
