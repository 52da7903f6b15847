"""A small local receiver of webhooks: checks each call's signatures, answers as it was told."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from textgate.cli import verdict
from textgate.cli.verdict import Finding
from textgate.domain.times import Milliseconds, rfc3339

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes; an event with attachments is large, and a local tool need not take more than this."""


@dataclass(frozen=True, slots=True)
class Call:
    """One webhook call as it came in, and what was made of it."""

    at: Milliseconds
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    x_signature: Finding
    standard_webhooks: Finding
    answered: int

    @property
    def genuine(self) -> bool:
        """Whether both signatures hold, or there was no secret to check them with."""
        return {self.x_signature, self.standard_webhooks} in ({Finding.GOOD}, {Finding.UNCHECKED})

    def as_json(self) -> dict[str, object]:
        """The call for a line of JSON; a body that is not JSON stays text."""
        envelope = self.envelope()
        return {
            "received_at": rfc3339(self.at),
            "path": self.path,
            "event": envelope.get("event"),
            "id": envelope.get("id") or self.headers.get("webhook-id"),
            "signatures": {
                "x_signature": self.x_signature,
                "standard_webhooks": self.standard_webhooks,
            },
            "answered": self.answered,
            "body": envelope or self.body.decode("utf-8", "replace"),
        }

    def envelope(self) -> dict[str, object]:
        """The body if it is a JSON object, else nothing."""
        with contextlib.suppress(msgspec.DecodeError):
            found = msgspec.json.decode(self.body)
            if isinstance(found, dict):
                return found
        return {}


class Receiver:
    """Listens on ``host``:``port`` (0: any free one) while :meth:`open` is entered.

    ``secrets`` may be empty (nothing is checked) and may be set later. Of ``answers`` the first
    call gets the first, and the last one is for all further calls.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        secrets: Sequence[str] = (),
        answers: Sequence[int] = (200,),
        delay_s: float = 0.0,
    ) -> None:
        self.secrets = tuple(secrets)
        self.calls: asyncio.Queue[Call] = asyncio.Queue()
        self._host, self._port = host, port
        self._answers, self._delay_s, self._seen = tuple(answers), delay_s, 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Listen and give the URL; OSError if the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.create_server((self._host, self._port), family=family) as listening:
            port = listening.getsockname()[1]
            server = _Server(
                uvicorn.Config(
                    Starlette(routes=[Route("/{path:path}", self._take, methods=["POST", "PUT"])]),
                    log_config=None,
                    access_log=False,
                    lifespan="off",
                    server_header=False,
                    timeout_graceful_shutdown=1,
                )
            )
            running = asyncio.create_task(server.serve([listening]))
            try:
                yield f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{port}/"
            finally:
                server.should_exit = True
                await running

    async def _take(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_LIMIT:
                return Response(status_code=413)
        status = self._answers[min(self._seen, len(self._answers) - 1)]
        self._seen += 1
        headers, now_s = dict(request.headers), time.time()
        self.calls.put_nowait(
            Call(
                at=int(now_s * 1000),
                path=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
                headers=headers,
                body=body,
                x_signature=verdict.timestamped(self.secrets, headers, body, now_s),
                standard_webhooks=verdict.standard(self.secrets, headers, body, now_s),
                answered=status,
            )
        )
        await asyncio.sleep(self._delay_s)
        return Response(status_code=status)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the command that listens decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
