"""What the app asks of its server, and what it understands of the answers (A §3)."""

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from textgate.domain.device import SimCard
from textgate.domain.errors import Unavailable
from textgate.domain.lifecycle import State
from textgate.outbound.dial import Unreachable
from textgate.outbound.event_stream import ServerEvent, open_events
from textgate.outbound.http import Failure, Http
from textgate.outbound.streamed import Streams

T = TypeVar("T")

TIMEOUT_S = 30.0
SILENCE_S = 3_600.0
"""So long the app waits for a word on its event stream (A §3.10)."""
LARGEST = 32 * 1024 * 1024
"""Bytes of an answer: a hundred messages of the longest kind, and room to spare."""

_encode = msgspec.json.Encoder().encode


class NotDone(Unavailable):
    """A call that did not succeed; the app makes no difference but for some statuses."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """``status``: None if no answer came."""
        super().__init__(message)
        self.status = status


class Credentials(msgspec.Struct, frozen=True):
    """What a server told a new phone (A §3.1). The password is there for a new account alone."""

    id: str
    token: str
    login: str
    password: str | None = None


class TextMessage(msgspec.Struct, frozen=True):
    text: str


class DataMessage(msgspec.Struct, frozen=True):
    data: str
    port: int


class QueueItem(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A message as the queue shows it (A §3.6)."""

    id: str
    phone_numbers: list[str]
    message: str | None = None
    text_message: TextMessage | None = None
    data_message: DataMessage | None = None
    is_encrypted: bool | None = None
    sim_number: int | None = None
    with_delivery_report: bool | None = None
    priority: int | None = None
    valid_until: str | None = None
    schedule_at: str | None = None
    created_at: str | None = None
    state: str | None = None


class NumberState(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One number in a report."""

    phone_number: str
    state: State
    error: str | None = None


class StatePatch(msgspec.Struct, frozen=True):
    """A report on a message (A §3.7)."""

    id: str
    state: State
    recipients: list[NumberState]
    states: dict[str, str]


class PulledWebhook(msgspec.Struct, frozen=True):
    """A webhook as a phone gets it: the app reads no more than this."""

    id: str
    url: str
    event: str


class _Registration(msgspec.Struct, rename="camel"):
    name: str
    sim_cards: Sequence[SimCard]


class _Update(msgspec.Struct, rename="camel"):
    id: str
    sim_cards: Sequence[SimCard]
    push_token: str | UnsetType = UNSET


def basic(login: str, password: str) -> str:
    """Return what ``Authorization`` says for a login and its password."""
    return "Basic " + b64encode(f"{login}:{password}".encode()).decode()


class MobileApi:
    """The device API of the server at ``base``, whose paths follow it: ``https://HOST/mobile/v1``.

    Every call raises ``NotDone`` unless it is answered with a 2xx that can be read.
    """

    def __init__(self, http: Http, streams: Streams, base: str) -> None:
        self._http, self._streams, self._base = http, streams, base

    async def register(
        self, name: str, sims: Sequence[SimCard], authorization: str | None
    ) -> Credentials:
        """Become a new phone of an account; of a new one unless ``authorization`` names it."""
        body = await self._call("POST", "/device", authorization, _Registration(name, sims))
        return _read(body, Credentials)

    async def update(self, known: Credentials, sims: Sequence[SimCard]) -> None:
        """Say that the phone is there."""
        await self._call("PATCH", "/device", _bearer(known), _Update(known.id, sims))

    async def queue(self, known: Credentials, order: str) -> list[QueueItem]:
        """Return what is to be sent or cancelled; ``order`` is ``lifo`` or ``fifo``."""
        return _read(await self._get(known, f"/message?order={order}"), list[QueueItem])

    async def report(self, known: Credentials, patch: StatePatch) -> None:
        """Tell what became of one message: one at a time, as the app does."""
        await self._call("PATCH", "/message", _bearer(known), [patch])

    async def webhooks(self, known: Credentials) -> list[PulledWebhook]:
        return _read(await self._get(known, "/webhooks"), list[PulledWebhook])

    async def settings(self, known: Credentials) -> dict[str, dict[str, Any] | None]:
        return _read(await self._get(known, "/settings"), dict[str, dict[str, Any] | None])

    @contextlib.asynccontextmanager
    async def events(self, known: Credentials) -> AsyncIterator[AsyncIterator[ServerEvent]]:
        """Open the event stream. Raises ``NotDone``, also while it is read."""
        headers = [("Authorization", _bearer(known))]
        url = self._base + "/events"
        try:
            async with open_events(
                self._streams, url, headers=headers, silence_s=SILENCE_S
            ) as events:
                yield events
        except Unreachable as broken:
            raise NotDone(broken.detail) from None

    async def _get(self, known: Credentials, path: str) -> bytes:
        return await self._call("GET", path, _bearer(known))

    async def _call(
        self, method: str, path: str, authorization: str | None, body: Any = None
    ) -> bytes:
        headers = [("Content-Type", "application/json")] if body is not None else []
        if authorization is not None:
            headers.append(("Authorization", authorization))
        sent = b"" if body is None else _encode(body)
        url = self._base + path
        answer = await self._http.request(
            method, url, headers=headers, body=sent, timeout=TIMEOUT_S
        )
        if isinstance(answer, Failure):
            raise NotDone(answer.detail)
        if not 200 <= answer.status < 300:
            said = f"{method} {path.partition('?')[0]} was answered {answer.status}"
            raise NotDone(f"{said}{_reason(answer.body)}", answer.status)
        if answer.truncated:
            return await self._whole(url, headers)
        return answer.body

    async def _whole(self, url: str, headers: list[tuple[str, str]]) -> bytes:
        """Get a long answer once more, all of it. It was a GET: the same comes again."""
        body = bytearray()
        try:
            async with self._streams.open(url, headers=headers, silence_s=TIMEOUT_S) as answer:
                async for chunk in answer.chunks():
                    body += chunk
                    if len(body) > LARGEST:
                        raise NotDone("the answer is too long")
        except Unreachable as broken:
            raise NotDone(broken.detail) from None
        if answer.status != 200:
            raise NotDone(f"a GET was answered {answer.status}", answer.status)
        return bytes(body)


def _bearer(known: Credentials) -> str:
    return f"Bearer {known.token}"


def _read(body: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError as wrong:  # its text names the place and holds no value
        raise NotDone(f"the answer cannot be read: {wrong}") from None


def _reason(body: bytes) -> str:
    with contextlib.suppress(msgspec.DecodeError):
        match msgspec.json.decode(body):
            case {"message": str(message)}:
                return f": {message}"
    return ""
