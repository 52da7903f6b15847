"""``/device-events``: where phones send their events, as to any webhook (A §4.2, §4.5).

The key in the address is all that such a call can prove itself with: the app presents no token, and
signs with a key that only the phone knows. It is unguessable, of one phone, and never logged.
"""

import msgspec

from textgate.api.operation import Answer, Call, Group, Operation
from textgate.api.problem import DIALECT
from textgate.domain.device import Device
from textgate.domain.errors import Invalid, NotFound
from textgate.gateway.phone_events import PhoneEvent, refused, take
from textgate.store.base import Tx

_NO_SUCH_ADDRESS = "there is no phone of this address"


class Nothing(msgspec.Struct):
    """``{}``."""


async def _told(call: Call[None, PhoneEvent]) -> Answer:
    """Answer once it is on disk: the phone waits five seconds at most (A §4.6), then repeats."""
    services, key, event = call.services, call.path["key"], call.body
    region = services.settings.default_region
    try:
        await services.store.write(lambda tx: _take(tx, key, event, region))
    except Invalid as wrong:
        why = wrong
        await services.store.write(lambda tx: refused(tx, _phone(tx, key), event.event, why))
        raise
    return Answer(200, Nothing())


def _take(tx: Tx, key: str, event: PhoneEvent, region: str | None) -> None:
    """One write and no look before it: to look is cheaper here than to ask a thread to."""
    device = _phone(tx, key)
    account = tx.accounts.get(device.account_id)
    if account is None:
        raise NotFound(_NO_SUCH_ADDRESS)
    take(tx, account, device, event, default_region=region)


def _phone(tx: Tx, key: str) -> Device:
    device = tx.devices.by_event_key(key)
    if device is None:
        raise NotFound(_NO_SUCH_ADDRESS)
    return device


GROUP = Group(
    "Events of phones",
    ("/device-events",),
    DIALECT,
    (
        Operation(
            "POST",
            "/{key}",
            "Tell of an event on a phone",
            "phones",
            None,
            _told,
            body=PhoneEvent,
            answer=Nothing,
            errors={
                400: "It is no envelope, or lacks what its kind of event needs.",
                404: "There is no phone of this address.",
                503: "The database cannot take it now; the phone repeats it.",
            },
            public=True,
            description="The address is in the list of webhooks that the phone fetches. A repeat"
            " of what is known is answered like the first.",
        ),
    ),
)
