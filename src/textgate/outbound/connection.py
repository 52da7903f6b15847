"""A connection that speaks HTTP/1.1: one call at a time, many after each other."""

import asyncio
import select
import time
from math import inf
from typing import Protocol, cast

import msgspec

from textgate.outbound.answer import Answer, Malformed
from textgate.outbound.reply import Failure, FailureKind, Reply

IDLE_REPEATABLE_S = 60.0
"""A connection that was not used for so long is closed."""
IDLE_S = 4.0
"""The same for a request that may not simply be repeated. Servers close theirs after 5 s and more,
and a request that crosses with the closing is lost without a trace."""


class Call(msgspec.Struct, eq=False):
    """A request, and where its end is to be told. A struct: one is made for each call."""

    future: "asyncio.Future[Reply | Failure]"
    place: str
    """``host:port``, for messages."""
    request: bytes
    rest: bytes
    """What follows ``request``, if it is long: a body that is worth no copy."""
    started: float
    timeout: float
    deadline: float
    """Like ``started``, by ``time.perf_counter``."""
    repeatable: bool
    to_head: bool
    keep_headers: bool
    connection: "Connection | None" = None
    repeated: bool = False

    def end(self, ended: Reply | Failure) -> None:
        """Tell the caller, if it still listens."""
        if not self.future.done():
            self.future.set_result(ended)

    def fail(self, kind: FailureKind, detail: str, *, sent: bool) -> None:
        """Tell the caller that no answer came. ``detail`` is a whole sentence."""
        elapsed_ms = (time.perf_counter() - self.started) * 1000
        self.end(Failure(kind, detail, sent, elapsed_ms))

    def fail_late(self, *, sent: bool) -> None:
        """Tell the caller that its time is over."""
        what = "did not answer" if sent else "was not reached"
        detail = f"{self.place} {what} within {self.timeout:g} s"
        self.fail(FailureKind.TIMEOUT, detail, sent=sent)


class Owner(Protocol):
    """Who keeps connections to one host and port."""

    def release(self, connection: "Connection", now: float) -> None:
        """Its call has ended and it can serve another."""

    def forget(self, connection: "Connection") -> None:
        """It can serve no more calls, and will be closed."""

    def closed(self, connection: "Connection") -> None:
        """It is closed now."""

    def repeat(self, call: Call) -> None:
        """Send the request again, on a new connection."""


class Connection(asyncio.Protocol):
    """Sends a request, reads its answer."""

    __slots__ = (
        "_answer", "_owner", "_served", "_stirred", "_transport", "call", "deadline", "idle_since",
        "is_over",
    )  # fmt: skip

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._answer = Answer()
        self._served = False
        self.call: Call | None = None
        self.deadline = inf
        """When ``expire`` wants to be called, by ``time.perf_counter``."""
        self.idle_since = 0.0
        self.is_over = False
        """No call may be started any more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._stirred = select.poll()
        self._stirred.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def start(self, call: Call) -> None:
        """Send a request, on an idle connection."""
        self.call = call
        call.connection = self
        self.idle_since = 0.0
        self.deadline = call.deadline
        self._answer.begin(to_head=call.to_head, keep_headers=call.keep_headers)
        self._transport.write(call.request)
        if call.rest:
            # Neither copied nor cut: the transport keeps a reference until the far side takes it.
            self._transport.write(call.rest)

    def is_quiet(self) -> bool:
        """Whether nothing came from the far side since the last call, not even its goodbye.

        The loop may not have noticed yet. What waits there would be taken for the next answer.
        """
        return not self._stirred.poll(0)

    def data_received(self, data: bytes) -> None:
        call = self.call
        if call is None:  # nobody asked for anything
            self.abort()
            return
        try:
            if not self._answer.feed(data):
                return
        except Malformed as malformed:
            self._fail(call, str(malformed))
            self.abort()
            return
        self._end(call)

    def _end(self, call: Call) -> None:
        answer = self._answer
        now = time.perf_counter()
        self.call = None
        call.end(
            Reply(
                answer.status,
                answer.take_body(),
                answer.truncated,
                answer.headers,
                answer.retry_after,
                (now - call.started) * 1000,
            )
        )
        if not answer.keep or (call.rest and self._transport.get_write_buffer_size()):
            self.abort()
        elif not self.is_over:
            self._served = True
            self._owner.release(self, now)

    def eof_received(self) -> None:
        """The far side will say no more; returning nothing closes the connection."""
        self._owner.forget(self)
        self.is_over = True
        call = self.call
        if call is None:
            return
        try:
            if self._answer.feed_end():
                self._end(call)
            else:
                self._break_off(call)
        except Malformed as malformed:
            self._fail(call, str(malformed))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        if self.call is not None:
            self._break_off(self.call)
        self._answer.close()
        self._owner.closed(self)

    def _break_off(self, call: Call) -> None:
        if self._answer.has_begun:
            self._fail(call, "broke off in the middle of the answer")
        elif self._served and call.repeatable and not call.repeated:
            # The request may have crossed with the closing of a connection that was idle.
            self.call, call.connection, call.repeated = None, None, True
            self._owner.repeat(call)
        else:
            self._fail(call, "closed the connection without an answer")

    def _fail(self, call: Call, what: str) -> None:
        self.call = None
        call.fail(FailureKind.BROKEN, f"{call.place} {what}", sent=True)

    def expire(self) -> None:
        """Its deadline has passed: the call is too slow, or nobody needs the connection."""
        if self.call is not None:
            self.call.fail_late(sent=True)
        self.abort()

    def abort(self) -> None:
        """Close at once. Whoever waits for the call must have been told."""
        self.call = None
        self.is_over = True
        self.deadline = inf
        self._owner.forget(self)
        self._transport.abort()
