"""Plain http, called without libcurl: the same door for less than half of the price.

Sockets of the event loop, llhttp to read answers. Everything that ``HttpClient`` promises holds
here too; what differs is said in docs/decisions/0005-outbound.md.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from textgate.domain.errors import Invalid
from textgate.outbound.connection import Call
from textgate.outbound.guard import Guard
from textgate.outbound.headers import (
    METHODS,
    REPEATABLE,
    REPEATABLE_METHODS,
    USER_AGENT,
    header_block,
)
from textgate.outbound.pools import Pool, Pools
from textgate.outbound.reply import Failure, FailureKind, Reply

_KNOWN_TARGETS = 4096
_COPIED = 16_384
"""A body up to this size is copied behind its head, and both go out in one write."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What is the same for every call of a method and a URL."""

    pool: Pool
    beginning: str
    has_body: bool
    """The request says how long its body is, even if there is none."""
    is_repeatable: bool


class DirectClient:
    """Calls http URLs. Belongs to the event loop of its first call.

    At most ``max_connections`` are open at once, ``max_host_connections`` to one host and port;
    further calls wait, within their timeout. Close it in the end.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        user_agent: str,
        max_connections: int = 512,
        max_host_connections: int = 256,
    ) -> None:
        self._guard = guard
        self._user_agent, _ = header_block([("User-Agent", user_agent)])
        self._limits = (max_connections, max_host_connections)
        self._pools: Pools | None = None
        self._targets: dict[tuple[str, str], _Target] = {}
        self._closed = False

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - one timer keeps it for all calls
        keep_headers: bool = False,
    ) -> Reply | Failure:
        """Make one call, as ``HttpClient.request`` says."""
        started = time.perf_counter()
        lines, seen = header_block(headers)
        if method not in METHODS or not timeout > 0:
            raise ValueError(f"{method} in {timeout} s is no call that can be made")
        try:
            target = self._targets.get((method, url)) or self._target(method, url)
        except Invalid as wrong:
            return Failure(FailureKind.REFUSED, wrong.message, False, 0.0)
        if self._closed:
            return Failure(FailureKind.BROKEN, "the HTTP client is closed", False, 0.0)
        pool = target.pool
        pools = pool.pools
        length = f"Content-Length: {len(body)}\r\n" if body or target.has_body else ""
        agent = "" if seen & USER_AGENT else self._user_agent
        request = f"{target.beginning}{lines}{agent}{length}\r\n".encode("ascii")
        is_short = len(body) <= _COPIED
        call = Call(
            pools.loop.create_future(),
            pool.place,
            request + body if is_short else request,
            b"" if is_short else body,
            started,
            timeout,
            started + timeout,
            target.is_repeatable or bool(seen & REPEATABLE),
            method == "HEAD",
            keep_headers,
        )
        pool.submit(call)
        if call.deadline < pools.due:
            pools.watch(call.deadline)
        try:
            return await call.future
        except asyncio.CancelledError:
            pool.withdraw(call)
            raise

    async def close(self) -> None:
        """End every call (they come back as broken) and every connection, within 2 s."""
        if self._closed:
            return
        self._closed = True
        if self._pools is not None:
            await self._pools.close("the HTTP client was closed")

    def _target(self, method: str, url: str) -> _Target:
        checked = self._guard.check_url(url)
        if checked.scheme != "http":
            raise ValueError(f"{checked.scheme} is not for this client")
        if self._pools is None:
            most, most_each = self._limits
            self._pools = Pools(self._guard, most=most, most_each=most_each)
        if len(self._targets) >= _KNOWN_TARGETS:
            self._targets.clear()
            self._pools.tidy()
        authority, slash, path = checked.text.removeprefix("http://").partition("/")
        target = _Target(
            self._pools.pool(checked),
            f"{method} {slash}{path} HTTP/1.1\r\nHost: {authority}\r\n",
            method in ("PATCH", "POST", "PUT"),
            method in REPEATABLE_METHODS,
        )
        self._targets[method, url] = target
        return target
