"""Phones (A §2.6). Channels are no devices: an account without phones has none."""

import msgspec
from msgspec import UNSET, UnsetType

from textgate.api.fields import DateTime
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.device import Device, SimCard
from textgate.domain.times import rfc3339
from textgate.gateway import devices


class DeviceShape(msgspec.Struct, rename="camel", omit_defaults=True):
    """A phone of the account."""

    id: str
    name: str
    created_at: DateTime
    updated_at: DateTime
    last_seen: DateTime
    sim_cards: list[SimCard] = []
    """Their numbers come masked from the phone."""
    connected: bool | UnsetType = UNSET
    """Whether it listens now (ours; the original says nothing)."""


def device_shape(device: Device, *, connected: bool | UnsetType = UNSET) -> DeviceShape:
    return DeviceShape(
        id=device.id,
        name=device.name,
        created_at=rfc3339(device.created_at),
        updated_at=rfc3339(device.updated_at),
        last_seen=rfc3339(device.last_seen),
        sim_cards=device.sim_cards,
        connected=connected,
    )


async def listed(call: Call[None, None]) -> Answer:
    account_id, store = call.account.id, call.services.store
    found = await store.read(lambda tx: tx.devices.all(account_id))
    return Answer(200, [device_shape(d, connected=store.heard(d.id)) for d in found])


async def removed(call: Call[None, None]) -> Answer:
    """204 for what is not there too, as the original answers."""
    await devices.remove_whole(call.services.store, call.account.id, call.path["id"])
    return Answer(204)


OPERATIONS = (
    Operation(
        "GET",
        "/devices",
        "List phones",
        "devices",
        Scope.DEVICES_LIST,
        listed,
        answer=list[DeviceShape],
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
        description="Also 204 when there is no such phone. What it has not fetched goes to the next"
        " phone or channel of its route, or fails; what it has in hand fails as unknown. Webhooks"
        " for this phone alone are removed with it.",
    ),
)
