"""/v1/phone-settings: what the account wants of its phones."""

from typing import Literal

import msgspec

from textgate.api.operation import Answer, Call, Operation, Services
from textgate.domain.account import Scope
from textgate.domain.device import MoveOnAfter, OfflineAfter, PhonePolicy
from textgate.gateway.phone_settings import PolicyChanges, change, effective, known_account
from textgate.listening import is_alone


class PhoneSettings(msgspec.Struct):
    """What the account wants, and what comes of it on this server."""

    webhook_delivery: Literal["server", "phone"]
    """Who is to call the account's webhooks for what happens on a phone."""
    effective_webhook_delivery: Literal["server", "phone"]
    """Who calls them: a phone sends its events to this server only at an address that it takes."""
    why: str | None
    """Why these two differ, and what to do about it."""
    delivered_per_part: bool
    """sms:delivered once for each part, as the app does; else once for each message."""
    move_on_after_s: MoveOnAfter
    """A message that a phone has not fetched for so long moves on, if there is where to."""
    offline_after_s: OfflineAfter
    """A phone not heard of for so long counts as silent."""


def _shown(policy: PhonePolicy, services: Services) -> PhoneSettings:
    found = effective(policy, services.url, elsewhere=not is_alone(services.settings))
    return PhoneSettings(
        webhook_delivery=policy.webhook_delivery,
        effective_webhook_delivery=found.delivery,
        why=found.why,
        delivered_per_part=policy.delivered_per_part,
        move_on_after_s=policy.move_on_after_s,
        offline_after_s=policy.offline_after_s,
    )


async def _get(call: Call[None, None]) -> Answer:
    account_id, services = call.account.id, call.services
    policy = await services.store.read(lambda tx: known_account(tx, account_id).phones)
    return Answer(200, _shown(policy, services))


async def _change(call: Call[None, PolicyChanges]) -> Answer:
    account_id, services = call.account.id, call.services
    policy = await services.store.write(lambda tx: change(tx, account_id, call.body))
    return Answer(200, _shown(policy, services))


OPERATIONS = (
    Operation(
        "GET",
        "/phone-settings",
        "Get what the account wants of its phones",
        "phones",
        Scope.SETTINGS_READ,
        _get,
        answer=PhoneSettings,
    ),
    Operation(
        "PATCH",
        "/phone-settings",
        "Change what the account wants of its phones",
        "phones",
        Scope.SETTINGS_WRITE,
        _change,
        body=PolicyChanges,
        answer=PhoneSettings,
        errors={400: "A rule is broken."},
        description="What is left out stays. All phones are told to fetch their webhooks anew.",
    ),
)
