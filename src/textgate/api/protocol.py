"""uvicorn's own protocol, with a short way for the few routes that carry the load.

A request takes it when its method and target are exactly those of such a route, its body has a
declared length and is small, and nothing else is under way on its connection. It is then answered
without the dictionary, the two queues and the event that ASGI needs for what may be endless; that
is half of the server's work for a message (docs/decisions/0004-http.md). Parsing, keep-alive,
pipelining, limits and shutdown stay uvicorn's, and every other request goes its way untouched.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from textgate.api.endpoint import Endpoint
from textgate.api.server import Api

LARGEST = min(32 * 1024, HIGH_WATER_LIMIT)
HEADERS_S = 30.0
"""How long a caller may take to send the headers of a request, the first from the moment that it
connects. uvicorn waits for ever, and connections are counted: some thousands that say nothing would
lock everybody out."""


class _NoEvent:
    """Nobody waits for parts of a body that comes in whole."""

    def set(self) -> None: ...


_NO_EVENT = _NoEvent()


class _QuickCycle:
    """What the protocol looks at of a request under way."""

    __slots__ = ("body", "disconnected", "endpoint", "keep_alive", "more_body", "response_complete")

    message_event = _NO_EVENT

    def __init__(self, endpoint: Endpoint, keep_alive: bool) -> None:
        self.endpoint = endpoint
        self.keep_alive = keep_alive
        self.body = bytearray()
        self.more_body = True
        self.response_complete = False
        self.disconnected = False


class QuickProtocol(HttpToolsProtocol):
    """See the module."""

    _patience: asyncio.TimerHandle | None = None
    _under_way: RequestResponseCycle | None = None
    """The request that uvicorn's own way began last; others may wait behind it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self._await_headers()
        else:
            self._forget_headers()

    def _await_headers(self) -> None:
        if self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(HEADERS_S, self.transport.close)

    def _forget_headers(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_headers()
        # uvicorn tells only the last request of the line that its caller is gone.
        if self._under_way is not None:
            self._under_way.disconnected = True
            self._under_way.message_event.set()

    def on_headers_complete(self) -> None:
        self._make_room_for_streams()
        cycle = self._quick_cycle()
        if cycle is None:
            super().on_headers_complete()
        else:
            self.cycle = cast(RequestResponseCycle, cycle)

    def _make_room_for_streams(self) -> None:
        """Phones that listen do nothing most of the time: they do not count as load. Each has a
        second connection, for what it fetches."""
        limit, app = self.config.limit_concurrency, self.config.app
        if limit is not None and isinstance(app, Api):
            self.limit_concurrency = limit + 2 * app.lines.count

    def _quick_cycle(self) -> _QuickCycle | None:
        before: Any = self.cycle
        app = self.config.app  # ``self.app`` may be wrapped, for what the short way does not use
        if not isinstance(app, Api) or (before is not None and not before.response_complete):
            return None
        endpoint = app.quick.get((self.parser.get_method(), self.url))
        if endpoint is None or self.expect_100_continue or self.parser.should_upgrade():
            return None
        if len(self.tasks) >= (self.limit_concurrency or len(self.tasks) + 1):
            return None
        for name, value in self.headers:
            if name == b"content-length":
                if int(value) > LARGEST:
                    return None
                version = self.parser.get_http_version()
                return _QuickCycle(endpoint, version == "1.1" and self.parser.should_keep_alive())
        return None

    def on_message_complete(self) -> None:
        cycle: Any = self.cycle
        if type(cycle) is not _QuickCycle:
            super().on_message_complete()
            return
        cycle.more_body = False
        task = self.loop.create_task(self._answer(cycle, dict(self.headers)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, cycle: _QuickCycle, headers: dict[bytes, bytes]) -> None:
        status, lines, body = await cycle.endpoint.serve_whole(headers, bytes(cycle.body))
        cycle.response_complete = True
        if cycle.disconnected:
            return
        parts = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in lines:
            parts += (name, b": ", value, b"\r\n")
        if any(name == b"connection" for name, _ in lines):  # an error that ends the connection
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", body)
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
