"""What came in: kept once, and counted in the conversation with its sender; and asking phones for
what they have of it."""

import base64
import binascii
from collections.abc import Sequence
from itertools import count
from typing import Literal

import msgspec
from msgspec.structs import replace

from textgate.domain.device import Device, DeviceEvent
from textgate.domain.inbound import Attachment, Inbound
from textgate.domain.phone import canonical
from textgate.domain.times import Milliseconds, rfc3339
from textgate.gateway.nudges import nudge
from textgate.store.base import Tx

SECOND_MS = 1_000
LAST_SECOND = 253_402_300_799_000
"""Of the year 9999, which is the last that RFC 3339 can write."""

MOST_ALIKE = 20
"""Messages of one id that are told apart by counting."""

MOST_WAITING = 20
"""Requests that are kept for a phone out of reach; one more, and they become one."""


def keep(
    tx: Tx,
    inbound: Inbound,
    attachments: Sequence[Attachment] = (),
    *,
    default_region: str | None = None,
) -> None:
    """Put a message into the inbox, unless it is there.

    A phone's id is a hash of 32 bits, or the number of a row in its own store (A §4.3), so another
    message may have it already: then this one gets a number behind its id, or where many have it an
    id of ours, and the attachments follow. ``default_region`` is where a sender without ``+`` is
    taken to be from.
    """
    kept = replace(inbound, number=canonical(inbound.sender, default_region), kept_at=tx.now)
    for n in count(2):
        if tx.inbox.add(kept):
            break
        known = tx.inbox.get(kept.account_id, kept.id)
        if known is None or _said(known) == _said(kept):
            return
        kept = replace(kept, id=f"{inbound.id}.{n if n <= MOST_ALIKE else tx.new_id()}")
    for attachment in attachments:
        size = _size(attachment) if attachment.size is None else attachment.size
        tx.inbox.add_attachment(replace(attachment, inbound_id=kept.id, size=size))
    tx.conversations.count(kept.account_id, kept.number, kept.created_at)


def _said(inbound: Inbound) -> tuple[object, ...]:
    """What two tellings of one message have in common."""
    return (
        inbound.device_id,
        inbound.type,
        inbound.sender,
        inbound.content,
        inbound.created_at,
    )


def _size(attachment: Attachment) -> int | None:
    data = bytes_of(attachment)
    return None if data is None else len(data)


def bytes_of(attachment: Attachment) -> bytes | None:
    """Return what is attached; None if the phone did not send it, or nothing that can be read.

    Android's own base64 has line ends in it, so what is no letter of the alphabet is passed over.
    """
    if attachment.data is None:
        return None
    try:
        return base64.b64decode(attachment.data)
    except binascii.Error:
        return None


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """What phones shall read again of what they have received (A §2.5)."""

    since: Milliseconds
    until: Milliseconds
    kinds: tuple[Literal["SMS", "MMS"], ...] = ()
    """Empty: what a phone does by itself, which is SMS."""
    delivery: Literal["Disabled", "Individual", "Batch"]


def refresh(tx: Tx, account_id: str, wanted: Refresh, *, device_id: str | None = None) -> None:
    """Ask all phones of an account, or the one that is named, to read again."""
    event = DeviceEvent.MESSAGES_EXPORT_REQUESTED
    for device in tx.devices.all(account_id):
        if device_id not in (None, device.id):
            continue
        asked = _asked(wanted, device)
        notices = tx.devices.notices(account_id, device.id)
        waiting = [one.data for one in notices if one.event is event and one.data is not None]
        if len(waiting) >= MOST_WAITING and asked not in waiting:
            tx.devices.end_notices(account_id, device.id, event)
            asked = _all_of([*waiting, asked])
        nudge(tx, account_id, device.id, event, asked)


def _all_of(requests: list[dict[str, str]]) -> dict[str, str]:
    """Return one request for all that was asked for, to be answered as the last one."""
    kinds = [kind for one in requests for kind in one.get("messageTypes", "SMS").split(",")]
    return {
        **requests[-1],
        "since": min(one["since"] for one in requests),
        "until": max(one["until"] for one in requests),
        "messageTypes": ",".join(dict.fromkeys(kinds)),
    }


def _asked(wanted: Refresh, device: Device) -> dict[str, str]:
    """Return what the phone is told: texts only, times in whole seconds (A §3.9).

    A phone that sends its events here must send them, whatever is to become of webhooks: it is the
    only way into the inbox, and what the account's webhooks know already they are not told again.
    """
    delivery = "Individual" if device.tells_server else wanted.delivery
    data = {
        "since": _whole_second(wanted.since),
        "until": _whole_second(min(wanted.until + SECOND_MS - 1, LAST_SECOND)),
        "webhookDelivery": delivery,
        "triggerWebhooks": "false" if delivery == "Disabled" else "true",
    }
    return data | ({"messageTypes": ",".join(wanted.kinds)} if wanted.kinds else {})


def _whole_second(at: Milliseconds) -> str:
    return rfc3339(at - at % SECOND_MS).replace(".000", "")
