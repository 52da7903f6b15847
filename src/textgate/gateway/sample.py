"""Sample payloads, one for each type of event, marked as a test (A §4.3)."""

from typing import Any

from textgate.domain.event import EventType
from textgate.domain.times import Milliseconds, rfc3339

# Of the range that Ofcom keeps free for drama: nobody has them.
_REMOTE = "+447700900123"
_OWN = "+447700900001"
_SAYS = "A test from Textgate"


def sample_payload(type_: EventType, now: Milliseconds) -> dict[str, Any]:
    """Return what an event of this type carries, with ``"test": true`` beside it."""
    at = rfc3339(now)
    incoming = {
        "messageId": "test",
        "sender": _REMOTE,
        "recipient": _OWN,
        "phoneNumber": _REMOTE,
        "simNumber": 1,
        "receivedAt": at,
    }
    outgoing = {"messageId": "test", "recipient": _REMOTE, "phoneNumber": _REMOTE, "simNumber": 1}
    presence = {"deviceId": "test", "name": "test", "lastSeen": at, "offlineSince": at}
    payloads: dict[EventType, dict[str, Any]] = {
        EventType.SMS_RECEIVED: {**incoming, "message": _SAYS},
        EventType.SMS_DATA_RECEIVED: {**incoming, "data": "VGV4dGdhdGU="},
        EventType.MMS_RECEIVED: {
            **incoming,
            "transactionId": "test",
            "subject": _SAYS,
            "size": 0,
            "contentClass": "text",
        },
        EventType.MMS_DOWNLOADED: {**incoming, "subject": _SAYS, "body": _SAYS, "attachments": []},
        EventType.SMS_SENT: {**outgoing, "sentAt": at, "partsCount": 1},
        EventType.SMS_DELIVERED: {**outgoing, "deliveredAt": at},
        EventType.SMS_FAILED: {**outgoing, "failedAt": at, "reason": "Unknown"},
        EventType.SMS_CANCELLED: {**outgoing, "cancelledAt": at},
        EventType.SYSTEM_PING: {"health": {"status": "pass", "checks": {}}},
        EventType.APP_STARTED: {"simCards": []},
        EventType.DEVICE_OFFLINE: presence,
        EventType.DEVICE_ONLINE: presence,
    }
    for batch, single in _BATCHES.items():
        payloads[batch] = {"messages": [payloads[single]]}
    return {"test": True, **payloads[type_]}


_BATCHES = {
    EventType.SMS_BATCH_RECEIVED: EventType.SMS_RECEIVED,
    EventType.SMS_BATCH_DATA_RECEIVED: EventType.SMS_DATA_RECEIVED,
    EventType.MMS_BATCH_RECEIVED: EventType.MMS_RECEIVED,
    EventType.MMS_BATCH_DOWNLOADED: EventType.MMS_DOWNLOADED,
}
