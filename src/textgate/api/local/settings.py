"""The phone's settings (A §2.10, §5): what it exports is all of them, and it takes secrets."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.device import DeviceEvent, Nudge
from textgate.domain.errors import Invalid
from textgate.domain.preferences import (
    SECRETS,
    Absent,
    Document,
    MessagePreferences,
    Preferences,
    merge,
)
from textgate.domain.retry import WEBHOOK_RETRIES
from textgate.gateway.phone_settings import known_account
from textgate.store.base import Tx

CLOUD_URL = "https://api.sms-gate.app/mobile/v1"
DEFAULTS: Document = {
    "gateway": {"cloud_url": CLOUD_URL, "notification_channel": "AUTO"},
    "messages": {
        "send_interval_min": None,
        "send_interval_max": None,
        "limit_period": "Disabled",
        "limit_value": None,
        "sim_selection_mode": "OSDefault",
        "log_lifetime_days": None,
        "processing_order": "LIFO",
    },
    "ping": {"interval_seconds": None},
    "logs": {"lifetime_days": 30},
    "webhooks": {"internet_required": True, "retry_count": WEBHOOK_RETRIES},
}
"""What the app exports, with its own defaults; the retries are those of the older app."""


class LocalMessages(MessagePreferences, kw_only=True):
    """How the phone sends. 0 is no limit."""

    limit_value: Annotated[int, Meta(ge=0, le=2**31 - 1)] | Absent = UNSET
    send_interval_min: Annotated[int, Meta(ge=0, le=2**31 - 1)] | Absent = UNSET


class LocalPreferences(Preferences, kw_only=True):
    """A change of the settings; unknown sections and keys are ignored."""

    messages: LocalMessages | Absent = UNSET


def exported(document: Document) -> Document:
    """Return what is shown: the keys that the app exports, but for those without a value. Secrets
    are not among them."""
    shown = Document()
    for section, defaults in DEFAULTS.items():
        kept = document.get(section, {})
        values = {key: kept.get(key, default) for key, default in defaults.items()}
        values = {k: defaults[k] if value is None else value for k, value in values.items()}
        shown[section] = {key: value for key, value in values.items() if value is not None}
    return shown


async def shown(call: Call[None, None]) -> Answer:
    account_id = call.account.id
    account = await call.services.store.read(lambda tx: known_account(tx, account_id))
    return Answer(200, exported(account.settings))


async def merged(call: Call[None, dict[str, Any]]) -> Answer:
    account_id = call.account.id
    patch = read(call.body)

    def change(tx: Tx) -> Document:
        account = known_account(tx, account_id)
        document = apply(tx, account_id, account.settings, patch)
        for device in tx.devices.all(account_id):
            tx.nudge(Nudge(account_id, device.id, DeviceEvent.SETTINGS_UPDATED))
        return document

    return Answer(200, exported(await call.services.store.write(change)))


def read(body: dict[str, Any]) -> LocalPreferences:
    """Read a change as the app does: numbers may be texts. Raises ``Invalid``."""
    try:
        return msgspec.convert(body, LocalPreferences, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"Invalid request: {error}") from None


def apply(tx: Tx, account_id: str, stored: Document, patch: LocalPreferences) -> Document:
    """Store a change and return the document. Raises ``Invalid``.

    The signing key becomes the secret of the account; the passphrase and the private token are
    kept sealed. A server's address that is no https is passed over, as the app does it.
    """
    typed = _take_typed(patch)
    try:
        document = merge(stored, patch)
    except Invalid as wrong:
        raise Invalid(f"Invalid request: {wrong.field} {wrong.message}") from None
    signing_key = typed.pop(("webhooks", "signing_key"), None)
    if signing_key:
        tx.accounts.rotate_secret(account_id, signing_key, tx.now)
    for (section, key), value in typed.items():
        if key != "cloud_url":
            document.setdefault(section, {})[key] = tx.vault.seal(value) if value else None
        elif not value or value.startswith("https://"):
            document.setdefault(section, {})[key] = value or None
    tx.accounts.set_settings(account_id, document)
    return document


def _take_typed(patch: LocalPreferences) -> dict[tuple[str, str], str | None]:
    """Return what a server would refuse because it is typed on the phone, and take it out."""
    typed = {}
    for section, keys in SECRETS.items():
        for key in keys:
            given = getattr(getattr(patch, section), key, UNSET)
            if given is not UNSET:
                typed[section, key] = given
                setattr(getattr(patch, section), key, UNSET)
    return typed


OPERATIONS = (
    Operation(
        "GET",
        "/settings",
        "Read the settings",
        "settings",
        Scope.SETTINGS_READ,
        shown,
        answer=LocalPreferences,
        description="All that the phone exports, with its defaults; secrets are never shown.",
    ),
    Operation(
        "PATCH",
        "/settings",
        "Change some settings",
        "settings",
        Scope.SETTINGS_WRITE,
        merged,
        body=dict[str, Any],
        answer=LocalPreferences,
        description="Key by key; null returns to the default. Secrets are taken, and not shown.",
    ),
)
