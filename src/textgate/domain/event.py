"""Something happened, and who wants to know."""

from enum import StrEnum

import msgspec

from textgate.domain.lifecycle import State
from textgate.domain.times import Milliseconds


class EventType(StrEnum):
    """The events of SMS Gateway for Android (A §4.1)."""

    SMS_RECEIVED = "sms:received"
    SMS_DATA_RECEIVED = "sms:data-received"
    MMS_RECEIVED = "mms:received"
    MMS_DOWNLOADED = "mms:downloaded"
    SMS_SENT = "sms:sent"
    SMS_DELIVERED = "sms:delivered"
    SMS_FAILED = "sms:failed"
    SMS_CANCELLED = "sms:cancelled"
    SYSTEM_PING = "system:ping"
    APP_STARTED = "app:started"
    # Of the server itself, about its phones; no phone knows these two.
    DEVICE_OFFLINE = "device:offline"
    DEVICE_ONLINE = "device:online"
    # Newer, of phones only (A §4.1): may be registered; what a batch holds is told one by one.
    SMS_BATCH_RECEIVED = "sms:batch:received"
    SMS_BATCH_DATA_RECEIVED = "sms:batch:data-received"
    MMS_BATCH_RECEIVED = "mms:batch:received"
    MMS_BATCH_DOWNLOADED = "mms:batch:downloaded"


EVENT_OF_STATE = {
    State.SENT: EventType.SMS_SENT,
    State.DELIVERED: EventType.SMS_DELIVERED,
    State.FAILED: EventType.SMS_FAILED,
    State.CANCELLED: EventType.SMS_CANCELLED,
}
"""States that are announced; the others are steps on the way."""

TIME_MEMBER = {
    EventType.SMS_SENT: "sentAt",
    EventType.SMS_DELIVERED: "deliveredAt",
    EventType.SMS_FAILED: "failedAt",
    EventType.SMS_CANCELLED: "cancelledAt",
}


class Telling(StrEnum):
    """How far a change of state is told."""

    ALL = "all"
    EVENT = "event"
    """Stored, but no webhook is called: the phone does that itself."""
    NOTHING = "nothing"
    """Not at all: the phone's own events tell it."""


class Event(msgspec.Struct, kw_only=True, gc=False):
    """One business fact. ``id`` sorts in the order of the commits of one database."""

    account_id: str
    id: str
    type: str
    device_id: str
    message_id: str | None
    payload: str
    """JSON, as the webhooks carry it."""
    created_at: Milliseconds


class Webhook(msgspec.Struct, kw_only=True, gc=False):
    """A registered URL that wants to know of one type of event."""

    account_id: str
    id: str
    """The caller's name for it, unique in the account."""
    key: str
    """Our own id: the lane of its deliveries."""
    url: str
    event: str
    device_id: str | None
    enabled: bool
    disabled_reason: str | None
    created_at: Milliseconds
    updated_at: Milliseconds


class DeliveryState(StrEnum):
    """Where the delivery of one event to one webhook stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Every try failed; kept until it is replayed or too old."""
    HELD = "held"
    """The webhook is disabled; goes out when it is enabled again."""


class Delivery(msgspec.Struct, kw_only=True, gc=False):
    """The durable work of telling one webhook of one event. Fields as in ``Recipient``."""

    account_id: str
    event_id: str
    lane: str
    """``Webhook.key``."""
    state: DeliveryState
    attempt: int
    base: int
    due_at: Milliseconds | None
    created_at: Milliseconds
    holder: str | None = None
    finished_at: Milliseconds | None = None


class CallJob(msgspec.Struct, frozen=True, gc=False):
    """Work in hand: tell a webhook of ``event``."""

    event: Event
    delivery: Delivery

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.event.account_id, self.event.id, self.delivery.lane)

    @property
    def lane(self) -> str:
        return self.delivery.lane

    @property
    def priority(self) -> int:
        return 0

    @property
    def lease_until(self) -> Milliseconds:
        return self.delivery.due_at or 0


class CallAttempt(msgspec.Struct, kw_only=True, gc=False):
    """One call of a webhook, append-only."""

    account_id: str
    event_id: str
    lane: str
    attempt: int
    started_at: Milliseconds
    elapsed_ms: float
    status: int | None
    """HTTP status, or None when there was no answer."""
    ok: bool
    detail: str | None
    """An excerpt of the answer with numbers masked, or what went wrong."""
