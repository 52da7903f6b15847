"""What phones tell of: received messages, signs of life, and again what became of messages
(A §4.3)."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from textgate.domain.account import Account
from textgate.domain.device import Device
from textgate.domain.errors import Invalid
from textgate.domain.event import TIME_MEMBER, EventType
from textgate.domain.lifecycle import State
from textgate.domain.message import Message
from textgate.domain.phone_event import (
    BATCHES,
    INCOMING,
    Fate,
    digest,
    read_batch,
    read_incoming,
    read_outgoing,
    read_sim_cards,
)
from textgate.gateway import inbox, parts, phone_queue, presence
from textgate.gateway.announce import announce
from textgate.store.base import Tx

LARGEST_HEALTH = 16_384
"""Bytes of what a phone says of its health: more of it is not kept."""
HOUR_MS = 3_600_000

STATE_OF = {
    EventType.SMS_SENT: State.SENT,
    EventType.SMS_FAILED: State.FAILED,
    EventType.SMS_CANCELLED: State.CANCELLED,
}
_encode = msgspec.json.Encoder().encode


class PhoneEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a phone sends it (A §4.2)."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    event: EventType
    payload: dict[str, Any] | None = None
    """Absent in the pings of older apps."""

    @property
    def said(self) -> dict[str, Any]:
        return self.payload or {}


def take(
    tx: Tx,
    account: Account,
    device: Device,
    event: PhoneEvent,
    *,
    default_region: str | None = None,
    quiet: bool = False,
) -> bool:
    """Store what the event says, once, and tell who wants to know. False: it was known.

    ``default_region`` is where a sender without ``+`` is taken to be from. ``quiet``: a message
    that came in is kept, and no webhook hears of it. Raises ``Invalid`` for a
    payload that lacks what its kind of event needs.
    """
    presence.seen(tx, account.id, device.id)
    if event.event is EventType.SYSTEM_PING:
        return _ping(tx, account, device, event)
    if not _is_new(tx, device, event.id):
        return False
    if event.event in INCOMING:
        return _received(tx, device, event.event, event.said, default_region, quiet=quiet)
    if event.event in BATCHES:
        single = BATCHES[event.event]
        news = [
            _received(tx, device, single, said, default_region) for said in read_batch(event.said)
        ]
        return any(news)
    if event.event is EventType.APP_STARTED:
        return _started(tx, device, event)
    if event.event in TIME_MEMBER:
        return _fate(tx, account, device, event)
    raise Invalid("phones do not tell of this", field="event")


def refused(tx: Tx, device: Device, event: EventType, why: Invalid) -> None:
    """Let the owner know of an event that could not be read: once an hour for each kind."""
    presence.seen(tx, device.account_id, device.id)
    if tx.devices.add_fact(device.account_id, device.id, f"refused:{event}:{tx.now // HOUR_MS}"):
        tx.logs.add(
            device.account_id,
            "WARN",
            "phones",
            "An event from a phone was refused",
            {
                "deviceId": device.id,
                "event": event,
                "reason": ": ".join(filter(None, (why.field, why.message))),
            },
        )


def _is_new(tx: Tx, device: Device, event_id: str) -> bool:
    return tx.devices.add_fact(device.account_id, device.id, f"event:{event_id}")


def _announce(
    tx: Tx,
    device: Device,
    type_: EventType,
    payload: dict[str, Any],
    message_id: str | None = None,
) -> None:
    """Tell on what the phone said, as it came."""
    announce(
        tx,
        device.account_id,
        type_,
        device_id=device.id,
        message_id=message_id,
        payload=payload,
    )


def _received(
    tx: Tx,
    device: Device,
    type_: EventType,
    said: dict[str, Any],
    region: str | None,
    *,
    quiet: bool = False,
) -> bool:
    """A message came in. The phone tells of it again after an export, under another event id."""
    received = read_incoming(
        type_,
        said,
        account_id=device.account_id,
        device_id=device.id,
        spare_id=tx.new_id(),
        now=tx.now,
    )
    if not tx.devices.add_fact(device.account_id, device.id, f"received:{received.digest}"):
        return False
    inbox.keep(tx, received.inbound, received.attachments, default_region=region)
    if not quiet:
        _announce(tx, device, type_, said)
    return True


def _ping(tx: Tx, account: Account, device: Device, event: PhoneEvent) -> bool:
    """A sign of life. If nobody listens it leaves no trace but the phone's health."""
    health = event.said.get("health")
    if isinstance(health, dict) and len(_encode(health)) <= LARGEST_HEALTH:
        tx.devices.set_health(account.id, device.id, {"at": tx.now, "health": health})
    if not tx.webhooks.listening(account.id, event.event, device.id):
        return True
    if not _is_new(tx, device, event.id):
        return False
    _announce(tx, device, event.event, event.said)
    return True


def _started(tx: Tx, device: Device, event: PhoneEvent) -> bool:
    sim_cards = read_sim_cards(event.said)
    if sim_cards is not None:
        tx.devices.set_sim_cards(device.account_id, device.id, sim_cards)
    _announce(tx, device, event.event, event.said)
    return True


def _fate(tx: Tx, account: Account, device: Device, event: PhoneEvent) -> bool:
    """What became of a message for one number. The phone reports it by its queue too: whichever
    comes first moves the state and is announced."""
    fate = read_outgoing(event.event, event.said, tx.now)
    message = tx.messages.get(device.account_id, fate.message_id)
    if message is None:
        return _foreign(tx, account, device, event, fate)
    if event.event is EventType.SMS_DELIVERED:
        return _delivered(tx, account, device, event, fate, message)
    state = STATE_OF[event.event]
    number = phone_queue.NumberReport(
        number=fate.number, state=state, error=fate.reason, said=event.said
    )
    told = phone_queue.Report(message_id=message.id, numbers=[number], at={state: fate.at})
    phone_queue.report(tx, device, [told])
    return True


def _foreign(tx: Tx, account: Account, device: Device, event: PhoneEvent, fate: Fate) -> bool:
    """A message that was not sent through us, but through the phone's own API (A §4.3, notes)."""
    per_part = account.phones.delivered_per_part and event.event is EventType.SMS_DELIVERED
    fact = digest(event.event, fate.message_id, fate.number)
    if not per_part and not tx.devices.add_fact(device.account_id, device.id, f"fate:{fact}"):
        return False
    _announce(tx, device, event.event, event.said, fate.message_id)
    return True


def _delivered(
    tx: Tx, account: Account, device: Device, event: PhoneEvent, fate: Fate, message: Message
) -> bool:
    """One part has arrived: the message has when all have, or by the account's wish each is told
    of as it comes."""
    recipient = phone_queue.reported_recipient(tx, device, message, fate.number)
    if recipient is None:
        return False
    if account.phones.delivered_per_part:
        _announce(tx, device, event.event, event.said, message.id)
    elif (
        parts.waits_for_parts(device, account.phones, message)
        and parts.count_part(tx, device, recipient) < message.parts
    ):
        return True
    phone_queue.deliver(tx, device, message, recipient, fate.at, said=event.said)
    return True
