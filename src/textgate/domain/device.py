"""Phones: a device registered to an account, what it is told, and what its account wants of it."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from textgate.domain.times import Milliseconds


class SimCard(msgspec.Struct, rename="camel", omit_defaults=True):
    """A SIM of a phone; its numbers come masked from the phone (A §2.6)."""

    slot_index: int
    sim_number: int
    phone_number: Annotated[str, Meta(max_length=256)] | None = None
    carrier_name: Annotated[str, Meta(max_length=256)] | None = None
    iccid: Annotated[str, Meta(max_length=256)] | None = None

    def masked(self) -> "SimCard":
        """Return it as the app shows it to servers (A §2.6)."""
        return msgspec.structs.replace(
            self,
            phone_number=_last_four(self.phone_number),
            carrier_name=_last_four(self.carrier_name),
            iccid=_last_four(self.iccid),
        )


def _last_four(text: str | None) -> str | None:
    """All but the last four characters become ``*``; four or fewer become ``****``."""
    if text is None or len(text) <= 4:
        return text and "****"
    return "*" * (len(text) - 4) + text[-4:]


class Device(msgspec.Struct, kw_only=True):
    """A phone registered to an account. Its channel has the same id."""

    account_id: str
    id: str
    name: str
    token_hash: str
    event_key: str
    push_token: str | None
    sim_cards: list[SimCard]
    app_version: str | None
    """As its User-Agent said last; None for an app that did not say."""
    health: dict[str, Any] | None
    """What its last ``system:ping`` said, and when: ``{"at": milliseconds, "health": …}``."""
    tells_server: bool
    """The webhook list that it fetched last holds our own address: its events come to us."""
    calls_webhooks: bool = False
    """The list holds the account's own webhooks instead: it calls them itself."""
    created_at: Milliseconds
    updated_at: Milliseconds
    last_seen: Milliseconds
    offline_since: Milliseconds | None
    """Since when it counts as silent; None: it does not."""


class DeviceEvent(StrEnum):
    """What a phone can be told over its event stream or by push (A §3.9)."""

    MESSAGE_ENQUEUED = "MessageEnqueued"
    MESSAGE_CANCELLED = "MessageCancelled"
    WEBHOOKS_UPDATED = "WebhooksUpdated"
    SETTINGS_UPDATED = "SettingsUpdated"
    MESSAGES_EXPORT_REQUESTED = "MessagesExportRequested"


class Nudge(msgspec.Struct, frozen=True, gc=False):
    """Something a phone should hear now. What must not be lost is kept as a notice beside."""

    account_id: str
    device_id: str
    event: DeviceEvent
    data: tuple[tuple[str, str], ...] = ()
    """All values are strings (A §3.9); empty is ``null``."""


class Notice(msgspec.Struct, kw_only=True):
    """What a phone must hear of even if it is out of reach now."""

    account_id: str
    device_id: str
    id: str
    event: DeviceEvent
    data: dict[str, str] | None
    created_at: Milliseconds


MoveOnAfter = Annotated[int, Meta(ge=5, le=86_400, description="Seconds")]
OfflineAfter = Annotated[int, Meta(ge=60, le=30 * 86_400, description="Seconds")]


class PhonePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an account wants of its phones."""

    webhook_delivery: Literal["server", "phone"] = "server"
    """Who calls the account's webhooks for what happens on a phone."""
    delivered_per_part: bool = False
    """``sms:delivered`` once for each part, as the app does; else once for each message."""
    move_on_after_s: MoveOnAfter = 120
    """A message that a phone has not fetched for so long moves on, if there is where to."""
    offline_after_s: OfflineAfter = 1_200
    """A phone not heard of for so long counts as silent. The app polls every 15 minutes."""
