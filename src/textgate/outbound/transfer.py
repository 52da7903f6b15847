"""One libcurl handle: set up once, then used for one call after another."""

import asyncio
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

import pycurl

from textgate.outbound.connection import IDLE_REPEATABLE_S, IDLE_S
from textgate.outbound.diagnosis import kind_of, sentence
from textgate.outbound.driver import Driver
from textgate.outbound.guard import Guard
from textgate.outbound.reply import BODY_LIMIT, Failure, FailureKind, Reply
from textgate.outbound.url import Url


@dataclass(frozen=True, slots=True)
class Constants:
    """What is the same for every call of a client."""

    guard: Guard
    driver: Driver
    user_agent: str
    ca_path: str


class Transfer:
    """A call under way, or a handle waiting for one."""

    def __init__(self, constants: Constants) -> None:
        self._guard = constants.guard
        self._driver = constants.driver
        self.curl: Any = pycurl.Curl()
        self._url: Url | None = None
        self._shape: tuple[str, bool] | None = None
        self._timeout = 0.0
        self._repeatable: bool | None = None
        self._keep_headers = False
        self._fresh = False
        self._chunks: list[bytes] = []
        self._clear()
        self._set_constants(constants)

    def _set_constants(self, constants: Constants) -> None:
        for option, value in (
            (pycurl.USERAGENT, constants.user_agent),
            (pycurl.CAINFO, constants.ca_path),
            (pycurl.SSL_VERIFYPEER, 1),
            (pycurl.SSL_VERIFYHOST, 2),
            (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.FOLLOWLOCATION, 0),
            # "" and not unset: unset would look into the environment, and the guard would see
            # the proxy's address only.
            (pycurl.PROXY, ""),
            (pycurl.NOPROXY, "*"),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.NOSIGNAL, 1),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.ACCEPT_ENCODING, "gzip"),
            (pycurl.WRITEFUNCTION, self._write),
            (pycurl.OPENSOCKETFUNCTION, self._open),
            (pycurl.SOCKOPTFUNCTION, _close_on_exec),
            (pycurl.PREREQFUNCTION, self._before),
        ):
            self.curl.setopt(option, value)
        # A folder of authorities would keep libcurl from remembering what it parsed.
        self.curl.unsetopt(pycurl.CAPATH)

    def prepare(
        self,
        future: "asyncio.Future[Reply | Failure]",
        method: str,
        url: Url,
        lines: list[str],
        body: bytes,
        timeout: float,
        repeatable: bool,
        keep_headers: bool,
    ) -> None:
        """Set up the next call; options that are as they were cost nothing."""
        self._started = time.perf_counter()
        self._future = future
        curl = self.curl
        if url is not self._url:
            self._url = url
            curl.setopt(pycurl.URL, url.text)
        if self._shape != (method, bool(body)):
            self._set_method(method, bool(body))
        if self._has_body:
            curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.HTTPHEADER, lines)
        if timeout != self._timeout:
            self._timeout = timeout
            curl.setopt(pycurl.TIMEOUT_MS, max(1, round(timeout * 1000)))
        if repeatable is not self._repeatable:
            self._set_repeatable(repeatable)
        if self._fresh:
            self._set_fresh(False)
        if keep_headers is not self._keep_headers:
            self._keep_headers = keep_headers
            curl.setopt(pycurl.HEADERFUNCTION, self._header if keep_headers else None)

    def _set_method(self, method: str, has_body: bool) -> None:
        curl = self.curl
        curl.setopt(pycurl.NOBODY, 0)
        curl.unsetopt(pycurl.CUSTOMREQUEST)
        self._has_body = has_body or method in ("POST", "PUT", "PATCH")
        if self._has_body:
            curl.setopt(pycurl.POST, 1)
        else:
            curl.setopt(pycurl.HTTPGET, 1)
        if method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif method != ("POST" if self._has_body else "GET"):
            curl.setopt(pycurl.CUSTOMREQUEST, method)
        self._shape = (method, has_body)

    def _set_repeatable(self, repeatable: bool) -> None:
        """Choose connections by what it means to lose one."""
        self._repeatable = repeatable
        self.curl.setopt(pycurl.MAXAGE_CONN, int(IDLE_REPEATABLE_S if repeatable else IDLE_S))
        # An HTTP/2 server that ends a connection drops the streams it has not begun, as a matter
        # of course and often under load. They are sent again, so they must be repeatable. Without
        # several streams on a connection HTTP/2 only costs twice the time of HTTP/1.1.
        version = pycurl.CURL_HTTP_VERSION_2TLS if repeatable else pycurl.CURL_HTTP_VERSION_1_1
        self.curl.setopt(pycurl.HTTP_VERSION, version)

    def _set_fresh(self, fresh: bool) -> None:
        """Ask for a new connection, or not."""
        self._fresh = fresh
        self.curl.setopt(pycurl.FRESH_CONNECT, fresh)

    def _clear(self) -> None:
        self._chunks.clear()
        self._size = 0
        self._truncated = False
        self._headers: dict[str, str] = {}
        self._sent = False
        self._stale = False
        self._refusal: str | None = None
        self._dialled = False

    # What libcurl calls while it works. None of these may raise.

    def _open(self, _purpose: int, address: Any) -> Any:
        """Open the socket for an address that is about to be dialled, or refuse to."""
        assert self._url is not None
        refusal = self._guard.refusal(address.addr[0], host=self._url.host, scheme=self._url.scheme)
        if refusal is not None:
            self._refusal = refusal
            return pycurl.SOCKET_BAD
        self._dialled = True
        try:
            return socket.socket(address.family, address.socktype, address.protocol)
        except OSError:  # no more files may be opened, or this machine lacks the family
            return pycurl.SOCKET_BAD

    def _before(self, _peer: str, ip: str, _peer_port: int, port: int) -> int:
        """Let the request go out, but not into a closed connection, and not twice unasked.

        libcurl calls this each time it is about to send. It sends again when a kept connection
        dies before a byte of the answer: the far side may have acted before it died.
        """
        if self._sent and not self._repeatable:
            return int(pycurl.PREREQFUNC_ABORT)
        if self._driver.is_closed(ip, port):
            self._stale = True
            return int(pycurl.PREREQFUNC_ABORT)
        self._sent = True
        return int(pycurl.PREREQFUNC_OK)

    def _write(self, chunk: bytes) -> int | None:
        room = BODY_LIMIT - self._size
        if len(chunk) <= room:
            self._size += len(chunk)
            self._chunks.append(chunk)
            return None
        self._chunks.append(chunk[:room])
        self._truncated = True
        return 0  # ends the transfer

    def _header(self, line: bytes) -> None:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            key, text = name.strip().lower(), value.strip()
            known = self._headers.get(key)
            self._headers[key] = text if known is None else f"{known}, {text}"
        elif name.startswith("HTTP/"):
            self._headers = {}  # an interim answer (1xx) came before

    def finish(self, code: int, message: str) -> None:
        """Make a value of how the call ended, and be ready for the next."""
        if self._stale:
            self._stale = False
            self._set_fresh(True)
            self._driver.start(self)
            return
        elapsed_ms = (time.perf_counter() - self._started) * 1000
        ended: Reply | Failure
        if code == 0 or self._truncated:
            ended = self._reply(elapsed_ms)
        else:
            ended = self._failure(code, message, elapsed_ms)
        self._clear()
        if not self._future.done():
            self._future.set_result(ended)

    def _reply(self, elapsed_ms: float) -> Reply | Failure:
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        if status < 200:  # 101 switches to something that nobody asked for
            return self._failure(pycurl.E_UNSUPPORTED_PROTOCOL, "", elapsed_ms)
        body = b"".join(self._chunks)
        retry_after = None if status < 300 else self.curl.getinfo(pycurl.RETRY_AFTER) or None
        return Reply(status, body, self._truncated, self._headers, retry_after, elapsed_ms)

    def _failure(self, code: int, message: str, elapsed_ms: float) -> Failure:
        assert self._url is not None
        kind = kind_of(code)
        if kind is FailureKind.CONNECT and self._refusal is not None and not self._dialled:
            return Failure(FailureKind.REFUSED, self._refusal, False, elapsed_ms)
        errno = self.curl.getinfo(pycurl.OS_ERRNO)
        place = self._url.place
        detail = sentence(kind, code, message, errno, place, self._timeout, self._sent)
        return Failure(kind, detail, self._sent, elapsed_ms)

    def give_up(self, detail: str) -> None:
        """End the call from our side; libcurl no longer knows of it."""
        elapsed_ms = (time.perf_counter() - self._started) * 1000
        ended = Failure(FailureKind.BROKEN, detail, self._sent, elapsed_ms)
        self._clear()
        if not self._future.done():
            self._future.set_result(ended)


def _close_on_exec(descriptor: int, _purpose: int) -> int:
    # pycurl hands libcurl a copy of our socket, and child processes inherit copies.
    os.set_inheritable(descriptor, False)
    return int(pycurl.SOCKOPT_OK)
