"""https by libcurl: TLS, HTTP/2 and everything else that is better not written anew."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from textgate.domain.errors import Invalid
from textgate.outbound.driver import Driver
from textgate.outbound.guard import Guard
from textgate.outbound.headers import METHODS, request_lines
from textgate.outbound.reply import Failure, FailureKind, Reply
from textgate.outbound.transfer import Constants, Transfer
from textgate.outbound.trust import Trust
from textgate.outbound.url import Url

_KNOWN_URLS = 4096
_CLOSE_SECONDS = 2.0


class CurlClient:
    """What ``HttpClient`` promises, for https and for http too."""

    def __init__(
        self,
        guard: Guard,
        *,
        user_agent: str,
        ca_file: Path | None = None,
        max_connections: int = 512,
        max_host_connections: int = 256,
    ) -> None:
        self._guard, self._user_agent = guard, user_agent
        self._trust = Trust(ca_file)
        self._limits = (max_connections, max_host_connections)
        self._constants: Constants | None = None
        self._free: list[Transfer] = []
        self._urls: dict[str, Url] = {}
        self._closed = False

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - libcurl keeps it, for a fraction of the price
        keep_headers: bool = False,
    ) -> Reply | Failure:
        """Make one call, as ``HttpClient.request`` says."""
        lines, repeatable = request_lines(headers, method, len(body))
        if method not in METHODS or not timeout > 0:
            raise ValueError(f"{method} in {timeout} s is no call that can be made")
        try:
            target = self._urls.get(url) or self._check(url)
        except Invalid as wrong:
            return Failure(FailureKind.REFUSED, wrong.message, False, 0.0)
        if self._closed:
            return Failure(FailureKind.BROKEN, "the HTTP client is closed", False, 0.0)
        constants = self._constants or self._start()
        driver = constants.driver
        future: asyncio.Future[Reply | Failure] = driver.loop.create_future()
        transfer = self._free.pop() if self._free else Transfer(constants)
        transfer.prepare(future, method, target, lines, body, timeout, repeatable, keep_headers)
        try:
            driver.start(transfer)
            return await future
        except asyncio.CancelledError:
            driver.abort(transfer)
            raise
        finally:
            if len(self._free) < self._limits[0]:
                self._free.append(transfer)

    async def close(self) -> None:
        """End every call (they come back as broken) and every connection, within 2 s."""
        if self._closed:
            return
        self._closed = True
        if self._constants is not None:
            self._constants.driver.stop("the HTTP client was closed")
            await _bounded(self._constants.driver.dispose)
        self._trust.close()

    def _check(self, url: str) -> Url:
        checked = self._guard.check_url(url)
        if len(self._urls) >= _KNOWN_URLS:
            self._urls.clear()
        self._urls[url] = checked
        return checked

    def _start(self) -> Constants:
        total, host = self._limits
        driver = Driver(max_connections=total, max_host_connections=host)
        self._constants = Constants(self._guard, driver, self._user_agent, self._trust.path)
        return self._constants


async def _bounded(work: Callable[[], None]) -> None:
    """Run ``work`` beside the loop, and leave it alone if it takes too long.

    A thread of its own that nobody waits for: libcurl would sit out a look-up that the system's
    resolver does not answer, and the loop's own threads are waited for at the end.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        work()
        with contextlib.suppress(RuntimeError):  # the loop is gone already
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="textgate-http-close", daemon=True).start()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), _CLOSE_SECONDS)
