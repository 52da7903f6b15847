"""The phone's own webhooks (A §2.10), apart from those of any server."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from textgate.api.local.phone import LocalPhone
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.app_version import knows
from textgate.domain.errors import Invalid
from textgate.domain.event import Webhook
from textgate.gateway.webhooks import MAX_ID_LENGTH, register, remove
from textgate.outbound.url import parse_url

THIS_PHONE = "127.0.0.1"


class LocalWebhookBody(msgspec.Struct, rename="camel", kw_only=True):
    """A webhook to register; one with the same id is replaced."""

    url: str
    event: str
    id: Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | None = None
    device_id: str | None = None


class LocalWebhookShape(msgspec.Struct):
    """A registered webhook."""

    id: str
    url: str
    event: str
    source: Literal["Local"] = "Local"


def check_url(url: str) -> None:
    """The app calls https, and plain http on the phone itself alone (A §4.10). Raises ``Invalid``.

    It looks at how the text begins; here the host must be that very address.
    """
    if not url.startswith(("https://", f"http://{THIS_PHONE}")):
        raise Invalid("url must start with https:// or http://127.0.0.1")
    checked = parse_url(url)
    if checked.scheme != "https" and checked.host != THIS_PHONE:
        raise Invalid("url must start with https:// or http://127.0.0.1")


def _shown(webhook: Webhook) -> LocalWebhookShape:
    return LocalWebhookShape(webhook.id, webhook.url, webhook.event)


class _Webhooks:
    """The webhooks of one phone."""

    def __init__(self, phone: LocalPhone) -> None:
        self._phone = phone

    async def listed(self, call: Call[None, None]) -> Answer:
        account_id = self._phone.account_id
        found = await call.services.store.read(lambda tx: tx.webhooks.all(account_id))
        return Answer(200, [_shown(webhook) for webhook in found])

    async def registered(self, call: Call[None, LocalWebhookBody]) -> Answer:
        body, account_id = call.body, self._phone.account_id
        if not knows(self._phone.version, body.event):
            raise Invalid("Unsupported event")
        check_url(body.url)
        self._phone.check_device(body.device_id, "Device ID mismatch")
        webhook = await call.services.store.write(
            lambda tx: register(
                tx, account_id, id=body.id or None, url=body.url, event=body.event, device_id=None
            )
        )
        return Answer(201, _shown(webhook))

    async def removed(self, call: Call[None, None]) -> Answer:
        """204 for what is not there too."""
        account_id, webhook_id = self._phone.account_id, call.path["id"]
        await call.services.store.write(lambda tx: remove(tx, account_id, webhook_id))
        return Answer(204)


def operations(phone: LocalPhone) -> tuple[Operation, ...]:
    own = _Webhooks(phone)
    return (
        Operation(
            "GET",
            "/webhooks",
            "List webhooks",
            "webhooks",
            Scope.WEBHOOKS_LIST,
            own.listed,
            answer=list[LocalWebhookShape],
            aliases=("/webhook",),
        ),
        Operation(
            "POST",
            "/webhooks",
            "Register a webhook",
            "webhooks",
            Scope.WEBHOOKS_WRITE,
            own.registered,
            body=LocalWebhookBody,
            answer=LocalWebhookShape,
            status=201,
            aliases=("/webhook",),
        ),
        Operation(
            "DELETE",
            "/webhooks/{id}",
            "Remove a webhook",
            "webhooks",
            Scope.WEBHOOKS_DELETE,
            own.removed,
            status=204,
            aliases=("/webhook/{id}",),
            description="Also 204 when there is no such webhook.",
        ),
    )
