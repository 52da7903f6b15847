"""What the commands ask of a running server. Every path of its API that they use is here."""

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from textgate import __version__
from textgate.cli.exits import Exit, Stop
from textgate.cli.target import Target
from textgate.outbound.guard import Guard
from textgate.outbound.http import Failure, FailureKind, HttpClient

TIMEOUT_S = 30.0
DIALECT = "/3rdparty/v1"
"""The API of SMS Gateway for Android; messages and webhooks live there."""


class TooLong(Stop):
    """The answer does not fit; less may."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.FAILED, message)


class Client:
    """One account's view of a server over HTTP.

    Each call ends the command if it fails: 3 if nobody answers, 1 if the answer is a refusal.
    """

    def __init__(self, http: HttpClient, target: Target) -> None:
        self._http, self._server = http, target.server.rstrip("/")
        basic = b64encode(f"{target.login}:{target.password}".encode()).decode()
        self._headers = [("Authorization", f"Basic {basic}")]

    async def send(
        self,
        numbers: Sequence[str],
        text: str,
        message_id: str | None = None,
        *,
        encrypted: bool = False,
    ) -> dict[str, Any]:
        """Submit a text; the state of the message comes back."""
        wanted: dict[str, Any] = {"textMessage": {"text": text}, "phoneNumbers": list(numbers)}
        if encrypted:
            wanted["isEncrypted"] = True
        if message_id is not None:
            wanted["id"] = message_id
        return await self._object("POST", f"{DIALECT}/messages", wanted)

    async def message(self, message_id: str) -> dict[str, Any]:
        """The state of a message, with that of each recipient."""
        return await self._object("GET", f"{DIALECT}/messages/{quote(message_id, safe='')}")

    async def add_webhook(self, event: str, url: str) -> dict[str, Any]:
        """Register a webhook for one event."""
        wanted = {"id": None, "event": event, "url": url}
        return await self._object("POST", f"{DIALECT}/webhooks", wanted)

    async def webhook_secret(self) -> str:
        """The secret that signs the account's webhook calls."""
        return str((await self._object("GET", "/v1/webhook-secret"))["secret"])

    async def pairing(self) -> dict[str, Any]:
        """A one-time code for a phone, with the server's address and the QR code of both."""
        return await self._object("POST", "/v1/devices/pairing")

    async def events(self, after: str | None, limit: int) -> dict[str, Any]:
        """A page of the event feed: ``items``, oldest first; ``next`` is the ``after`` to go on."""
        query = {"limit": limit} | ({"after": after} if after else {})
        return await self._object("GET", f"/v1/events?{urlencode(query)}")

    async def _object(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers, sent = list(self._headers), b""
        if body is not None:
            headers.append(("Content-Type", "application/json"))
            sent = msgspec.json.encode(body)
        reply = await self._http.request(
            method, self._server + path, headers=headers, body=sent, timeout=TIMEOUT_S
        )
        if isinstance(reply, Failure):
            code = Exit.USAGE if reply.kind is FailureKind.REFUSED else Exit.UNREACHABLE
            raise Stop(code, f"{self._server} cannot be reached: {reply.detail}")
        if reply.status >= 400:
            said = f"{self._server} refused ({reply.status})"
            raise Stop(Exit.FAILED, f"{said}: {_reason(reply.body)}")
        if reply.truncated:
            raise TooLong(f"{self._server} did it, but answers with more than 64 KiB")
        with contextlib.suppress(msgspec.DecodeError):
            found = msgspec.json.decode(reply.body)
            if isinstance(found, dict):
                return found
        raise Stop(Exit.FAILED, f"{self._server} does not answer like Textgate ({method} {path})")


def _reason(body: bytes) -> str:
    """What the server says is wrong, in either of its two error forms."""
    with contextlib.suppress(msgspec.DecodeError):
        match msgspec.json.decode(body):
            case {"message": str(message)} | {"error": {"message": str(message)}}:
                return message
    return "no reason given"


@contextlib.asynccontextmanager
async def connect(target: Target) -> AsyncIterator[Client]:
    """A client for a server; Stop (2) if its address is none."""
    try:
        host = urlsplit(target.server).hostname
    except ValueError:
        host = None
    if not host or not target.server.startswith(("http://", "https://")):
        raise Stop(Exit.USAGE, f"--server {target.server!r}: must begin with http:// or https://")
    # The person named this host: the guard protects servers from their callers, not people.
    guard = Guard(allow=[host], allow_loopback=True)
    http = HttpClient(guard, user_agent=f"textgate/{__version__}", ca_file=target.ca_file)
    try:
        yield Client(http, target)
    finally:
        await http.close()
