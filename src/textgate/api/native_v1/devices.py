"""/v1/devices: the phones of an account, and how another one joins."""

import base64
from typing import Annotated, Any

import msgspec

from textgate.api.fields import DateTime
from textgate.api.mobile_v1.user import make_code
from textgate.api.native_v1.paging import Page, Paging, part_of
from textgate.api.native_v1.shapes import when
from textgate.api.operation import Answer, Call, Operation
from textgate.domain import qr
from textgate.domain.account import Scope
from textgate.domain.device import Device
from textgate.domain.errors import NotFound
from textgate.domain.pairing import mobile_url, pairing_text
from textgate.domain.times import rfc3339
from textgate.gateway import devices
from textgate.store.base import Store, Tx

MOST_PENDING = 1_000


class Sim(msgspec.Struct):
    """A SIM; its numbers come masked from the phone."""

    slot: int
    sim_number: int
    phone_number: str | None
    carrier: str | None
    iccid: str | None


class Health(msgspec.Struct):
    """What the phone said of itself last (``system:ping``), and when."""

    at: DateTime
    health: Any


class Phone(msgspec.Struct):
    """A phone, which is also the channel of the same id: there it is disabled, and limited."""

    id: str
    name: str
    enabled: bool
    """Whether its channel is."""
    app_version: str | None
    sims: list[Sim]
    last_seen: DateTime
    online: bool
    """Whether it was heard of within the time after which a phone counts as silent."""
    offline_since: DateTime | None
    connected: bool
    """Whether it has an event stream open to this process."""
    push: bool
    """Whether it has a token for push messages."""
    health: Health | None
    pending: Annotated[
        int,
        msgspec.Meta(description=f"Messages it has yet to send; {MOST_PENDING}: so many or more."),
    ]
    created_at: DateTime
    updated_at: DateTime


class PhoneName(msgspec.Struct, forbid_unknown_fields=True):
    """How the phone is to be called."""

    name: str


class Qr(msgspec.Struct):
    """A QR code: its text, and two pictures of it."""

    text: str
    """The server's address, and the code behind ``#code=``."""
    svg: str
    png_base64: str


class Pairing(msgspec.Struct):
    """What a person needs to add a phone: the app asks for the address and for the code."""

    code: str
    """Good once, in upper or lower case."""
    valid_until: DateTime
    server_url: str
    """What to type into the app as the address of its server."""
    qr: Qr


def _shape(tx: Tx, device: Device, store: Store) -> Phone:
    channel, health = tx.channels.get(device.account_id, device.id), device.health
    return Phone(
        id=device.id,
        name=device.name,
        enabled=channel is not None and channel.enabled,
        app_version=device.app_version,
        sims=[
            Sim(s.slot_index, s.sim_number, s.phone_number, s.carrier_name, s.iccid)
            for s in device.sim_cards
        ],
        last_seen=rfc3339(device.last_seen),
        online=device.offline_since is None,
        offline_since=when(device.offline_since),
        connected=store.heard(device.id),
        push=device.push_token is not None,
        health=Health(rfc3339(health["at"]), health["health"]) if health else None,
        pending=tx.phone_queues.unfinished(device.id, MOST_PENDING),
        created_at=rfc3339(device.created_at),
        updated_at=rfc3339(device.updated_at),
    )


async def _list(call: Call[Paging, None]) -> Answer:
    account_id, store = call.account.id, call.services.store

    def look(tx: Tx) -> tuple[list[Phone], str | None]:
        found = tx.devices.all(account_id)
        page, following = part_of(
            found, call.query, tuple[int, str], lambda d: (d.created_at, d.id)
        )
        return [_shape(tx, device, store) for device in page], following

    return Answer(200, Page(*await store.read(look)))


async def _get(call: Call[None, None]) -> Answer:
    account_id, device_id, store = call.account.id, call.path["id"], call.services.store
    shown = await store.read(
        lambda tx: _shape(tx, devices.known_device(tx, account_id, device_id), store)
    )
    return Answer(200, shown)


async def _rename(call: Call[None, PhoneName]) -> Answer:
    account_id, device_id, store = call.account.id, call.path["id"], call.services.store
    name = call.body.name.strip()
    shown = await store.write(
        lambda tx: _shape(tx, devices.rename(tx, account_id, device_id, name), store)
    )
    return Answer(200, shown)


async def _remove(call: Call[None, None]) -> Answer:
    if not await devices.remove_whole(call.services.store, call.account.id, call.path["id"]):
        raise NotFound("device not found")
    return Answer(204)


async def _pair(call: Call[None, None]) -> Answer:
    made = await make_code(call.services, call.account.id)
    server_url = mobile_url(call.services.url)
    text = pairing_text(server_url, made.code)
    picture = Qr(text, qr.svg(text), base64.b64encode(qr.png(text)).decode())
    return Answer(201, Pairing(made.code, rfc3339(made.valid_until), server_url, picture))


_TAG = "devices"
_UNKNOWN = {404: "No such phone."}
OPERATIONS = (
    Operation(
        "GET",
        "/devices",
        "List phones, the oldest first",
        _TAG,
        Scope.DEVICES_LIST,
        _list,
        query=Paging,
        answer=Page[Phone],
        errors={400: "The cursor or the limit is wrong."},
    ),
    Operation(
        "POST",
        "/devices/pairing",
        "Make a one-time code by which a phone joins",
        _TAG,
        Scope.DEVICES_WRITE,
        _pair,
        answer=Pairing,
        status=201,
        errors={429: "Too many codes in a short time."},
    ),
    Operation(
        "GET",
        "/devices/{id}",
        "Get a phone",
        _TAG,
        Scope.DEVICES_LIST,
        _get,
        answer=Phone,
        errors=_UNKNOWN,
    ),
    Operation(
        "PATCH",
        "/devices/{id}",
        "Rename a phone and its channel",
        _TAG,
        Scope.DEVICES_WRITE,
        _rename,
        body=PhoneName,
        answer=Phone,
        errors={**_UNKNOWN, 400: "The name is empty or too long."},
    ),
    Operation(
        "DELETE",
        "/devices/{id}",
        "Remove a phone and its channel",
        _TAG,
        Scope.DEVICES_DELETE,
        _remove,
        status=204,
        errors=_UNKNOWN,
        description="Its token ends at once. What it has not fetched goes to the next phone or"
        " channel of its route, or fails; what it has in hand fails as unknown.",
    ),
)
