"""One operation as an ASGI callable: who asks, what, the handler, the answer.

This is the hot path of the server, so it speaks ASGI itself instead of through a stack of
middleware; docs/decisions/0004-http.md has the figures.
"""

import itertools
import secrets
import traceback
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.types import Receive, Send

from textgate.api.auth import Authenticator
from textgate.api.body import Gone, TooLarge, WrongType, read_body
from textgate.api.fields import read_field
from textgate.api.operation import (
    Answer,
    Call,
    Content,
    Edge,
    Headers,
    Operation,
    Problem,
    Services,
    Stream,
)
from textgate.api.problem import TOO_LARGE, UNHANDLED, problem_of, unreadable
from textgate.api.streaming import Streams
from textgate.domain.errors import Invalid, TextgateError

MAX_QUERY_FIELDS = 100
MAX_REQUEST_ID = 128

log = structlog.get_logger("textgate.api")
_encode = msgspec.json.Encoder().encode
_process = secrets.token_hex(4)
_request_ids = (f"{_process}-{n:x}" for n in itertools.count(1))
RawHeaders = list[tuple[bytes, bytes]]
Whole = tuple[int, RawHeaders, bytes]
"""An answer to be sent at once: status, headers, body."""

_NO_PARTS: Mapping[str, str] = {}


class Endpoint:
    """Serves one operation of a group."""

    def __init__(
        self, services: Services, authenticator: Authenticator, edge: Edge, operation: Operation
    ) -> None:
        self.operation = operation
        self._services, self._authenticator, self._edge = services, authenticator, edge
        self._streams = Streams(services.stopping)
        self._raw_body = operation.body is bytes
        limit = services.settings.body_limit
        self._limit = limit if operation.largest is None else min(limit, operation.largest)
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
        try:
            client = scope.get("client")
            answer = await self._answer(
                headers, path, scope["query_string"], None, receive, client[0] if client else None
            )
        except Gone:
            return None
        except Exception as error:
            answer = self._told(error, request_id)
        if not isinstance(answer, Stream):
            return await _send(send, self._whole(answer, request_id))
        if scope["method"] == "HEAD":
            return await _send(send, self._head(answer, request_id))
        return await self._stream(answer, receive, send, request_id)

    async def serve_whole(self, headers: Mapping[bytes, bytes], raw: bytes) -> Whole:
        """Answer a request that has come in whole, without query or named parts of a path."""
        request_id = request_id_of(headers)
        answer: Answer | Content | Stream
        try:
            answer = await self._answer(headers, _NO_PARTS, b"", raw, None)
        except Exception as error:
            answer = self._told(error, request_id)
        if isinstance(answer, Stream):
            raise TypeError("an endless answer has no short way")
        return self._whole(answer, request_id)

    def _whole(self, answer: Answer | Content, request_id: str) -> Whole:
        try:
            return whole(answer, self._edge, request_id)
        except Exception as error:  # a handler made what cannot be written down
            return whole(self._told(error, request_id), self._edge, request_id)

    async def _answer(
        self,
        headers: Mapping[bytes, bytes],
        path: Mapping[str, str],
        query: bytes,
        raw: bytes | None,
        receive: Receive | None,
        client: str | None = None,
    ) -> Answer | Content | Stream:
        """Who asks, what, the handler. The body is ``raw``, or else what ``receive`` gives."""
        caller = await self._authenticator.admit(self.operation, headers)
        body = None
        if self.operation.body is not None:
            limit = self._limit
            if raw is None and receive is not None:
                raw = await read_body(headers, receive, limit)
            elif raw is not None and len(raw) > limit:
                raise TooLarge
            body = self._read(headers, raw or b"")
        return await self.operation.handler(
            Call(self._services, caller, path, self._query(query), body, headers, client)
        )

    def _told(self, error: Exception, request_id: str) -> Answer:
        """Return the answer that tells the caller of an error."""
        if isinstance(error, WrongType):
            return problem_answer(self._edge.wrong_type, self._edge)
        if isinstance(error, TextgateError):
            return problem_answer(problem_of(error), self._edge)
        if isinstance(error, TooLarge):
            return problem_answer(TOO_LARGE, self._edge, last=True)
        self._report(error, request_id)
        return problem_answer(UNHANDLED, self._edge)

    def _read(self, headers: Mapping[bytes, bytes], raw: bytes) -> Any:
        """Return the checked body."""
        if self._raw_body:
            return raw
        if not raw and self.operation.body_optional:
            return None
        declared = headers.get(b"content-type", b"")
        if declared != b"application/json":
            bare = declared.partition(b";")[0].strip().lower()
            if bare != b"application/json":
                raise WrongType
        try:
            return self._decode(raw)
        except (ValueError, RecursionError) as error:
            raise unreadable(error) from None

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

    def _head(self, answer: Stream, request_id: str) -> Whole:
        """What there is of a stream before its first chunk."""
        raw = _raw_headers(answer.headers, _common(self._edge), request_id)
        raw.append((b"content-type", answer.content_type.encode()))
        return 200, raw, b""

    async def _stream(self, answer: Stream, receive: Receive, send: Send, request_id: str) -> None:
        status, raw, _ = self._head(answer, request_id)
        await send({"type": "http.response.start", "status": status, "headers": raw})
        try:
            await self._streams.send(answer.chunks, receive, send)
        except Exception as problem:
            self._report(problem, request_id)


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """Return the caller's X-Request-Id if it is short and printable, else a fresh one."""
    given = headers.get(b"x-request-id")
    if given is not None and 0 < len(given) <= MAX_REQUEST_ID:
        text = given.decode("latin-1")
        if text.isascii() and text.isprintable():
            return text
    return next(_request_ids)


def _raw_headers(own: Headers, common: RawHeaders, request_id: str) -> RawHeaders:
    raw = [(b"x-request-id", request_id.encode()), *common]
    for name, value in own:
        raw.append((name.lower().encode(), value.encode("latin-1")))
    return raw


@cache
def _common(edge: Edge) -> RawHeaders:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in edge.headers]


def whole(answer: Answer | Content, edge: Edge, request_id: str) -> Whole:
    """Return an answer as it goes over the line."""
    raw = _raw_headers(answer.headers, _common(edge), request_id)
    body = b""
    if isinstance(answer, Content):
        body = answer.body
        raw.append((b"content-type", answer.content_type.encode()))
    elif answer.value is not None:
        body = _encode(answer.value)
        raw.append((b"content-type", b"application/json"))
    if answer.status != 204:
        raw.append((b"content-length", b"%d" % len(body)))
    return answer.status, raw, body


async def _send(send: Send, answer: Whole) -> None:
    status, raw, body = answer
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def problem_answer(problem: Problem, edge: Edge, *, last: bool = False) -> Answer:
    """Return an error as its edge spells it; ``last``: the connection ends with it."""
    headers = problem.headers
    if problem.status == 401:
        headers = (*headers, *edge.challenge)
    if last:
        headers = (*headers, ("Connection", "close"))
    return Answer(problem.status, edge.spell(problem), headers)


async def send_problem(send: Send, problem: Problem, edge: Edge, request_id: str) -> None:
    """Send an error as its edge spells it."""
    await _send(send, whole(problem_answer(problem, edge), edge, request_id))
