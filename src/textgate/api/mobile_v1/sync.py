"""The webhooks and the settings that a phone fetches (A §3.8)."""

from typing import Any
from urllib.parse import urlsplit

import msgspec

from textgate.api.operation import Answer, Call, Operation
from textgate.domain.app_version import knows
from textgate.domain.device import Device, DeviceEvent
from textgate.domain.event import EventType
from textgate.domain.preferences import Document, Preferences
from textgate.gateway.phone_settings import effective, is_own_machine, known_account
from textgate.store.base import Tx

ALWAYS_TOLD = (
    EventType.SMS_RECEIVED,
    EventType.SMS_DATA_RECEIVED,
    EventType.MMS_RECEIVED,
    EventType.MMS_DOWNLOADED,
    EventType.SYSTEM_PING,
    EventType.APP_STARTED,
    EventType.SMS_DELIVERED,
)
"""What we want to hear of in any case: for the inbox, for the phone's health and its SIMs, and for
counting the parts that have arrived."""
TOLD_IF_WANTED = (EventType.SMS_SENT, EventType.SMS_FAILED, EventType.SMS_CANCELLED)
"""What the phone reports by its queue too: its event is needed for its reason and its SIM only if
there is a webhook to be told of them."""


class PhoneWebhook(msgspec.Struct, rename="camel"):
    """A webhook as the app stores it."""

    id: str
    device_id: str | None
    url: str
    event: str


async def _webhooks(call: Call[None, None]) -> Answer:
    """The list replaces what the phone has. In one write, so that what is registered meanwhile is
    either in it or announced after it."""
    device, url, elsewhere = call.device, call.services.url, _is_elsewhere(call)

    def fetch(tx: Tx) -> list[PhoneWebhook]:
        policy = known_account(tx, device.account_id).phones
        to_us = effective(policy, url, elsewhere=elsewhere).delivery == "server"
        known = tx.devices.get(device.account_id, device.id) or device
        if (known.tells_server, known.calls_webhooks) != (to_us, not to_us):
            tx.devices.set_listener(
                device.account_id, device.id, tells_server=to_us, calls_webhooks=not to_us
            )
        tx.devices.end_notices(device.account_id, device.id, DeviceEvent.WEBHOOKS_UPDATED)
        found = _ours(tx, known, url) if to_us else _theirs(tx, known)
        return [webhook for webhook in found if knows(known.app_version, webhook.event)]

    return Answer(200, await call.services.store.write(fetch))


def _is_elsewhere(call: Call[None, None]) -> bool:
    """Whether the phone is on another machine than the server. A proxy or a tunnel may hide its
    address; the name that it asks for, and what proxies add, betray them."""
    headers = call.headers
    if "x-forwarded-for" in headers or "forwarded" in headers:
        return True
    try:
        asked_for = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return True
    return not (is_own_machine(call.client) and is_own_machine(asked_for))


def _ours(tx: Tx, device: Device, url: str) -> list[PhoneWebhook]:
    """One registration for each event that anybody needs, all at the phone's own address."""
    wanted = [
        event
        for event in TOLD_IF_WANTED
        if tx.webhooks.listening(device.account_id, event, device.id)
    ]
    address = f"{url}/device-events/{device.event_key}"
    return [
        PhoneWebhook(f"textgate-{event.replace(':', '-')}", device.id, address, event)
        for event in (*ALWAYS_TOLD, *wanted)
    ]


def _theirs(tx: Tx, device: Device) -> list[PhoneWebhook]:
    """The account's webhooks as they are registered."""
    return [
        PhoneWebhook(webhook.id, webhook.device_id, webhook.url, webhook.event)
        for webhook in tx.webhooks.all(device.account_id)
        if webhook.enabled and webhook.device_id in (None, device.id)
    ]


async def _settings(call: Call[None, None]) -> Answer:
    """The whole document, with what it holds of secrets. ``merge`` lets no section be null, at
    which the app would fail (A §2.8)."""
    device = call.device

    def fetch(tx: Tx) -> Document:
        tx.devices.end_notices(device.account_id, device.id, DeviceEvent.SETTINGS_UPDATED)
        return known_account(tx, device.account_id).settings

    return Answer(200, await call.services.store.write(fetch))


def _for_phones(path: str, summary: str, handler: Any, answer: Any) -> Operation:
    return Operation("GET", path, summary, "phones", None, handler, answer=answer, for_phones=True)


OPERATIONS: tuple[Operation, ...] = (
    _for_phones(
        "/webhooks", "Fetch the webhooks that the phone is to call", _webhooks, list[PhoneWebhook]
    ),
    _for_phones("/settings", "Fetch the settings", _settings, Preferences),
)
