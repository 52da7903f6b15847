"""Request headers: which a caller may set, and how each client wants them told."""

import re
from collections.abc import Sequence

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
REPEATABLE_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT"})
"""They may be sent again unasked (RFC 9110 §9.2.2)."""
USER_AGENT, REPEATABLE, _ACCEPT, _ACCEPT_ENCODING, _CONTENT_TYPE = 1, 2, 4, 8, 16
_MEANING = {
    "accept": _ACCEPT,
    "accept-encoding": _ACCEPT_ENCODING,
    "content-type": _CONTENT_TYPE,
    "user-agent": USER_AGENT,
    "idempotency-key": REPEATABLE,
    "webhook-id": REPEATABLE,
}
_OURS = frozenset(
    [
        *("connection", "content-length", "expect", "host", "http2-settings", "keep-alive"),
        *("proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding"),
        "upgrade",
    ]
)
"""What frames a message belongs to the client: a wrong one would let one caller's request end in
the middle of the next one's, on a connection that both use."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REMEMBERED = 1024
_meanings: dict[str, int] = {}
"""By name as callers spell it: looking up is an eighth of the price of checking."""
_EXPECT_ABOVE = 1_000_000
"""libcurl asks before it sends a body of 1 MiB."""


def request_lines(
    headers: Sequence[tuple[str, str]], method: str, body_length: int
) -> tuple[list[str], bool]:
    """Return libcurl's header lines, and whether the request may be repeated unasked.

    ValueError: a header is malformed, or is not the caller's to set.
    """
    lines, seen = [], 0
    for name, value in headers:
        meaning = _meanings.get(name)
        seen |= _learn(name) if meaning is None else meaning
        # "Name:" would tell libcurl to leave the header out.
        lines.append(f"{name}: {value}" if value.strip() else f"{name};")
    joined = "".join(lines)
    if "\n" in joined or "\r" in joined or "\0" in joined or not joined.isascii():
        raise _malformed()
    # What libcurl would add of its own.
    if not seen & _ACCEPT:
        lines.append("Accept:")
    if not seen & _ACCEPT_ENCODING:
        lines.append("Accept-Encoding:")
    if not seen & _CONTENT_TYPE:
        lines.append("Content-Type:")
    if body_length > _EXPECT_ABOVE:
        lines.append("Expect:")
    return lines, method in REPEATABLE_METHODS or bool(seen & REPEATABLE)


def header_block(headers: Sequence[tuple[str, str]]) -> tuple[str, int]:
    """Return the headers as they are sent, and which of ``USER_AGENT | REPEATABLE`` are there.

    ValueError: a header is malformed, or is not the caller's to set.
    """
    lines, seen = [], 0
    for name, value in headers:
        meaning = _meanings.get(name)
        seen |= _learn(name) if meaning is None else meaning
        lines.append(f"{name}: {value}\r\n" if value else f"{name}:\r\n")
    block, count = "".join(lines), len(lines)
    whole = block.count("\n") == count and block.count("\r") == count and "\0" not in block
    if not whole or not block.isascii():
        raise _malformed()
    return block, seen


def is_settable(name: str) -> bool:
    """Whether this is a header's name, and one that a caller may set."""
    return _TOKEN.fullmatch(name) is not None and name.lower() not in _OURS


def _malformed() -> ValueError:
    return ValueError("a header's value contains a line break or a non-ASCII character")


def _learn(name: str) -> int:
    """Check a header's name, and remember what it means."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no header name")
    lowered = name.lower()
    if lowered in _OURS:
        raise ValueError(f"the header {name} is set by the client itself")
    if len(_meanings) >= _REMEMBERED:
        _meanings.clear()
    return _meanings.setdefault(name, _MEANING.get(lowered, 0))
