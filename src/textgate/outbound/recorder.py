"""Watches calls to the outside, so that a person can read what was said, without the secrets."""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from textgate.domain.redaction import Redaction
from textgate.outbound.http import Failure, FailureKind, Http, Reply

MAX_EXCHANGES = 20
"""Calls beyond it are made, and not recorded."""
MAX_BODY = 16 * 1024
"""Characters of a body that are kept."""
MAX_URL = 2 * 1024
MASK = "********"

_SENSITIVE = re.compile(
    r"authorization|cookie|signature|token|secret|password|credential|api-?key", re.IGNORECASE
)


class SentRequest(msgspec.Struct):
    """A request as it was handed over; ``Host``, ``Content-Length`` and ``User-Agent`` are added
    on the way out."""

    method: str
    url: str
    headers: dict[str, str]
    """What signs, and what lets somebody in, is masked."""
    body: str
    body_cut: bool
    """There was more of it than is shown."""
    sent: bool = False
    """A byte of it may have left."""


class ReceivedAnswer(msgspec.Struct):
    """An answer as it came in."""

    status: int
    headers: dict[str, str]
    body: str
    body_cut: bool
    elapsed_ms: float


class MissingAnswer(msgspec.Struct):
    """Why no answer came."""

    kind: FailureKind
    detail: str
    elapsed_ms: float


class Exchange(msgspec.Struct):
    """One call. Without answer and failure it was given up while it was under way."""

    request: SentRequest
    answer: ReceivedAnswer | None = None
    failure: MissingAnswer | None = None


class Recorder:
    """An ``Http`` that remembers what goes through it, without ``secrets`` wherever they are."""

    def __init__(self, http: Http, secrets: Iterable[str] = ()) -> None:
        self.exchanges: list[Exchange] = []
        """In the order in which they began."""
        self.left_out = 0
        """Calls that were made and not recorded."""
        self._http, self._hide = http, Redaction((), secrets).without_secrets

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - not a scope: the client's own limit
        keep_headers: bool = False,
    ) -> Reply | Failure:
        """Make the call as :class:`HttpClient` does, and write it down."""
        exchange = self._begin(method, url, headers, body)
        came = await self._http.request(
            method, url, headers=headers, body=body, timeout=timeout, keep_headers=True
        )
        if isinstance(came, Failure):
            exchange.request.sent = came.sent
            detail, ms = self._hide(came.detail), round(came.elapsed_ms, 3)
            exchange.failure = MissingAnswer(came.kind, detail, ms)
            return came
        shown, cut = self._body(came.body)
        exchange.request.sent = True
        exchange.answer = ReceivedAnswer(
            came.status,
            self._headers(came.headers),
            shown,
            cut or came.truncated,
            round(came.elapsed_ms, 3),
        )
        return came if keep_headers else msgspec.structs.replace(came, headers={})

    def _begin(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Exchange:
        shown, cut = self._body(body)
        joined: dict[str, str] = {}
        for name, value in headers:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        request = SentRequest(method, self._hide(url)[:MAX_URL], self._headers(joined), shown, cut)
        exchange = Exchange(request)
        if len(self.exchanges) < MAX_EXCHANGES:
            self.exchanges.append(exchange)
        else:
            self.left_out += 1
        return exchange

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            name: MASK if _SENSITIVE.search(name) else self._hide(value)
            for name, value in headers.items()
        }

    def _body(self, body: bytes) -> tuple[str, bool]:
        # Hidden first: the cut could leave half of a secret, which nobody would know any more.
        text = self._hide(body.decode("utf-8", "replace"))
        return text[:MAX_BODY], len(text) > MAX_BODY
