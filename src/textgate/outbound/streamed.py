"""An answer read as it comes: one that does not end, or that is too long for ``HttpClient``.

A connection of its own for each, dialled through the guard like every other; closed at the end.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from textgate.domain.errors import Invalid
from textgate.outbound.dial import Unreachable, dial
from textgate.outbound.guard import Guard
from textgate.outbound.headers import header_block
from textgate.outbound.reply import FailureKind
from textgate.outbound.trust import Trust
from textgate.outbound.url import Url

HEAD_LIMIT = 65_536
"""Bytes of status line and headers."""
OPEN_S = 30.0
"""How long it may take to connect, ask and get the headers of the answer."""
_READ = 65_536


class Streamed:
    """An answer whose head is here and whose body is still coming. Made by ``Streams.open``."""

    def __init__(self, reader: asyncio.StreamReader, place: str, silence_s: float) -> None:
        self.status = 0
        self.place = place
        self._names: dict[str, str] = {}
        self._reader, self._silence_s = reader, silence_s
        self._chunks: deque[bytes] = deque()
        self._complete = False
        self._read = 0
        self._parser: HttpResponseParser = HttpResponseParser(self)

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; empty if the answer does not say."""
        return self._names.get("content-type", "").partition(";")[0].strip().lower()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises ``Unreachable`` if it breaks off, or if nothing comes
        for ``silence_s``."""
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._complete:
                return
            await self.more(self._silence_s)

    async def more(self, within_s: float) -> None:
        """Read on. Raises ``Unreachable``."""
        try:
            async with asyncio.timeout(within_s):
                data = await self._reader.read(_READ)
        except TimeoutError:
            raise self._broken(FailureKind.TIMEOUT, f"said nothing for {within_s:g} s") from None
        except (OSError, ssl.SSLError):
            data = b""
        if not data:
            self._end()
            return
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            if not self._complete:
                raise self._broken(FailureKind.BROKEN, "did not answer in HTTP") from None
        if not self.status and self._read > HEAD_LIMIT:
            raise self._broken(FailureKind.BROKEN, "sent headers without end")

    def close(self) -> None:
        """Let go of the parser, which holds on to this."""
        del self._parser

    def _end(self) -> None:
        """The far side says no more: the end of a body whose length nobody said (RFC 9112 §6.3)."""
        told = {"content-length", "transfer-encoding"} & self._names.keys()
        if not self.status:
            raise self._broken(FailureKind.BROKEN, "closed the connection without an answer")
        if told and not self._complete:
            raise self._broken(FailureKind.BROKEN, "broke off in the middle of the answer")
        self._complete = True

    def _broken(self, kind: FailureKind, what: str) -> Unreachable:
        return Unreachable(kind, f"{self.place} {what}")

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._names[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:  # an interim answer: the next one counts
            self._names.clear()

    def on_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        self._complete = bool(self.status)


class Streams:
    """Opens such answers. ``ca_file`` names further authorities, as for ``HttpClient``."""

    def __init__(self, guard: Guard, *, user_agent: str, ca_file: Path | None = None) -> None:
        self._guard, self._user_agent, self._ca_file = guard, user_agent, ca_file
        self._secure: ssl.SSLContext | None = None

    @contextlib.asynccontextmanager
    async def open(
        self, url: str, *, headers: Sequence[tuple[str, str]] = (), silence_s: float
    ) -> AsyncIterator[Streamed]:
        """GET ``url``; the answer is closed with the context. Raises ``Unreachable``."""
        try:
            target = self._guard.check_url(url)
        except Invalid as wrong:
            raise Unreachable(FailureKind.REFUSED, wrong.message) from None
        try:
            async with asyncio.timeout(OPEN_S):
                reader, writer = await self._connect(target)
        except TimeoutError:
            raise Unreachable(FailureKind.TIMEOUT, f"{target.place} was not reached") from None
        answer = Streamed(reader, target.place, silence_s)
        try:
            writer.write(self._request(target, headers))
            while not answer.status:
                await answer.more(OPEN_S)
            yield answer
        finally:
            answer.close()
            writer.transport.abort()

    async def _connect(self, url: Url) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        dialled = await dial(self._guard, url)
        if url.scheme != "https":
            return await asyncio.open_connection(sock=dialled)
        secure = self._context()
        try:
            return await asyncio.open_connection(sock=dialled, ssl=secure, server_hostname=url.host)
        except ssl.SSLError as wrong:
            why = getattr(wrong, "verify_message", "") or wrong.reason or "no TLS"
            detail = f"the certificate of {url.place} is not accepted: {why}"
            raise Unreachable(FailureKind.TLS, detail) from None
        except OSError:
            detail = f"{url.place} closed the connection"
            raise Unreachable(FailureKind.BROKEN, detail) from None

    def _context(self) -> ssl.SSLContext:
        if self._secure is None:
            trust = Trust(self._ca_file)
            self._secure = ssl.create_default_context(cafile=trust.path)
            trust.close()
        return self._secure

    def _request(self, url: Url, headers: Sequence[tuple[str, str]]) -> bytes:
        authority, slash, path = url.text.removeprefix(f"{url.scheme}://").partition("/")
        lines, _ = header_block([("User-Agent", self._user_agent), *headers])
        start = f"GET {slash}{path} HTTP/1.1\r\nHost: {authority}\r\n"
        return f"{start}{lines}Connection: close\r\n\r\n".encode("ascii")
