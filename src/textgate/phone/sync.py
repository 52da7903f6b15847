"""The webhooks and the settings of a server become those of the phone (A §1.6, §3.8)."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from textgate.domain.app_version import knows
from textgate.domain.errors import Invalid
from textgate.domain.preferences import SECRETS, Document, Preferences
from textgate.gateway import webhooks
from textgate.phone.accounts import set_signing_key
from textgate.phone.habits import habits_of
from textgate.phone.mobile_api import PulledWebhook
from textgate.store.base import Tx


def replace_webhooks(
    tx: Tx, account_id: str, pulled: Sequence[PulledWebhook], *, version: str
) -> None:
    """Make these the phone's webhooks; one that stays as it is keeps what is owed to it.

    ``version``: of the app. An event that it does not know fails the whole of them, as in the app
    (A §2.7). Raises ``Invalid``.
    """
    for webhook in pulled:
        if not knows(version, webhook.event):
            raise Invalid(f"webhook {webhook.id}: the app knows no event {webhook.event}")
    wanted = {webhook.id: webhook for webhook in pulled}
    known = {webhook.id: webhook for webhook in tx.webhooks.all(account_id)}
    for webhook_id in known.keys() - wanted.keys():
        webhooks.remove(tx, account_id, webhook_id)
    for webhook in wanted.values():
        old = known.get(webhook.id)
        if old is None or (old.url, old.event) != (webhook.url, webhook.event):
            webhooks.register(
                tx,
                account_id,
                id=webhook.id,
                url=webhook.url,
                event=webhook.event,
                device_id=None,
            )


def merge_settings(tx: Tx, account_id: str, pulled: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Put what a server says into the phone's settings, key by key; return whether any changed.

    A value that is none of its key's fails the whole of it, as in the app. Raises ``Invalid``.
    Where the server is, and the private token, are typed on the phone alone. A passphrase is kept
    sealed, the signing key with the account.
    """
    account = tx.accounts.get(account_id)
    assert account is not None
    document: Document = {name: dict(keys) for name, keys in account.settings.items()}
    for section, keys in pulled.items():
        for key, value in (keys or {}).items():
            if section == "webhooks" and key == "signing_key":
                if value and value != account.webhook_secret:
                    set_signing_key(tx, account_id, str(value))
            elif section == "encryption" and key == "passphrase":
                if value != habits_of(account.settings, tx.vault.open).passphrase:
                    kept = tx.vault.seal(str(value)) if value else None
                    document.setdefault(section, {})[key] = kept
            elif key not in SECRETS.get(section, ()):
                document.setdefault(section, {})[key] = value
    try:
        # Numbers may come as texts or floats (A §5).
        msgspec.convert(document, Preferences, strict=False)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"the settings of the server cannot be taken: {wrong}") from None
    if document == account.settings:
        return False
    tx.accounts.set_settings(account_id, document)
    return True
