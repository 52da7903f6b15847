"""Phones (A §2.6). Channels are no devices: an account without phones has none."""

import msgspec

from textgate.api.fields import DateTime
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope


class SimCard(msgspec.Struct, rename="camel", omit_defaults=True):
    """A SIM of a phone; its numbers come masked from the phone."""

    slot_index: int
    sim_number: int
    phone_number: str | None = None
    carrier_name: str | None = None
    iccid: str | None = None


class Device(msgspec.Struct, rename="camel", omit_defaults=True):
    """A phone of the account."""

    id: str
    name: str
    created_at: DateTime
    updated_at: DateTime
    last_seen: DateTime
    sim_cards: list[SimCard] = []


async def listed(call: Call[None, None]) -> Answer:
    devices: list[Device] = []
    return Answer(200, devices)


async def removed(call: Call[None, None]) -> Answer:
    """204 for what is not there too, as the original answers."""
    return Answer(204)


OPERATIONS = (
    Operation(
        "GET",
        "/devices",
        "List phones",
        "devices",
        Scope.DEVICES_LIST,
        listed,
        answer=list[Device],
        aliases=("/device",),
    ),
    Operation(
        "DELETE",
        "/devices/{id}",
        "Remove a phone",
        "devices",
        Scope.DEVICES_DELETE,
        removed,
        status=204,
        aliases=("/device/{id}",),
        description="Also 204 when there is no such phone.",
    ),
)
