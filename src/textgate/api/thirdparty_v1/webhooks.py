"""Who is told of events (A §2.7)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.event import EventType, Webhook
from textgate.gateway.webhooks import MAX_ID_LENGTH, check, register, remove


class WebhookBody(msgspec.Struct, rename="camel", kw_only=True):
    """A webhook to register; one with the same id is replaced."""

    url: str
    event: EventType
    id: Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | None = None
    device_id: str | None = None
    device_id_snake: Annotated[str, Meta(description="Another spelling of deviceId")] | None = (
        msgspec.field(default=None, name="device_id")
    )


class WebhookShape(msgspec.Struct, rename="camel"):
    """A registered webhook."""

    id: str
    device_id: str | None
    url: str
    event: str


def _shown(webhook: Webhook) -> WebhookShape:
    return WebhookShape(webhook.id, webhook.device_id, webhook.url, webhook.event)


async def listed(call: Call[None, None]) -> Answer:
    account_id = call.account.id
    found = await call.services.store.read(lambda tx: tx.webhooks.all(account_id))
    return Answer(200, [_shown(webhook) for webhook in found])


async def registered(call: Call[None, WebhookBody]) -> Answer:
    body, account_id, store = call.body, call.account.id, call.services.store
    wanted_id, device_id = body.id or None, body.device_id or body.device_id_snake or None
    # What is cheap to refuse is refused before a name is looked up.
    await store.read(
        lambda tx: check(tx, account_id, id=wanted_id, event=body.event, device_id=device_id)
    )
    await call.services.guard.check_registration(body.url)
    webhook = await store.write(
        lambda tx: register(
            tx, account_id, id=wanted_id, url=body.url, event=body.event, device_id=device_id
        )
    )
    return Answer(201, _shown(webhook))


async def removed(call: Call[None, None]) -> Answer:
    """204 for what is not there too, as the original answers."""
    account_id, webhook_id = call.account.id, call.path["id"]
    await call.services.store.write(lambda tx: remove(tx, account_id, webhook_id))
    return Answer(204)


OPERATIONS = (
    Operation(
        "GET",
        "/webhooks",
        "List webhooks",
        "webhooks",
        Scope.WEBHOOKS_LIST,
        listed,
        answer=list[WebhookShape],
    ),
    Operation(
        "POST",
        "/webhooks",
        "Register a webhook",
        "webhooks",
        Scope.WEBHOOKS_WRITE,
        registered,
        body=WebhookBody,
        answer=WebhookShape,
        status=201,
        description="https:// to public addresses; what else may be called is a setting of the"
        " server. A webhook with the same id is replaced, and enabled if it was disabled.",
    ),
    Operation(
        "DELETE",
        "/webhooks/{id}",
        "Remove a webhook",
        "webhooks",
        Scope.WEBHOOKS_DELETE,
        removed,
        status=204,
        description="Also 204 when there is no such webhook.",
    ),
)
