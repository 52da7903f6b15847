"""An event, and the work of telling every webhook that wants to know."""

from collections.abc import Mapping
from typing import Any

import msgspec

from textgate.domain.event import (
    EVENT_OF_STATE,
    TIME_MEMBER,
    CallJob,
    Delivery,
    DeliveryState,
    Event,
    EventType,
    Telling,
    Webhook,
)
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient
from textgate.domain.times import Milliseconds, rfc3339
from textgate.store.base import LEASE_MS, Tx

_encode = msgspec.json.Encoder().encode


def announce(
    tx: Tx,
    account_id: str,
    type_: EventType,
    *,
    device_id: str,
    message_id: str | None,
    payload: Mapping[str, Any],
    telling: Telling = Telling.ALL,
) -> Event:
    """Store an event and one delivery for each webhook that wants it, if ``telling`` is all."""
    event = Event(
        account_id=account_id,
        id=tx.new_id(),
        type=type_,
        device_id=device_id,
        message_id=message_id,
        payload=_encode(payload).decode(),
        created_at=tx.now,
    )
    tx.events.add(event)
    listening = tx.webhooks.listening(account_id, type_, device_id)
    for webhook in listening if telling is Telling.ALL else ():
        owe(tx, event, webhook)
    return event


def owe(tx: Tx, event: Event, webhook: Webhook) -> None:
    """Store the work of telling ``webhook``: held while it is disabled, else due now."""
    leased = webhook.enabled and tx.lease(CallJob, webhook.key)
    delivery = Delivery(
        account_id=event.account_id,
        event_id=event.id,
        lane=webhook.key,
        state=DeliveryState.PENDING if webhook.enabled else DeliveryState.HELD,
        attempt=1 if leased else 0,
        base=0,
        due_at=(tx.now + LEASE_MS if leased else tx.now) if webhook.enabled else None,
        holder=tx.holder if leased else None,
        created_at=tx.now,
    )
    if not tx.deliveries.add(delivery):
        return
    if leased:
        tx.hand_over(CallJob(event, delivery))
    elif webhook.enabled:
        tx.due(tx.now)


def announce_state(
    tx: Tx,
    message: Message,
    recipient: Recipient,
    *,
    at: Milliseconds,
    said: Mapping[str, Any] | None = None,
    telling: Telling = Telling.ALL,
) -> None:
    """Announce the recipient's state, if it is one that receivers hear of (A §4.3).

    ``at``: when it came to it. ``said``: the payload of the phone's own event, if that is what
    brought the news.
    """
    type_ = EVENT_OF_STATE.get(recipient.state)
    if type_ is None or telling is Telling.NOTHING:
        return
    payload: dict[str, Any] = {
        "messageId": message.id,
        "recipient": recipient.number,
        "phoneNumber": recipient.number,
    }
    if message.sim_number is not None:
        payload["simNumber"] = message.sim_number
    payload[TIME_MEMBER[type_]] = rfc3339(at)
    if recipient.state is State.SENT:
        payload["partsCount"] = message.parts
    elif recipient.state is State.FAILED:
        payload["reason"] = recipient.error or recipient.reason or "Unknown"
    announce(
        tx,
        message.account_id,
        type_,
        device_id=recipient.lane,
        message_id=message.id,
        payload={**payload, **(said or {})},
        telling=telling,
    )
