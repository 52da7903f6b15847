"""Making a script's requests: ``fetch`` as the standard has it, the host in place of a browser.

Sources: https://fetch.spec.whatwg.org, §4.4 "HTTP-redirect fetch" and §2.2.2 on headers.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import unquote, urljoin, urlsplit

from msgspec import Struct

from textgate.outbound.headers import METHODS, is_settable
from textgate.outbound.http import Failure, FailureKind, Http, Reply
from textgate.outbound.script.run import Fetch
from textgate.outbound.url import MAX_LENGTH

MOST_HOPS = 10
"""Redirects of one request that are followed."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OF_A_BODY = frozenset({"content-encoding", "content-language", "content-location", "content-type"})
_OF_AN_ORIGIN = frozenset({"authorization", "cookie"})
_MOST_HEADERS = 32_768
"""Bytes of names and values together."""

Note = Callable[[Fetch], Callable[[Fetch], None]]
"""Takes down that a request goes out; what it returns is told what came of it."""


class Request(Struct, frozen=True):
    """What a script asked for. Two that are equal are the same request, made again."""

    method: str
    url: str
    redirect: str
    """``follow``, ``error`` or ``manual``."""
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Answer(Struct, frozen=True):
    """What becomes a ``Response``."""

    status: int
    phrase: str
    url: str
    redirected: bool
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool


class Refusal(Struct, frozen=True):
    """What becomes a ``TypeError``; ``message`` is for whoever wrote the script."""

    message: str


async def perform(http: Http, request: Request, deadline: float, note: Note) -> Answer | Refusal:
    """Make a request, within what is left until ``deadline`` (of the event loop's clock)."""
    checked = _checked(request)
    if isinstance(checked, Refusal):
        return checked
    method, url, headers, body = checked.method, checked.url, checked.headers, checked.body
    for hop in range(MOST_HOPS + 1):
        reply = await _call(http, method, url, headers, body, deadline, note)
        if isinstance(reply, Failure):
            return Refusal(f"the request failed: {_without_addresses(reply, url)}")
        location = reply.headers.get("location") if reply.status in _REDIRECTS else None
        if location is None or request.redirect == "manual":
            return _answer(reply, url, redirected=hop > 0)
        if request.redirect == "error":
            return Refusal("the request failed: the answer is a redirect, which is an error here")
        target = _target(url, location)
        if isinstance(target, Refusal):
            return target
        if _becomes_get(reply.status, method):
            method, body, headers = "GET", b"", _without(headers, _OF_A_BODY)
        if _origin(target) != _origin(url):
            headers = _without(headers, _OF_AN_ORIGIN)
        url = target
    return Refusal(f"the request failed: it was redirected more than {MOST_HOPS} times")


async def _call(
    http: Http,
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    deadline: float,
    note: Note,
) -> Reply | Failure:
    """Make one request and take down what came of it."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    done = note(Fetch(method, url, None, "it was still under way when the script ended", True, 0.0))
    try:
        reply = await http.request(
            method,
            url,
            headers=headers,
            body=body,
            timeout=max(0.001, deadline - loop.time()),
            keep_headers=True,
        )
    except ValueError as error:  # a header's value that HTTP has no place for
        reply = Failure(FailureKind.BROKEN, str(error), False, 0.0)
    except asyncio.CancelledError:
        elapsed_ms = (time.perf_counter() - started) * 1000
        done(Fetch(method, url, None, "the script gave it up", True, elapsed_ms))
        raise
    if isinstance(reply, Failure):
        sent, ms, kind = reply.sent, reply.elapsed_ms, reply.kind
        done(Fetch(method, url, None, reply.detail, sent, ms, failure=kind))
    else:
        done(Fetch(method, url, reply.status, None, True, reply.elapsed_ms, reply.retry_after))
    return reply


def _checked(request: Request) -> Request | Refusal:
    """Look at each part of a request as if an enemy had written it."""
    if request.method not in METHODS:
        return Refusal(f"requests of the method {request.method[:32]!r} are not made")
    parts = _split(request.url)
    if parts is None:
        return Refusal("requests are made to http: and https: URLs only")
    url, credentials = parts
    if len(url) > MAX_LENGTH:
        return Refusal(f"the URL is longer than {MAX_LENGTH} characters")
    # As in a browser: what belongs to the client is left out, without a word.
    headers = tuple((name, value) for name, value in request.headers if is_settable(name))
    if sum(len(name) + len(value) for name, value in headers) > _MOST_HEADERS:
        return Refusal(f"the headers are longer than {_MOST_HEADERS // 1024} KiB")
    names = {name.lower() for name, _ in headers}
    if credentials and "authorization" not in names:
        headers = (*headers, ("authorization", credentials))
    if "accept" not in names:
        headers = (*headers, ("accept", "*/*"))
    body = b"" if request.method in ("GET", "HEAD") else request.body
    return Request(request.method, url, request.redirect, headers, body)


def _split(url: str) -> tuple[str, str | None] | None:
    """Return the URL without a user, and that user as a header, as Deno does; None: not of HTTP."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return parts._replace(fragment="").geturl(), None
    name, _, password = user.partition(":")
    plain = f"{unquote(name)}:{unquote(password)}".encode()
    credentials = f"Basic {base64.b64encode(plain).decode('ascii')}"
    return parts._replace(netloc=host, fragment="").geturl(), credentials


def _target(url: str, location: str) -> str | Refusal:
    try:
        # Bytes beyond ASCII were read as Latin-1; most of those who send any mean UTF-8.
        text = location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        text = location
    try:
        joined = urljoin(url, text)
    except ValueError:
        return Refusal("the request failed: it was redirected to something that is no URL")
    parts = _split(joined)
    if parts is None:
        return Refusal("the request failed: it was redirected to something that is not of HTTP")
    if parts[1] is not None:
        return Refusal("the request failed: it was redirected to a URL with a user or password")
    return parts[0]


def _becomes_get(status: int, method: str) -> bool:
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in (301, 302) and method == "POST"


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    default = ":443" if parts.scheme == "https" else ":80"
    return parts.scheme, parts.netloc.lower().removesuffix(default)


def _without(
    headers: tuple[tuple[str, str], ...], names: frozenset[str]
) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers if name.lower() not in names)


def _answer(reply: Reply, url: str, *, redirected: bool) -> Answer:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = ""
    headers = tuple(
        (name, value) for name, value in reply.headers.items() if _is_valid(name, value)
    )
    return Answer(reply.status, phrase, url, redirected, headers, reply.body, reply.truncated)


def _is_valid(name: str, value: str) -> bool:
    """Whether ``Headers`` takes it: one that it does not take would fail the whole answer."""
    token = name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()
    return token and not any(character in "\r\n\0" or character > "\xff" for character in value)


def _without_addresses(failure: Failure, url: str) -> str:
    """Say what failed. What the guard found out about a name is not the script's to know."""
    if failure.kind is FailureKind.REFUSED and not failure.detail.startswith(
        ("a header", "the URL")
    ):
        host = urlsplit(url).hostname or "the host"
        return f"{host} may not be called from here"
    return failure.detail
