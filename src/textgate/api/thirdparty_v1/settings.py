"""The settings that an account's phones and webhooks follow (A §2.8, §5)."""

from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.preferences import Document, Preferences, merge, public, replace
from textgate.gateway.phone_settings import known_account, store_preferences
from textgate.store.base import Tx


async def shown(call: Call[None, None]) -> Answer:
    account_id = call.account.id
    stored = await call.services.store.read(lambda tx: known_account(tx, account_id).settings)
    return Answer(200, public(stored))


async def replaced(call: Call[None, Preferences]) -> Answer:
    account_id, document = call.account.id, replace(call.body)
    await call.services.store.write(lambda tx: store_preferences(tx, account_id, document))
    return Answer(200, public(document))


async def merged(call: Call[None, Preferences]) -> Answer:
    account_id, patch = call.account.id, call.body

    def change(tx: Tx) -> Document:
        document = merge(known_account(tx, account_id).settings, patch)
        store_preferences(tx, account_id, document)
        return document

    return Answer(200, public(await call.services.store.write(change)))


OPERATIONS = (
    Operation(
        "GET",
        "/settings",
        "Read the settings",
        "settings",
        Scope.SETTINGS_READ,
        shown,
        answer=Preferences,
        description="What was never set is left out; secrets are never shown.",
    ),
    Operation(
        "PUT",
        "/settings",
        "Replace the settings",
        "settings",
        Scope.SETTINGS_WRITE,
        replaced,
        body=Preferences,
        answer=Preferences,
    ),
    Operation(
        "PATCH",
        "/settings",
        "Change some settings",
        "settings",
        Scope.SETTINGS_WRITE,
        merged,
        body=Preferences,
        answer=Preferences,
        description="Key by key. null makes a phone return to its own default. With"
        " gateway.notification_channel SSE_ONLY, phones need no Google service to be woken: they"
        " keep a line open, from the next start of the app on.",
    ),
)
