"""What an account wants of its phones, and who really calls its webhooks for what happens there."""

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from textgate.domain.account import Account
from textgate.domain.device import DeviceEvent, MoveOnAfter, OfflineAfter, PhonePolicy
from textgate.domain.errors import NotFound
from textgate.domain.preferences import Document
from textgate.gateway.nudges import nudge_all
from textgate.store.base import Tx

Delivery = Literal["server", "phone"]

UNREACHABLE = (
    "phones call webhooks at https:// addresses only, and at http://127.0.0.1: set public_url"
    " (TEXTGATE_PUBLIC_URL) to the https:// address of this server"
)
ELSEWHERE = (
    "this server knows itself by an address of its own machine only, which is no use to a phone on"
    " another one: set public_url (TEXTGATE_PUBLIC_URL)"
)


class PolicyChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; the rest stays. Fields as in ``PhonePolicy``."""

    webhook_delivery: Delivery | UnsetType = UNSET
    delivered_per_part: bool | UnsetType = UNSET
    move_on_after_s: MoveOnAfter | UnsetType = UNSET
    offline_after_s: OfflineAfter | UnsetType = UNSET


class Effective(msgspec.Struct, frozen=True):
    """Who calls the account's webhooks, and why it is not who it should be (None: it is)."""

    delivery: Delivery
    why: str | None = None


def effective(policy: PhonePolicy, url: str, *, elsewhere: bool) -> Effective:
    """Return who calls the webhooks for phones, with this server at ``url``.

    ``elsewhere``: the phone is, or may be, on another machine than the server.
    """
    if policy.webhook_delivery == "phone":
        return Effective("phone")
    why = unreachable(url, elsewhere=elsewhere)
    return Effective("phone", why) if why else Effective("server")


def unreachable(url: str, *, elsewhere: bool) -> str | None:
    """Say why a phone cannot send its events to a server at ``url`` (A §4.10), or None.

    127.0.0.1 is another place for a phone that is ``elsewhere``.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", "127.0.0.1"):
        return UNREACHABLE
    return ELSEWHERE if elsewhere and is_own_machine(parts.hostname) else None


def is_own_machine(host: str | None) -> bool:
    """Whether a name or an address means the machine on which it is said."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def change(tx: Tx, account_id: str, changes: PolicyChanges) -> PhonePolicy:
    """Change what is given, and have all phones fetch their webhooks anew. Raises ``NotFound``."""
    given = {
        name: value
        for name in changes.__struct_fields__
        if (value := getattr(changes, name)) is not UNSET
    }
    policy = known_account(tx, account_id).phones
    changed = msgspec.structs.replace(policy, **given)
    if changed != policy:
        tx.accounts.set_phones(account_id, changed)
        nudge_all(tx, account_id, DeviceEvent.WEBHOOKS_UPDATED)
    return changed


def store_preferences(tx: Tx, account_id: str, document: Document) -> None:
    """Store the settings that phones follow too, and have all of them fetch it (A §2.8)."""
    tx.accounts.set_settings(account_id, document)
    nudge_all(tx, account_id, DeviceEvent.SETTINGS_UPDATED)


def known_account(tx: Tx, account_id: str) -> Account:
    """Return the account as it is now. Raises ``NotFound``."""
    account = tx.accounts.get(account_id)
    if account is None:
        raise NotFound("account not found")
    return account
