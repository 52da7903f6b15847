"""Registering a phone, and what it says of itself (A §3.1–3.3)."""

import hmac
from typing import Annotated

import msgspec
from msgspec import Meta

from textgate.api.operation import Answer, Call, Operation, Services
from textgate.api.phones import app_version
from textgate.api.thirdparty_v1.devices import DeviceShape, device_shape
from textgate.domain.device import SimCard
from textgate.domain.errors import Forbidden, Unauthenticated
from textgate.domain.pairing import mobile_url
from textgate.gateway import credentials, devices
from textgate.gateway.pairing import Joined, join, join_as_new, join_by_code

LARGEST = 65_536
"""Bytes of what a phone says of itself."""

PushToken = Annotated[str, Meta(max_length=256)]
SimCards = Annotated[list[SimCard], Meta(max_length=32)]


class NewPhone(msgspec.Struct, rename="camel"):
    """What a phone says when it registers."""

    name: Annotated[str, Meta(max_length=devices.MAX_NAME)] | None = None
    push_token: PushToken | None = None
    sim_cards: SimCards | None = None


class RegisteredPhone(msgspec.Struct, omit_defaults=True):
    """Told once; the password only of an account that was made for this phone."""

    id: str
    token: str
    login: str
    password: str | None = None


class PhoneChanges(msgspec.Struct, rename="camel"):
    """What is to be different; what is left out stays."""

    id: str
    push_token: PushToken | None = None
    sim_cards: SimCards | None = None


class PhoneInfo(msgspec.Struct, rename="camel", omit_defaults=True):
    """What the app shows of itself."""

    external_ip: str
    device: DeviceShape | None = None


class Landing(msgspec.Struct, rename="camel"):
    """For who opens the address of the server in a browser."""

    server_url: str
    message: str


async def _register(call: Call[None, NewPhone]) -> Answer:
    """By a password, a one-time code, or as the first phone of a new account."""
    said, store = call.body, call.services.store
    wanted = devices.Registration(
        name=said.name or "",
        push_token=said.push_token or None,
        sim_cards=said.sim_cards or [],
        app_version=app_version(call.raw_headers),
    )
    scheme, _, given = call.headers.get("authorization", "").partition(" ")
    if call.caller is not None:
        account_id = call.account.id
        return _told(await store.write(lambda tx: join(tx, account_id, wanted)))
    if scheme.lower() == "code":
        return _told(await _by_code(call, given, wanted))
    _admit(call, scheme, given)
    password = credentials.make_password()
    hashed = await call.services.passwords.hash(password)
    return _told(await store.write(lambda tx: join_as_new(tx, hashed, wanted)), password)


async def _by_code(call: Call[None, NewPhone], code: str, wanted: devices.Registration) -> Joined:
    services = call.services
    with services.admission.guess(call.client, services.clock.now()):
        return await services.store.write(lambda tx: join_by_code(tx, code, wanted))


def _admit(call: Call[None, NewPhone], scheme: str, given: str) -> None:
    """Let a stranger in who may have an account. Raises ``Unauthenticated``, ``RateLimited``."""
    services, now = call.services, call.services.clock.now()
    if services.settings.mode == "public":  # a token is for private servers: it is not looked at
        services.admission.new_account(call.client, now)
        return
    wanted = services.settings.private_token
    if wanted is None or scheme.lower() != "bearer":
        raise Unauthenticated(_how_to_join(services))
    with services.admission.guess(call.client, now):
        if not hmac.compare_digest(given.strip().encode("latin-1"), wanted.encode()):
            raise Unauthenticated(_how_to_join(services))


def _how_to_join(services: Services) -> str:
    ways = "sign in with a one-time code (textgate phone-code) or with login and password"
    if services.settings.private_token is None:
        return f"this server is private: {ways}; its owner may also set private_token"
    return f"this server is private: {ways}, or register with its private token"


def _told(joined: Joined, password: str | None = None) -> Answer:
    made = joined.registered
    value = RegisteredPhone(made.device.id, made.token, joined.account.login, password)
    return Answer(201, value)


async def _landing(call: Call[None, None]) -> Answer:
    url = mobile_url(call.services.url)
    return Answer(200, Landing(url, f"Type {url} into the app, as the address of its server."))


async def _show(call: Call[None, None]) -> Answer:
    device = None
    if call.caller is not None:
        account_id, device_id = call.account.id, call.device.id
        device = await call.services.store.read(lambda tx: tx.devices.get(account_id, device_id))
    shown = device_shape(device) if device else None
    return Answer(200, PhoneInfo(call.client or "", shown))


async def _change(call: Call[None, PhoneChanges]) -> Answer:
    account_id, device_id, said = call.account.id, call.device.id, call.body
    if said.id != device_id:
        raise Forbidden("id: a phone may change nothing but itself")
    await call.services.store.write(
        lambda tx: devices.update(
            tx, account_id, device_id, push_token=said.push_token, sim_cards=said.sim_cards
        )
    )
    return Answer(204)


_TAG = "phones"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "",
        "What to type into the app",
        _TAG,
        None,
        _landing,
        answer=Landing,
        public=True,
    ),
    Operation(
        "POST",
        "/device",
        "Register a phone",
        _TAG,
        None,
        _register,
        body=NewPhone,
        largest=LARGEST,
        answer=RegisteredPhone,
        status=201,
        errors={409: "The account has too many phones.", 429: "Too many tries."},
        password_only=True,
        optional=True,
        description="By `Basic`, `Code` and a one-time code, or as the first phone of a new account"
        " (in private mode with the private token as `Bearer`).",
    ),
    Operation(
        "GET",
        "/device",
        "The phone, and its address as seen from here",
        _TAG,
        None,
        _show,
        answer=PhoneInfo,
        for_phones=True,
        optional=True,
    ),
    Operation(
        "PATCH",
        "/device",
        "What a phone says of itself",
        _TAG,
        None,
        _change,
        body=PhoneChanges,
        largest=LARGEST,
        status=204,
        for_phones=True,
    ),
)
