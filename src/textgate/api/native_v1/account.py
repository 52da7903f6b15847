"""/v1/account: who is asking, and the rules that hold for them."""

import msgspec

from textgate.api.fields import DateTime
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.errors import Unauthenticated
from textgate.domain.retry import WEBHOOK_RETRIES
from textgate.domain.times import rfc3339


class AccountShape(msgspec.Struct):
    """The account, and what the caller's credentials allow."""

    login: str
    created_at: DateTime
    scopes: list[str]
    webhook_retries: int
    """Calls of a webhook after the first, before a delivery is dead."""
    message_validity_s: int
    """How long a message may try to go out when it says nothing else."""
    retention_s: int
    """How long finished messages and events are kept."""
    default_region: str | None
    """Where a number without + is taken to be from; null: such a number is refused."""


async def _get(call: Call[None, None]) -> Answer:
    if call.caller is None:
        raise Unauthenticated("Unauthorized")
    account, settings = call.account, call.services.settings
    shape = AccountShape(
        login=account.login,
        created_at=rfc3339(account.created_at),
        scopes=sorted(call.caller.scopes),
        webhook_retries=account.setting("webhooks", "retry_count") or WEBHOOK_RETRIES,
        message_validity_s=int(settings.message_validity.total_seconds()),
        retention_s=int(settings.retention.total_seconds()),
        default_region=settings.default_region,
    )
    return Answer(200, shape)


OPERATIONS = (
    Operation(
        "GET",
        "/account",
        "Get the account that is asking",
        "account",
        None,
        _get,
        answer=AccountShape,
    ),
)
