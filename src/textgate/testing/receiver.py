"""A real little webhook receiver on the loopback, in a thread, that does as a script says."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self

WAIT_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came in."""

    method: str
    path: str
    """With the query, as it was on the wire."""
    headers: Message
    """Names without regard to case."""
    body: bytes
    at: float
    """Unix time, in seconds, at which the last byte of the request was there."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver says to one request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    """Time to wait before the first byte; closing the receiver ends it."""
    drop: bool = False
    """Close the connection without an answer."""


Chooser = Callable[[Call], Answer]


class Receiver:
    """Records every request; answers 200 unless a script or a chooser says otherwise.

    ``with Receiver(Answer(503), Answer(503)) as receiver:`` fails twice, then succeeds.
    """

    def __init__(self, *script: Answer, choose: Chooser | None = None) -> None:
        self._script, self._choose = deque(script), choose
        self._calls: list[Call] = []
        self._news = threading.Condition()
        self._closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def calls(self) -> list[Call]:
        """Everything so far, in the order of arrival."""
        with self._news:
            return list(self._calls)

    def script(self, *answers: Answer) -> None:
        """Append answers for the requests to come; after the last it is 200 again."""
        with self._news:
            self._script.extend(answers)

    def clear(self) -> None:
        """Forget the calls, and what is left of the script."""
        with self._news:
            self._calls.clear()
            self._script.clear()

    def wait_for(self, count: int, timeout_s: float = WAIT_TIMEOUT_S) -> list[Call]:
        """Return the calls as soon as there are ``count`` of them; TimeoutError if not."""
        return self.wait_until(lambda calls: len(calls) >= count, timeout_s)

    def wait_until(
        self, holds: Callable[[list[Call]], bool], timeout_s: float = WAIT_TIMEOUT_S
    ) -> list[Call]:
        """Return the calls as soon as ``holds`` of them; TimeoutError, naming them, if not."""
        with self._news:
            if not self._news.wait_for(lambda: holds(self._calls), timeout_s):
                came = "\n".join(f"{c.method} {c.path} {c.body[:300]!r}" for c in self._calls)
                raise TimeoutError(f"{len(self._calls)} calls after {timeout_s:g} s:\n{came}")
            return list(self._calls)

    def answer(self, call: Call) -> Answer:
        """Record a call and return what to say to it (the server thread's side)."""
        with self._news:
            self._calls.append(call)
            self._news.notify_all()
            if self._script:
                return self._script.popleft()
        return self._choose(call) if self._choose else Answer()

    def pause(self, seconds: float) -> bool:
        """Wait, unless the receiver is closed meanwhile; return whether it still is open."""
        return not self._closed.wait(seconds) if seconds else True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for the host's name, which may take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept
        disable_nagle_algorithm = True

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the other side may go at any time
                self.close_connection = True

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = Call(self.command, self.path, self.headers, body, time.time())
            answer = receiver.answer(call)
            if not receiver.pause(answer.delay_s) or answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
