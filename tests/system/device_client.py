"""The device API as the original app speaks it: raw requests, written from the specification alone.

An independent witness: nothing of Textgate is used here, and each answer is read as strictly as the
app reads it (A §3, §8.1). References are to `android-sms-gateway`, app 1.68.
"""

import asyncio
import base64
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

BASE = "/api/mobile/v1"
"""What a user of a private server types after the host (A §1.2)."""
APP = "me.capcom.smsgateway/1.68.0"
STREAM_AGENT = "okhttp/4.12.0"
"""The event stream is opened by the HTTP library under its own name (A §3.10)."""
PATIENCE_S = 20.0
KNOWN_EVENTS = frozenset(
    {
        *("sms:received", "sms:sent", "sms:delivered", "sms:failed", "sms:cancelled"),
        *("sms:data-received", "mms:received", "mms:downloaded", "system:ping", "app:started"),
    }
)
"""A webhook with any other event crashes the whole sync of app 1.68 (A §2.7)."""
A_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
READABLE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Refused(Exception):
    """Anything but 2xx; the app treats it as an exception."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"{answer.request.method} {answer.request.url.path}: {answer.status_code}")
        self.status = answer.status_code
        self.said = answer.text


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of the stream; its data is JSON, mostly ``null``."""

    name: str
    data: Any


@dataclass
class Stream:
    """An open event stream: what has come and was not looked at yet."""

    status: int
    headers: httpx.Headers
    comments: list[str] = field(default_factory=list)
    closed: bool = False
    """By the other side."""
    _events: list[StreamEvent] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self, within_s: float = PATIENCE_S) -> StreamEvent:
        """Take the oldest event; TimeoutError if none comes, EOFError at the end."""
        await self._until(lambda: bool(self._events), within_s)
        return self._events.pop(0)

    async def until(self, name: str, within_s: float = PATIENCE_S) -> StreamEvent:
        """Take events away up to the first of that name, and return it."""
        while (event := await self.next(within_s)).name != name:
            pass
        return event

    async def commented(self, within_s: float = PATIENCE_S) -> None:
        """Return as soon as there was a comment."""
        await self._until(lambda: bool(self.comments), within_s)

    async def _until(self, holds: Any, within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not holds():
                if self.closed:
                    raise EOFError("the stream has ended")
                self._news.clear()
                await self._news.wait()

    async def read(self, answer: httpx.Response) -> None:
        """Read to the end (https://html.spec.whatwg.org/#event-stream-interpretation)."""
        name, data = "", list[str]()
        try:
            async for line in answer.aiter_lines():
                if not line and data:
                    self._events.append(StreamEvent(name or "message", json.loads("\n".join(data))))
                if not line:
                    name, data = "", []
                elif line.startswith(":"):
                    self.comments.append(line[1:].strip())
                elif line.startswith("event:"):
                    name = line[6:].removeprefix(" ")
                elif line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                self._news.set()
        except httpx.HTTPError:  # the server went away
            pass
        finally:
            self.closed = True
            self._news.set()


class Phone:
    """An installation of the app on one phone."""

    def __init__(
        self,
        url: str,
        *,
        agent: str = APP,
        name: str = "Fairphone/FP5",
        trusts: ssl.SSLContext | None = None,
    ) -> None:
        self.name, self.id, self.token, self.login = name, "", "", ""
        self.password: str | None = None
        self._http = httpx.AsyncClient(
            base_url=url + BASE,
            headers={"User-Agent": agent},
            timeout=30,
            trust_env=False,
            verify=trusts or True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request with the device's token; raise ``Refused`` for anything but 2xx."""
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        answer = await self._http.request(method, path, headers=headers, **more)
        if not answer.is_success:
            raise Refused(answer)
        return answer

    # --- who one is ---

    async def register(self, authorization: str | None = None, **more: Any) -> httpx.Response:
        """`POST /device` (A §3.1); keep what is told once."""
        headers = {"Authorization": authorization} if authorization else {}
        sims = [{"slotIndex": 0, "simNumber": 1, "carrierName": "***1 CH"}]
        wanted = {"name": self.name, "simCards": sims} | more
        answer = await self._http.post("/device", json=wanted, headers=headers)
        if not answer.is_success:
            raise Refused(answer)
        told = read(answer)
        self.id, self.token, self.login = told["id"], told["token"], told["login"]
        self.password = told.get("password")
        return answer

    async def me(self) -> Any:
        """`GET /device`; `externalIp` must be there."""
        told = read(await self.call("GET", "/device"))
        assert told["externalIp"]
        return told

    async def update(self, **changes: Any) -> None:
        """`PATCH /device`, as at each start of the app."""
        answer = await self.call("PATCH", "/device", json={"id": self.id} | changes)
        assert answer.status_code == 204

    async def login_code(self) -> Any:
        """`GET /user/code`, by the stored login and password."""
        assert self.password is not None
        answer = await self._http.get("/user/code", auth=(self.login, self.password))
        if not answer.is_success:
            raise Refused(answer)
        return read(answer)

    async def change_password(self, new: str) -> None:
        wanted = {"currentPassword": self.password, "newPassword": new}
        assert (await self.call("PATCH", "/user/password", json=wanted)).status_code == 204
        self.password = new

    # --- messages ---

    async def pull(self, order: str | None = "lifo") -> list[dict[str, Any]]:
        """`GET /message`: a JSON array whose members the app needs."""
        params = {"order": order} if order else {}
        queued: list[dict[str, Any]] = read(await self.call("GET", "/message", params=params))
        for one in queued:
            assert one["id"]
            assert one["phoneNumbers"]
            assert one.get("state", "Pending") in ("Pending", "Cancelling")
            assert None not in one.values(), "null members are omitted"
        return queued

    async def report(
        self,
        message: dict[str, Any],
        state: str,
        states: dict[str, str] | None = None,
        *,
        error: str | None = None,
    ) -> None:
        """`PATCH /message` with one element, as the app sends it (A §3.7)."""
        numbers = message["phoneNumbers"]
        why = {"error": error} if error else {}
        about = [{"phoneNumber": number, "state": state, **why} for number in numbers]
        told = [{"id": message["id"], "state": state, "recipients": about, "states": states or {}}]
        answer = await self.call("PATCH", "/message", json=told)
        assert (answer.status_code, answer.content) == (204, b"")

    # --- what the server wants of a phone ---

    async def webhooks(self) -> list[dict[str, Any]]:
        """`GET /webhooks`: each with what the app needs, and an event that it knows."""
        listed: list[dict[str, Any]] = read(await self.call("GET", "/webhooks"))
        for one in listed:
            assert one["id"]
            assert one["url"].startswith(("https://", "http://127.0.0.1"))
            assert one["event"] in KNOWN_EVENTS
        return listed

    async def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = read(await self.call("GET", "/settings"))
        assert all(isinstance(section, dict) for section in settings.values())
        return settings

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Stream]:
        """`GET /events`; the stream is read until the end of the block."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "text/event-stream",
            "User-Agent": STREAM_AGENT,
        }
        timeout = httpx.Timeout(30, read=None)
        async with self._http.stream("GET", "/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code != 200:
                await answer.aread()
                raise Refused(answer)
            stream = Stream(answer.status_code, answer.headers)
            reading = asyncio.create_task(stream.read(answer))
            try:
                yield stream
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading


def basic(login: str, password: str) -> str:
    """The ``Authorization`` of somebody who has the account's password."""
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def read(answer: httpx.Response) -> Any:
    """Decode JSON as the app does: its dates must be such that it reads them right (A §1.4)."""
    assert answer.headers["Content-Type"] == "application/json"
    value = answer.json()
    for text in _texts(value):
        if A_TIME.match(text):
            assert READABLE_TIME.fullmatch(text), f"the app misreads {text}"
    return value


def _texts(value: Any) -> list[str]:
    """All texts within a value that are a member's own (what people wrote is not a date)."""
    if isinstance(value, dict):
        return [text for member in value.values() for text in _texts(member)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []
