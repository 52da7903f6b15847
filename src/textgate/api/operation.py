"""Routes as data: routing, checks, errors and the OpenAPI document are made from these.

A package of routes defines one :class:`Group`, which is handed to ``api.server.build_api``::

    class Numbers(msgspec.Struct, rename="camel"):
        phone_numbers: list[str]
        not_before: Instant | None = None

    async def count(call: Call[Page, Numbers]) -> Answer:
        found = await call.services.store.read(lambda tx: …, call.account.id …)
        return Answer(200, Counted(len(call.body.phone_numbers)))

    GROUP = Group("Example", ("/example",), NATIVE, (
        Operation("POST", "/count", "Count numbers", "numbers", Scope.MESSAGES_READ, count,
                  query=Page, body=Numbers, answer=Counted),
    ))

What a handler raises of ``domain.errors`` becomes the status and the body of its group's edge.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from textgate.api.lines import Lines
from textgate.api.passwords import Passwords
from textgate.config import Settings
from textgate.domain.account import Account, Scope
from textgate.domain.admission import Admission
from textgate.domain.device import Device
from textgate.domain.errors import Unauthenticated
from textgate.domain.push import Push
from textgate.domain.quota import Quota
from textgate.domain.times import Clock, milliseconds
from textgate.gateway.tokens import TokenKey
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.desk import Desk
from textgate.outbound.script.workers import Workers
from textgate.store.base import Store

Q = TypeVar("Q")
B = TypeVar("B")
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers may use."""

    store: Store
    settings: Settings
    guard: Guard
    http: HttpClient
    scripts: Workers
    desk: Desk
    clock: Clock
    exposition: Callable[[], bytes]
    """The metrics in the Prometheus text format."""
    url: str
    """Where others reach this server, without a slash at the end."""
    jwt_secret: str
    """Signs tokens (``config.kept_secret``)."""
    trials: Quota = field(default_factory=lambda: Quota((5, 60_000), (60, 3_600_000)))
    """Test sends of each account: 5 a minute, 60 an hour."""
    admission: Admission = field(default_factory=Admission)
    """How often strangers may try to register a phone."""
    passwords: Passwords = field(default_factory=Passwords)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server begins to stop: answers without end are over then."""
    forward_pushes: Callable[[Sequence[Push]], bool] | None = None
    """Hands pushes of others on to the push relay; False: it has no room. None: not served."""
    pushes: Quota = field(default_factory=lambda: Quota((5, 60_000)))
    """Requests to push from each address: 5 a minute (A §2.8)."""
    token_key: TokenKey | None = None
    """Signs and reads tokens; None: as the settings say."""
    lines: Lines = field(init=False)
    """The event streams of phones."""

    def __post_init__(self) -> None:
        lines = Lines(
            self.store,
            self.clock,
            keep_alive_ms=milliseconds(self.settings.phone_keep_alive),
            most_of_one=self.settings.streams_per_phone,
        )
        object.__setattr__(self, "lines", lines)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and with what."""

    account: Account
    scopes: frozenset[str]
    """A password implies ``all:any``."""
    token_id: str | None = None
    """The ``jti`` of the token presented; None for a password."""
    device: Device | None = None
    """The phone whose token was presented, as it was known a moment ago."""

    def may(self, scope: Scope) -> bool:
        """Whether ``scope`` is granted; nothing implies the refresh scope (A §1.5.4)."""
        return scope in self.scopes or (
            Scope.ALL in self.scopes and scope is not Scope.TOKENS_REFRESH
        )


@dataclass(slots=True)
class Call(Generic[Q, B]):
    """One request, authenticated and read."""

    services: Services
    caller: Caller | None
    """None on public routes."""
    path: Mapping[str, str]
    """The named parts of the path, percent-decoded once."""
    query: Q
    """The checked ``Operation.query``, or None."""
    body: B
    """The checked ``Operation.body``, or None."""
    raw_headers: Mapping[bytes, bytes]
    client: str | None = None
    """The address of who asks; behind a trusted proxy, of whom the proxy asks for."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; of a repeated header the last one."""
        latin = "latin-1"
        return {name.decode(latin): value.decode(latin) for name, value in self.raw_headers.items()}

    @property
    def account(self) -> Account:
        if self.caller is None:
            raise Unauthenticated("Unauthorized")
        return self.caller.account

    @property
    def device(self) -> Device:
        """The phone that asks, on routes for phones."""
        if self.caller is None or self.caller.device is None:
            raise Unauthenticated("Unauthorized")
        return self.caller.device


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: ``value`` as JSON; None is no body at all."""

    status: int = 200
    value: Any = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that is not JSON."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without end, such as server-sent events.

    ``chunks`` is closed (``aclose``) when the caller goes away; each chunk is sent at once.
    """

    chunks: AsyncIterator[bytes]
    content_type: str = "text/event-stream"
    headers: Headers = (("Cache-Control", "no-store"),)


Handler = Callable[[Call[Any, Any]], Awaitable[Answer | Content | Stream]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    method: str
    path: str
    """Relative to the group's prefixes; named parts in braces: ``/messages/{id}``."""
    summary: str
    tag: str
    scope: Scope | None
    """What a token must grant; None: any caller who is known."""
    handler: Handler
    query: type[Any] | None = None
    """A msgspec.Struct, every field with a default (an empty value counts as absent)."""
    body: Any = None
    """A msgspec.Struct, or ``bytes`` for the body as it came (then of any content type)."""
    body_optional: bool = False
    """An empty body is allowed; ``Call.body`` is None then."""
    largest: int | None = None
    """Bytes of a body, where the server's own limit is too generous."""
    answer: Any = None
    """The type of ``Answer.value``, for the document; None: no body."""
    answer_type: str = "application/json"
    status: int = 200
    errors: Mapping[int, str] = field(default_factory=dict)
    """Statuses beyond 401, 403, 413 and 500, each with its reason."""
    aliases: tuple[str, ...] = ()
    """Further paths of the same operation."""
    public: bool = False
    """Needs no credentials."""
    for_phones: bool = False
    """The caller is a phone: what it presents is a device token."""
    password_only: bool = False
    """Takes login and password alone: tokens are refused."""
    optional: bool = False
    """``Call.caller`` is None where an unknown device token is presented, or no password at all;
    a wrong password is refused all the same."""
    quick: bool = False
    """Carries the load of the server: served in the short way of ``api.protocol``."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something went wrong, before it is spelt in the words of an edge."""

    status: int
    code: str
    """``invalid``, ``unauthenticated``, ``forbidden``, ``not_found``, ``conflict``, …"""
    message: str
    field: str | None = None
    headers: Headers = ()
    details: Any = None
    """More for a program to read, where the edge has a place for it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """How one group of routes speaks where it does not follow the common way."""

    spell: Callable[[Problem], Any]
    """Returns the body of an error, to be sent as JSON; None: it has none."""
    problem_type: Any
    """What ``spell`` returns, for the document."""
    wrong_type: Problem
    """The answer to a body that is not declared to be JSON."""
    headers: Headers
    """Sent with every answer."""
    challenge: Headers = (("WWW-Authenticate", 'Basic realm="Textgate", charset="UTF-8"'),)
    """Sent with 401."""


@dataclass(frozen=True, slots=True)
class Group:
    """Routes that share their prefixes and their edge (see ``api.problem`` for the edges)."""

    name: str
    prefixes: tuple[str, ...]
    """The first one is the documented one."""
    edge: Edge
    operations: tuple[Operation, ...]
