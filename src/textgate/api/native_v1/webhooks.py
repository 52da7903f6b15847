"""/v1/webhooks: who is told of what."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET

from textgate.api.fields import DateTime
from textgate.api.native_v1.paging import Page, Paging, part_of
from textgate.api.native_v1.shapes import EventShape, event_shape, location
from textgate.api.native_v1.wording import own_words
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.errors import Conflict, Invalid
from textgate.domain.event import EventType, Webhook
from textgate.domain.times import rfc3339
from textgate.gateway import webhooks
from textgate.store.base import Tx

Url = Annotated[str, msgspec.Meta(description="https://…, or http://… where the guard allows it.")]


class NewWebhook(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A URL, and the event it wants to hear of; several events make several webhooks."""

    url: Url
    event: EventType | None = None
    events: Annotated[
        list[EventType] | None,
        msgspec.Meta(description="Instead of event; the answer is then a list."),
    ] = None
    device_id: Annotated[
        str | None, msgspec.Meta(description="Only events of this channel or device.")
    ] = None
    id: Annotated[
        str | None, msgspec.Meta(description="Your name for it, up to 36 characters.")
    ] = None


class WebhookChanges(webhooks.Changes, frozen=True):
    """What is to be different; the rest stays."""


class WebhookShape(msgspec.Struct):
    """A registered webhook."""

    id: str
    url: str
    event: str
    device_id: str | None
    enabled: bool
    disabled_reason: str | None
    created_at: DateTime
    updated_at: DateTime


def webhook_shape(webhook: Webhook) -> WebhookShape:
    return WebhookShape(
        id=webhook.id,
        url=webhook.url,
        event=webhook.event,
        device_id=webhook.device_id,
        enabled=webhook.enabled,
        disabled_reason=webhook.disabled_reason,
        created_at=rfc3339(webhook.created_at),
        updated_at=rfc3339(webhook.updated_at),
    )


async def _list(call: Call[Paging, None]) -> Answer:
    found = await call.services.store.read(lambda tx: tx.webhooks.all(call.account.id))
    page, following = part_of(found, call.query, tuple[int, str], lambda w: (w.created_at, w.id))
    return Answer(200, Page([webhook_shape(webhook) for webhook in page], following))


async def _add(call: Call[None, NewWebhook]) -> Answer:
    body, account_id = call.body, call.account.id
    if (body.event is None) == (body.events is None):
        raise Invalid("give event, or events", field="event")
    events = [body.event] if body.event else list(dict.fromkeys(body.events or ()))
    if not events:
        raise Invalid("events must not be empty", field="events")
    if body.id and len(events) > 1:
        raise Invalid("an id names one webhook: leave it out with several events", field="id")
    await call.services.guard.check_registration(body.url)

    def work(tx: Tx) -> list[Webhook]:
        if body.id and tx.webhooks.get(account_id, body.id):
            raise Conflict("a webhook of this id exists; change it with PATCH", field="id")
        return [
            webhooks.register(
                tx, account_id, id=body.id, url=body.url, event=event, device_id=body.device_id
            )
            for event in events
        ]

    with own_words():
        added = [webhook_shape(w) for w in await call.services.store.write(work)]
    if body.events is not None:
        return Answer(201, Page(added))
    return Answer(201, added[0], location("webhooks", added[0].id))


async def _get(call: Call[None, None]) -> Answer:
    return Answer(200, webhook_shape(await known_webhook(call)))


async def known_webhook(call: Call[Any, Any]) -> Webhook:
    account_id, webhook_id = call.account.id, call.path["id"]
    return await call.services.store.read(
        lambda tx: webhooks.known_webhook(tx, account_id, webhook_id)
    )


async def _change(call: Call[None, WebhookChanges]) -> Answer:
    account_id, webhook_id, body = call.account.id, call.path["id"], call.body
    if body.url is not UNSET:
        await call.services.guard.check_registration(body.url)

    with own_words():
        changed = await call.services.store.write(
            lambda tx: webhooks.change(tx, account_id, webhook_id, body)
        )
    if body.enabled is True:
        await webhooks.resume_all(call.services.store, account_id, webhook_id)
    return Answer(200, webhook_shape(changed))


async def _remove(call: Call[None, None]) -> Answer:
    account_id, webhook_id = call.account.id, call.path["id"]
    await call.services.store.write(lambda tx: webhooks.remove(tx, account_id, webhook_id))
    return Answer(204)


async def _test(call: Call[None, None]) -> Answer:
    account_id, webhook_id = call.account.id, call.path["id"]
    event = await call.services.store.write(lambda tx: webhooks.test(tx, account_id, webhook_id))
    return Answer(202, event_shape(event))


_TAG = "webhooks"
_UNKNOWN = {404: "No such webhook."}
OPERATIONS = (
    Operation(
        "GET",
        "/webhooks",
        "List webhooks, oldest first",
        _TAG,
        Scope.WEBHOOKS_LIST,
        _list,
        query=Paging,
        answer=Page[WebhookShape],
        errors={400: "The cursor or the limit is wrong."},
    ),
    Operation(
        "POST",
        "/webhooks",
        "Register a webhook",
        _TAG,
        Scope.WEBHOOKS_WRITE,
        _add,
        body=NewWebhook,
        answer=WebhookShape | Page[WebhookShape],
        status=201,
        errors={400: "A rule is broken.", 409: "The id is taken."},
    ),
    Operation(
        "GET",
        "/webhooks/{id}",
        "Get a webhook",
        _TAG,
        Scope.WEBHOOKS_LIST,
        _get,
        answer=WebhookShape,
        errors=_UNKNOWN,
    ),
    Operation(
        "PATCH",
        "/webhooks/{id}",
        "Change a webhook, disable or enable it",
        _TAG,
        Scope.WEBHOOKS_WRITE,
        _change,
        body=WebhookChanges,
        answer=WebhookShape,
        errors={**_UNKNOWN, 400: "A rule is broken."},
        description="A disabled webhook keeps collecting; what it collected goes out when it is"
        " enabled again.",
    ),
    Operation(
        "DELETE",
        "/webhooks/{id}",
        "Remove a webhook, what is owed to it and its history",
        _TAG,
        Scope.WEBHOOKS_DELETE,
        _remove,
        status=204,
        description="Removing what is not there is no error.",
    ),
    Operation(
        "POST",
        "/webhooks/{id}/test",
        "Call a webhook with a sample event",
        _TAG,
        Scope.WEBHOOKS_WRITE,
        _test,
        answer=EventShape,
        status=202,
        errors={**_UNKNOWN, 409: "The webhook is disabled."},
    ),
)
