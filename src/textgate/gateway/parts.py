"""Who tells of what became of a message on a phone, and when all of its parts have arrived.

A phone reports states by its queue, and may call webhooks beside: ours, the account's, or none
(``Device.tells_server``, ``Device.calls_webhooks``). One business fact is announced once.
"""

from textgate.domain.app_version import knows
from textgate.domain.device import Device, PhonePolicy
from textgate.domain.event import EventType, Telling
from textgate.domain.message import Message, Recipient
from textgate.domain.phone_event import digest
from textgate.store.base import Tx

MOST_PARTS = 255
"""Of one SMS (GSM 03.40: the count of parts is one byte)."""


def telling(device: Device, policy: PhonePolicy, event: EventType, *, to_us: bool) -> Telling:
    """Return how far a state that this phone reports is told by us.

    ``to_us``: it was the phone's own event, sent to us, that brought the news.
    """
    tells_it = knows(device.app_version, event)
    per_part = policy.delivered_per_part and event is EventType.SMS_DELIVERED
    if per_part and (to_us or (device.tells_server and tells_it)):
        return Telling.NOTHING
    if not to_us and device.calls_webhooks and tells_it:
        return Telling.EVENT
    return Telling.ALL


def waits_for_parts(device: Device, policy: PhonePolicy, message: Message) -> bool:
    """Whether a delivery report of this phone may be one of several that are still to come."""
    return (
        device.tells_server
        and knows(device.app_version, EventType.SMS_DELIVERED)
        and not policy.delivered_per_part
        and message.parts > 1
    )


def count_part(tx: Tx, device: Device, recipient: Recipient) -> int:
    """Note that one more part has arrived; return how many have."""
    which = digest("parts", recipient.message_id, recipient.n)
    for count in range(1, MOST_PARTS):
        if tx.devices.add_fact(device.account_id, device.id, f"part:{which}:{count}"):
            return count
    return MOST_PARTS
