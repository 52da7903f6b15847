"""What the phone has received, and reading its inbox again (A §2.10)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from textgate.api.fields import Instant
from textgate.api.local.phone import LocalPhone
from textgate.api.operation import Answer, Call, Operation
from textgate.api.thirdparty_v1 import inbox
from textgate.api.thirdparty_v1.inbox import InboxQuery, IncomingMessage, Kind
from textgate.domain.account import Scope
from textgate.domain.device import DeviceEvent, Nudge
from textgate.domain.errors import Invalid
from textgate.domain.times import rfc3339
from textgate.store.base import Store, Tx

Delivery = Literal["Disabled", "Individual", "Batch"]


class LocalInboxQuery(InboxQuery, rename="camel"):
    """Which received messages, and how many."""

    device_id: str | None = None


class LocalExportBody(msgspec.Struct, rename="camel", kw_only=True):
    """What the phone shall tell the webhooks of again."""

    since: Instant
    until: Instant
    device_id: str | None = None
    trigger_webhooks: bool = True


class LocalRefreshBody(msgspec.Struct, rename="camel", kw_only=True):
    """What the phone shall read again."""

    since: Instant
    until: Instant
    device_id: str | None = None
    message_types: Annotated[list[Kind], Meta(min_length=1)] | None = None
    webhook_delivery: Delivery | None = None
    trigger_webhooks: bool = False


class _Inbox:
    """The inbox of one phone."""

    def __init__(self, phone: LocalPhone) -> None:
        self._phone = phone

    async def listed(self, call: Call[InboxQuery, None]) -> Answer:
        """The list of attachments is always there; it is empty unless it was asked for."""
        self._phone.check_device(call.query.device_id)
        answer = await inbox.listed(call)
        for message in answer.value:
            message.attachments = message.attachments or []
        return answer

    async def refresh(self, call: Call[None, LocalRefreshBody]) -> Answer:
        body = call.body
        kinds = tuple(dict.fromkeys(inbox.STORE_OF[kind] for kind in body.message_types or ()))
        delivery = body.webhook_delivery or _delivery(body.trigger_webhooks)
        return await self._ask(call.services.store, body, delivery, kinds)

    async def export(self, call: Call[None, LocalExportBody]) -> Answer:
        """The old form of ``refresh``: SMS alone."""
        delivery = _delivery(call.body.trigger_webhooks)
        return await self._ask(call.services.store, call.body, delivery, ())

    async def _ask(
        self,
        store: Store,
        body: LocalRefreshBody | LocalExportBody,
        delivery: Delivery,
        kinds: tuple[str, ...],
    ) -> Answer:
        """Have the phone read again; it is this process, so it hears at once (A §3.9)."""
        self._phone.check_device(body.device_id)
        if body.since > body.until:
            raise Invalid("Start date cannot be after end date")
        data = {
            "since": rfc3339(body.since),
            "until": rfc3339(body.until),
            "messageTypes": ",".join(kinds or ("SMS",)),
            "webhookDelivery": delivery,
            "triggerWebhooks": "false" if delivery == "Disabled" else "true",
        }
        nudge = Nudge(
            self._phone.account_id,
            self._phone.device_id,
            DeviceEvent.MESSAGES_EXPORT_REQUESTED,
            tuple(data.items()),
        )

        def tell(tx: Tx) -> None:
            tx.nudge(nudge)

        await store.write(tell)
        return Answer(202)


def operations(phone: LocalPhone) -> tuple[Operation, ...]:
    own = _Inbox(phone)
    return (
        Operation(
            "GET",
            "/inbox",
            "List received messages",
            "inbox",
            Scope.INBOX_LIST,
            own.listed,
            query=LocalInboxQuery,
            answer=list[IncomingMessage],
            description="Newest first; `X-Total-Count` holds how many match in all.",
        ),
        Operation(
            "GET",
            "/inbox/{id}/attachments/{partId}",
            "Read an attachment of a received message",
            "inbox",
            Scope.INBOX_READ,
            inbox.attachment,
            answer=bytes,
            answer_type="application/octet-stream",
            errors={400: "the part is no number", 404: "there is none; the body is empty"},
        ),
        Operation(
            "POST",
            "/inbox/refresh",
            "Read the phone's inbox again",
            "inbox",
            Scope.INBOX_REFRESH,
            own.refresh,
            body=LocalRefreshBody,
            status=202,
        ),
        Operation(
            "POST",
            "/messages/inbox/export",
            "Tell the webhooks of the phone's inbox again (deprecated)",
            "inbox",
            Scope.MESSAGES_EXPORT,
            own.export,
            body=LocalExportBody,
            status=202,
            aliases=("/message/inbox/export",),
        ),
    )


def _delivery(trigger: bool) -> Delivery:
    return "Individual" if trigger else "Disabled"
