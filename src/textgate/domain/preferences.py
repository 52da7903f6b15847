"""The settings of an account that its phones follow too (A §5): the document and its rules.

An account has one document, ``{section: {key: value}}``. A key that is absent or null means the
default of whoever reads it; null is kept, because it makes a phone return to its own default.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from textgate.domain.errors import Invalid

Document = dict[str, dict[str, Any]]

MAX_RETRIES = 30
"""Of a webhook: with doubling waits from 10 s, the thirtieth is centuries away."""

Absent = UnsetType | None
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Retries = Annotated[int, Meta(ge=1, le=MAX_RETRIES)]
Seconds = Annotated[Positive, Meta(description="Seconds")]
Period = Literal["Disabled", "PerMinute", "Per30Minutes", "PerHour", "PerDay"]
TimeOfDay = Annotated[
    str,
    Meta(
        pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$",
        max_length=5,
        description="HH:mm, local to the phone",
    ),
]
SecretText = Annotated[str, Meta(description="Typed on the phone: refused here unless empty")]


class GatewayPreferences(msgspec.Struct, kw_only=True):
    """How a phone reaches its server."""

    cloud_url: SecretText | Absent = UNSET
    private_token: SecretText | Absent = UNSET
    notification_channel: Literal["AUTO", "SSE_ONLY"] | Absent = UNSET


class EncryptionPreferences(msgspec.Struct, kw_only=True):
    """End-to-end encryption."""

    passphrase: SecretText | Absent = UNSET


class MessagePreferences(msgspec.Struct, kw_only=True):
    """How a phone sends."""

    send_interval_min: Seconds | Absent = UNSET
    send_interval_max: Seconds | Absent = UNSET
    limit_period: Period | Absent = UNSET
    limit_value: Positive | Absent = UNSET
    sim_selection_mode: Literal["OSDefault", "RoundRobin", "Random"] | Absent = UNSET
    log_lifetime_days: Positive | Absent = UNSET
    processing_order: Literal["LIFO", "FIFO"] | Absent = UNSET
    work_hours_enabled: bool | Absent = UNSET
    work_hours_start: TimeOfDay | Absent = UNSET
    work_hours_end: TimeOfDay | Absent = UNSET


class PingPreferences(msgspec.Struct, kw_only=True):
    """The phone's sign of life."""

    interval_seconds: Positive | Absent = UNSET


class LogPreferences(msgspec.Struct, kw_only=True):
    """The phone's own log."""

    lifetime_days: Positive | Absent = UNSET


class WebhookPreferences(msgspec.Struct, kw_only=True):
    """How webhooks are called, by the server and by phones."""

    internet_required: bool | Absent = UNSET
    retry_count: Retries | Absent = UNSET
    signing_key: SecretText | Absent = UNSET


class ReceiverPreferences(msgspec.Struct, kw_only=True):
    """How a phone receives."""

    content_provider_enabled: bool | Absent = UNSET


class Preferences(msgspec.Struct, kw_only=True):
    """The document, or a change of it; unknown sections and keys are ignored."""

    gateway: GatewayPreferences | Absent = UNSET
    encryption: EncryptionPreferences | Absent = UNSET
    messages: MessagePreferences | Absent = UNSET
    ping: PingPreferences | Absent = UNSET
    logs: LogPreferences | Absent = UNSET
    webhooks: WebhookPreferences | Absent = UNSET
    receiver: ReceiverPreferences | Absent = UNSET


SECRETS: Mapping[str, frozenset[str]] = {
    "gateway": frozenset({"cloud_url", "private_token"}),
    "encryption": frozenset({"passphrase"}),
    "webhooks": frozenset({"signing_key"}),
}
"""Keys that the API neither takes nor shows."""


def replace(new: Preferences) -> Document:
    """Return the document that ``new`` makes alone. Raises ``Invalid``."""
    return merge({}, new)


def merge(stored: Document, patch: Preferences) -> Document:
    """Return ``stored`` with the keys of ``patch`` put in, nulls too. Raises ``Invalid``."""
    merged = {section: dict(keys) for section, keys in stored.items()}
    for section, keys in msgspec.to_builtins(patch).items():
        if keys is None:  # a phone cannot take a section that is null
            continue
        for key, value in keys.items():
            if key not in SECRETS.get(section, ()):
                merged.setdefault(section, {})[key] = value
            elif value:
                raise Invalid(
                    "a secret is typed on the phone; this API takes it only empty",
                    field=f"{section}.{key}",
                )
    _check(merged.get("messages", {}))
    return merged


def public(stored: Document) -> Document:
    """Return what may be shown."""
    shown = {
        section: {key: v for key, v in keys.items() if key not in SECRETS.get(section, ())}
        for section, keys in stored.items()
    }
    return {section: keys for section, keys in shown.items() if keys}


def _check(messages: Mapping[str, Any]) -> None:
    """The rules that need more than one key."""
    least, most = messages.get("send_interval_min"), messages.get("send_interval_max")
    if least is not None and most is not None and most < least:
        rule = "must not be less than send_interval_min"
        raise Invalid(rule, field="messages.send_interval_max")
    if messages.get("work_hours_enabled"):
        for key in ("work_hours_start", "work_hours_end"):
            if messages.get(key) is None:
                raise Invalid("is needed when work hours are on", field=f"messages.{key}")
