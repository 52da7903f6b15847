"""What the phone is, and how it is (A §2.10)."""

import msgspec

from textgate.api.local.phone import LocalPhone
from textgate.api.operation import Answer, Call, Operation
from textgate.api.probes import Health
from textgate.api.thirdparty_v1.devices import DeviceShape
from textgate.domain.account import Scope
from textgate.domain.times import rfc3339
from textgate.gateway.devices import known_device


class Root(msgspec.Struct):
    """The phone is there."""

    status: str
    model: str


def operations(phone: LocalPhone) -> tuple[Operation, ...]:
    async def root(call: Call[None, None]) -> Answer:
        return Answer(200, Root("ok", phone.model))

    async def health(call: Call[None, None]) -> Answer:
        found = await call.services.store.read(phone.health)
        return Answer(500 if found.status == "fail" else 200, found)

    async def listed(call: Call[None, None]) -> Answer:
        """A list of one, which is seen and up to date now."""
        device = await call.services.store.read(
            lambda tx: known_device(tx, phone.account_id, phone.device_id)
        )
        now = rfc3339(call.services.clock.now())
        shown = DeviceShape(
            id=device.id,
            name=device.name,
            created_at=rfc3339(device.created_at),
            updated_at=now,
            last_seen=now,
            sim_cards=list(phone.sims),
        )
        return Answer(200, [shown])

    return (
        Operation("GET", "/", "Is the phone there?", "device", None, root, answer=Root),
        Operation(
            "GET",
            "/health",
            "Is it able to work?",
            "device",
            None,
            health,
            answer=Health,
            errors={500: "a check fails: the battery is empty, there is no network, or all fails"},
            public=True,
        ),
        Operation(
            "GET",
            "/device",
            "List the phone",
            "device",
            Scope.DEVICES_LIST,
            listed,
            answer=list[DeviceShape],
            aliases=("/devices",),
            description="A list of one. The numbers of its SIMs are not masked here.",
        ),
    )
