"""The events of a phone as the app puts them (A §4.3). Times are in the phone's own offset."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec

from textgate.domain.event import EventType
from textgate.domain.times import Milliseconds
from textgate.phone.behaviour import Behaviour
from textgate.phone.incoming import Incoming, incoming_hash
from textgate.phone.plan import Departure

Payload = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def local_time(at: Milliseconds, offset_minutes: int) -> str:
    """``2026-03-04T05:06:07.089+07:00``, or ``Z`` where there is no offset (A §1.4)."""
    zone = timezone(timedelta(minutes=offset_minutes))
    text = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z" if offset_minutes == 0 else text


class Words:
    """Says what happened on a phone of this behaviour."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._asked = behaviour

    def time(self, at: Milliseconds) -> str:
        return local_time(at, self._asked.offset_minutes)

    def sent(self, departure: Departure, at: Milliseconds) -> Payload:
        return _outgoing(departure) | {"sentAt": self.time(at), "partsCount": departure.parts}

    def delivered(self, departure: Departure, at: Milliseconds) -> Payload:
        return _outgoing(departure) | {"deliveredAt": self.time(at)}

    def failed(self, departure: Departure, at: Milliseconds, reason: str) -> Payload:
        return _outgoing(departure) | {"failedAt": self.time(at), "reason": reason}

    def received(self, incoming: Incoming, at: Milliseconds) -> tuple[EventType, Payload]:
        """Return the event of a message that came in at ``at``, and what it says."""
        own = next((s for s in self._asked.sims if s.sim_number == incoming.sim_number), None)
        text = incoming.text
        hashed = incoming_hash(incoming.sender, at, incoming.sim_number, text)
        said: Payload = {
            "messageId": f"{hashed:x}",
            "phoneNumber": incoming.sender,
            "sender": incoming.sender,
            **_given(recipient=own and own.phone_number, simNumber=incoming.sim_number),
            "receivedAt": self.time(at),
        }
        match incoming.kind:
            case "SMS":
                return EventType.SMS_RECEIVED, said | {"message": text}
            case "DATA_SMS":
                return EventType.SMS_DATA_RECEIVED, said | {"data": text}
            case "MMS":
                transaction = incoming.transaction_id or f"{hashed:x}"
                return EventType.MMS_RECEIVED, {
                    **said,
                    "messageId": transaction,
                    "transactionId": transaction,
                    "size": incoming.size,
                    **_given(subject=incoming.subject, contentClass=incoming.content_class),
                }
            case "MMS_DOWNLOADED":
                return EventType.MMS_DOWNLOADED, {
                    **said,
                    # The app names the row of the phone's own store, a number.
                    "messageId": str(hashed),
                    **_given(subject=incoming.subject, body=text or None),
                    "attachments": _attachments(incoming, hashed),
                }

    def started(self) -> Payload:
        return {"simCards": msgspec.to_builtins(list(self._asked.sims))}


def _outgoing(departure: Departure) -> Payload:
    number, sim = departure.number, departure.sim
    said: Payload = {
        "messageId": departure.message.id,
        "phoneNumber": number,
        "recipient": number,
    }
    if sim is not None:
        said |= _given(simNumber=sim.sim_number, sender=sim.phone_number)
    return said


def _attachments(incoming: Incoming, hashed: int) -> list[Payload]:
    return [
        {
            "partId": (hashed + n) % 2**31,
            "contentType": part.content_type,
            **_given(name=part.name),
            "size": len(part.data) * 3 // 4 - part.data[-2:].count("="),
            "data": part.data,
        }
        for n, part in enumerate(incoming.attachments)
    ]


def _given(**members: Any) -> Payload:
    """The app leaves out what is null."""
    return {name: value for name, value in members.items() if value is not None}
