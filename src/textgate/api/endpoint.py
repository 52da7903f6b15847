"""One operation as an ASGI callable: who asks, what, the handler, the answer.

This is the hot path of the server, so it speaks ASGI itself instead of through a stack of
middleware; docs/decisions/0004-http.md has the figures.
"""

import asyncio
import contextlib
import itertools
import secrets
import traceback
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.types import Receive, Send

from textgate.api.auth import Authenticator
from textgate.api.fields import read_field
from textgate.api.operation import (
    Answer,
    Call,
    Caller,
    Content,
    Edge,
    Headers,
    Operation,
    Problem,
    Services,
    Stream,
)
from textgate.api.problem import TOO_LARGE, UNHANDLED, problem_of, unreadable
from textgate.domain.errors import Forbidden, Invalid, TextgateError, Unauthenticated

BODY_TIMEOUT_S = 60.0
"""How long a caller may take to send a body."""
DROPPED_BODIES = 4
"""So many times the limit is read and dropped of a body that is too large: most clients listen
only after they have spoken, and would otherwise see a broken line instead of the 413."""
MAX_QUERY_FIELDS = 100
MAX_REQUEST_ID = 128

log = structlog.get_logger("textgate.api")
_encode = msgspec.json.Encoder().encode
_request_ids = (f"{secrets.token_hex(4)}-{n:x}" for n in itertools.count(1))
RawHeaders = list[tuple[bytes, bytes]]


class _TooLarge(Exception):
    """The body is beyond the limit."""


class _Gone(Exception):
    """The caller hung up."""


class Endpoint:
    """Serves one operation of a group."""

    def __init__(
        self, services: Services, authenticator: Authenticator, edge: Edge, operation: Operation
    ) -> None:
        self.operation = operation
        self._services, self._authenticator, self._edge = services, authenticator, edge
        self._raw_body = operation.body is bytes
        self._decode = msgspec.json.Decoder(
            operation.body if operation.body is not None else Any, dec_hook=read_field
        ).decode

    async def serve(
        self,
        scope: Mapping[str, Any],
        receive: Receive,
        send: Send,
        path: Mapping[str, str],
    ) -> None:
        """Answer one request; ``path`` holds the named parts of its path."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = request_id_of(headers)
        answer: Answer | Content | Stream
        try:
            caller = await self._identify(headers)
            body = None
            if self.operation.body is not None:
                body = await self._read(headers, receive)
                if isinstance(body, Problem):
                    return await send_problem(send, body, self._edge, request_id)
            query = self._query(scope["query_string"])
            answer = await self.operation.handler(
                Call(self._services, caller, path, query, body, headers, request_id)
            )
        except TextgateError as error:
            return await send_problem(send, problem_of(error), self._edge, request_id)
        except _TooLarge:
            return await send_problem(send, TOO_LARGE, self._edge, request_id, last=True)
        except _Gone:
            return None
        except Exception as error:
            self._report(error, request_id)
            return await send_problem(send, UNHANDLED, self._edge, request_id)
        if isinstance(answer, Stream):
            return await self._stream(answer, receive, send, request_id)
        return await send_answer(send, answer, self._edge.headers, request_id)

    async def _identify(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        if self.operation.public:
            return None
        given = headers.get(b"authorization")
        if given is None:
            raise Unauthenticated("Unauthorized")
        caller = self._authenticator.remembered(given)
        if caller is None:
            caller = await self._authenticator.identify(given)
        scope = self.operation.scope
        if scope is not None and not caller.may(scope):
            raise Forbidden(f"scope required: {scope}")
        return caller

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive) -> Any:
        """Return the checked body, or the problem with its type."""
        raw = await self._receive(headers, receive)
        if self._raw_body:
            return raw
        if not raw and self.operation.body_optional:
            return None
        declared = headers.get(b"content-type", b"")
        if declared != b"application/json":
            bare = declared.partition(b";")[0].strip().lower()
            if bare != b"application/json":
                return self._edge.wrong_type
        try:
            return self._decode(raw)
        except (ValueError, RecursionError) as error:
            raise unreadable(error) from None

    async def _receive(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        limit = self._services.settings.body_limit
        length = headers.get(b"content-length")
        if length is not None and int(length) > limit:
            await _drop(receive, DROPPED_BODIES * limit)
            raise _TooLarge
        message = await asyncio.wait_for(receive(), BODY_TIMEOUT_S)
        if message["type"] != "http.request":
            raise _Gone
        body = cast(bytes, message.get("body", b""))
        if not message.get("more_body") and len(body) <= limit:
            return body
        return await self._receive_rest(body, receive, limit)

    async def _receive_rest(self, start: bytes, receive: Receive, limit: int) -> bytes:
        parts, size = [start], len(start)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while size <= limit:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Gone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise _Gone from None
        if size > limit:
            await _drop(receive, DROPPED_BODIES * limit)
            raise _TooLarge
        return b"".join(parts)

    def _query(self, raw: bytes) -> Any:
        wanted = self.operation.query
        if wanted is None:
            return None
        if not raw:
            return wanted()
        try:
            pairs = dict(parse_qsl(raw.decode("latin-1"), max_num_fields=MAX_QUERY_FIELDS))
            return msgspec.convert(pairs, wanted, strict=False, dec_hook=read_field)
        except ValueError as error:
            if isinstance(error, msgspec.ValidationError):
                raise unreadable(error) from None
            raise Invalid(f"failed to parse query: {error}") from None

    def _report(self, error: Exception, request_id: str) -> None:
        """Log where it went wrong; the error's own words may quote what was asked."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        log.error(
            "request failed",
            request_id=request_id,
            operation=f"{self.operation.method} {self.operation.path}",
            error=type(error).__name__,
            where=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        )

    async def _stream(self, answer: Stream, receive: Receive, send: Send, request_id: str) -> None:
        raw = _raw_headers(answer.headers, self._edge.headers, request_id)
        raw.append((b"content-type", answer.content_type.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        pump = asyncio.create_task(_pump(answer, send))
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, gone):
                task.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)
        if not pump.cancelled() and isinstance(problem := pump.exception(), Exception):
            self._report(problem, request_id)


async def _pump(answer: Stream, send: Send) -> None:
    try:
        async for chunk in answer.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        close = getattr(answer.chunks, "aclose", None)
        if close is not None:
            await close()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drop(receive: Receive, limit: int) -> None:
    """Read and forget the rest of a body, within bounds of size and time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BODY_TIMEOUT_S / 4):
            while limit > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                limit -= len(message.get("body", b""))


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """Return the caller's X-Request-Id if it is short and printable, else a fresh one."""
    given = headers.get(b"x-request-id")
    if given is not None and 0 < len(given) <= MAX_REQUEST_ID:
        text = given.decode("latin-1")
        if text.isascii() and text.isprintable():
            return text
    return next(_request_ids)


def _raw_headers(own: Headers, common: Headers, request_id: str) -> RawHeaders:
    raw = [(b"x-request-id", request_id.encode())]
    for name, value in (*common, *own):
        raw.append((name.lower().encode(), value.encode("latin-1")))
    return raw


async def send_answer(
    send: Send, answer: Answer | Content, common: Headers, request_id: str
) -> None:
    """Send an answer that is whole."""
    raw = _raw_headers(answer.headers, common, request_id)
    body = b""
    if isinstance(answer, Content):
        body = answer.body
        raw.append((b"content-type", answer.content_type.encode()))
    elif answer.value is not None:
        body = _encode(answer.value)
        raw.append((b"content-type", b"application/json"))
    if answer.status != 204:
        raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def send_problem(
    send: Send, problem: Problem, edge: Edge, request_id: str, *, last: bool = False
) -> None:
    """Send an error as its edge spells it; ``last``: the connection ends with it."""
    headers = problem.headers
    if problem.status == 401:
        headers = (*headers, ("WWW-Authenticate", 'Basic realm="Textgate", charset="UTF-8"'))
    if last:
        headers = (*headers, ("Connection", "close"))
    answer = Answer(problem.status, edge.spell(problem), headers)
    await send_answer(send, answer, edge.headers, request_id)
