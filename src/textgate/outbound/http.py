"""The HTTP client through which every outbound byte goes, guarded and bounded.

A call never raises for what the far side does: it comes back as a ``Reply`` or a ``Failure``.
Redirects are not followed, proxies and ``.netrc`` are not looked for, cookies are not kept, TLS is
always verified.

Behind the one door are two ways: https goes by libcurl, plain http by sockets of the event loop at
about half of the CPU time (docs/decisions/0005-outbound.md). Who calls cannot tell which it was.
"""

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

from textgate.outbound.curl import CurlClient
from textgate.outbound.direct import DirectClient
from textgate.outbound.guard import Guard
from textgate.outbound.reply import BODY_LIMIT, Failure, FailureKind, Reply

__all__ = ["BODY_LIMIT", "Failure", "FailureKind", "Http", "HttpClient", "Reply"]


class Http(Protocol):
    """What can make calls: :class:`HttpClient`, or who watches one."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float,
        keep_headers: bool = False,
    ) -> Coroutine[Any, Any, Reply | Failure]: ...


class HttpClient:
    """Calls http and https URLs. Belongs to the event loop of its first call.

    ``ca_file`` names further authorities (PEM) beside the system's and certifi's; Invalid if it is
    unusable. At most ``max_connections`` are open at once, ``max_host_connections`` to one host
    and port; further calls wait, within their timeout. Plain http has limits of its own, of the
    same size. Close it in the end.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        user_agent: str,
        ca_file: Path | None = None,
        max_connections: int = 512,
        max_host_connections: int = 256,
    ) -> None:
        self._curl = CurlClient(
            guard,
            user_agent=user_agent,
            ca_file=ca_file,
            max_connections=max_connections,
            max_host_connections=max_host_connections,
        )
        self._direct = DirectClient(
            guard,
            user_agent=user_agent,
            max_connections=max_connections,
            max_host_connections=max_host_connections,
        )

    # No async function itself: it would cost each call one more coroutine.
    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float,
        keep_headers: bool = False,
    ) -> Coroutine[Any, Any, Reply | Failure]:
        """Make one call. ``timeout`` is in seconds and covers all of it.

        Sent are the headers given, ``Host``, ``Content-Length`` and ``User-Agent``. ValueError:
        the caller's own mistake (a malformed method, header or timeout). Cancelling the task ends
        the call. If a kept connection dies before any answer, the request is sent again only if
        that is harmless: its method is idempotent (RFC 9110 §9.2.2), or it carries an
        ``Idempotency-Key`` or ``webhook-id``.
        """
        way = self._direct if url[:5].lower() == "http:" else self._curl
        return way.request(
            method, url, headers=headers, body=body, timeout=timeout, keep_headers=keep_headers
        )

    async def close(self) -> None:
        """End every call (they come back as broken) and every connection, within 2 s each way."""
        await self._direct.close()
        await self._curl.close()
