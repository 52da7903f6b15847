"""Answers that a far side may give: good, odd, broken and hostile, and what each must end as."""

import gzip
import zlib
from dataclasses import dataclass
from typing import Any

from textgate.outbound.reply import BODY_LIMIT

CODE = b'{"code":"ok"}'
FULL = b"x" * BODY_LIMIT


@dataclass(frozen=True)
class Case:
    name: str
    answer: bytes
    body: bytes | None = None
    """What comes back; None: nothing, the call has failed."""
    says: str = ""
    """How the failure's sentence goes on after the place."""
    status: int = 200
    truncated: bool = False
    kept: bool = False
    """The connection serves the next call too."""
    then: str = "waits"
    """What the far side does after its answer: waits, closes, resets."""
    method: str = "POST"

    def __str__(self) -> str:
        return self.name


def head(*headers: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *headers, "\r\n"]).encode("latin-1")


def sized(body: bytes, *headers: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *headers) + body


def chunked(body: bytes, *headers: str) -> bytes:
    return head("Transfer-Encoding: chunked", *headers) + body


def packed(body: bytes, coding: str = "gzip") -> bytes:
    return sized(body, f"Content-Encoding: {coding}")


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def stays(name: str, answer: bytes, body: bytes = b"ok", **more: Any) -> Case:
    """The answer is fine and so is the connection."""
    return Case(name, answer, body, kept=True, **more)


def goes(name: str, answer: bytes, body: bytes = b"ok", **more: Any) -> Case:
    """The answer is fine, and the last of its connection."""
    return Case(name, answer, body, **more)


def fails(says: str, name: str, answer: bytes, then: str = "waits") -> Case:
    """There is no answer."""
    return Case(name, answer, says=says, then=then)


NOT_HTTP = "did not answer in HTTP"
BROKE_OFF = "broke off in the middle of the answer"
NOTHING = "closed the connection without an answer"
UNREADABLE = "sent an answer that cannot be decompressed"
ENDLESS = "sent an answer that does not end"
TOO_MUCH = "sent more than 64 KiB of headers"

GOOD = [
    stays("a length", sized(b"ok")),
    stays("a length of none", sized(b""), b""),
    stays("chunks", chunked(b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n")),
    stays(
        "chunks with extensions and trailers",
        chunked(b'2;a="b"\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Encoding: gzip\r\n\r\n'),
    ),
    stays("chunks said twice", chunked(b"2\r\nok\r\n0\r\n\r\n", "Transfer-Encoding: Chunked")),
    stays("very many chunks", chunked(b"1\r\nx\r\n" * BODY_LIMIT + b"0\r\n\r\n"), FULL),
    stays("no body", head(status="204 No Content"), b"", status=204),
    stays("not modified", head("Content-Length: 9", status="304 x"), b"", status=304),
    stays("no reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    stays("empty lines first", b"\r\n\r\n" + sized(b"ok")),
    stays("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    stays("an unheard-of status", head("Content-Length: 0", status="999 x"), b"", status=999),
    stays(
        "interim ones first", head(status="100 x") + head("Link: x", status="103 x") + sized(b"ok")
    ),
    stays("an interim one with a length", head("Content-Length: 5", status="100 x") + sized(b"ok")),
    goes("until the end", head() + b"ok", then="closes"),
    goes("until the end, empty", head(), b"", then="closes"),
    goes("the last", sized(b"ok", "Connection: close")),
    goes("the last, in a list", sized(b"ok", "Connection: x, Close")),
    goes("version 1.0", head("Content-Length: 2", version="1.0") + b"ok"),
    stays(
        "1.0 that stays", head("Content-Length: 2", "Connection: keep-alive", version="1.0") + b"ok"
    ),
    stays("HEAD", head("Content-Length: 999"), b"", method="HEAD"),
    stays("HEAD, chunks", head("Transfer-Encoding: chunked"), b"", method="HEAD"),
    goes("HEAD, with a body all the same", sized(b"ok"), b"", method="HEAD"),
    goes("HEAD, the last", head("Content-Length: 9", "Connection: close"), b"", method="HEAD"),
]

MORE_THAN_WANTED = [
    goes("a second answer", sized(b"ok") + sized(b"evil")),
    goes("half a second answer", sized(b"ok") + b"HTTP/1.1 2"),
    goes("one more letter", sized(b"ok") + b"H"),
    goes("more body", sized(b"ok") + b"evil"),
    goes("more chunks", chunked(b"2\r\nok\r\n0\r\n\r\n0\r\n\r\n")),
    goes("no body and more", head(status="204 x") + sized(b"evil"), b"", status=204),
    goes(
        "a body that must not be",
        head("Content-Length: 4", status="304 x") + b"evil",
        b"",
        status=304,
    ),
    goes("the last, and a second one", sized(b"ok", "Connection: close") + sized(b"evil")),
    goes("larger than is read", sized(FULL + b"y"), FULL, truncated=True),
    goes("a huge chunk", chunked(b"ffffff\r\n" + FULL * 2), FULL, truncated=True),
    goes("until the end, too long", head() + FULL * 2, FULL, truncated=True, then="closes"),
]

PACKED = [
    stays("gzip", packed(gzip.compress(CODE)), CODE),
    stays("GZIP", sized(gzip.compress(CODE), "CONTENT-ENCODING: GZip"), CODE),
    stays("x-gzip", packed(gzip.compress(CODE), "identity, x-gzip"), CODE),
    stays("deflate", packed(zlib.compress(CODE), "deflate"), CODE),
    stays("bare deflate", packed(bare_deflate(CODE), "deflate"), CODE),
    goes(
        "gzip until the end",
        head("Content-Encoding: gzip") + gzip.compress(CODE),
        CODE,
        then="closes",
    ),
    stays("identity", packed(CODE, "identity"), CODE),
    stays("gzip of no body", packed(b""), b""),
    goes("a bomb", packed(gzip.compress(b"x" * 50_000_000)), FULL, truncated=True),
    stays("gzip of just what is read", packed(gzip.compress(FULL)), FULL),
    fails(UNREADABLE, "no gzip", packed(b"nope")),
    fails(UNREADABLE, "no deflate", packed(b"\xff\xff\xff\xff", "deflate")),
    fails(UNREADABLE, "gzip cut off", packed(gzip.compress(CODE)[:-9])),
    fails(
        UNREADABLE,
        "gzip cut off at the end",
        head("Content-Encoding: gzip") + gzip.compress(CODE)[:-9],
        then="closes",
    ),
    fails(UNREADABLE, "one byte of deflate", packed(b"\x78", "deflate")),
    fails(UNREADABLE, "gzip and more", packed(gzip.compress(CODE) + b"evil")),
    fails(UNREADABLE, "gzip twice", packed(gzip.compress(gzip.compress(CODE)), "gzip, gzip")),
    fails(UNREADABLE, "an unknown coding", packed(b"whatever", "br")),
]

TWO_MEANINGS = [
    fails(NOT_HTTP, "two lengths", sized(b"ok", "Content-Length: 4")),
    fails(NOT_HTTP, "the same length twice", sized(b"ok", "Content-Length: 2")),
    fails(NOT_HTTP, "a list of lengths", head("Content-Length: 2, 2") + b"ok"),
    fails(NOT_HTTP, "a length, then chunks", sized(b"0\r\n\r\n", "Transfer-Encoding: chunked")),
    fails(NOT_HTTP, "chunks, then a length", chunked(b"0\r\n\r\n", "Content-Length: 5")),
    fails(NOT_HTTP, "identity and a length", sized(b"ok", "Transfer-Encoding: identity")),
    fails(BROKE_OFF, "an unasked coding", head("Transfer-Encoding: gzip") + b"ok", "closes"),
    fails(BROKE_OFF, "coded chunks", chunked(b"2\r\nok", "Transfer-Encoding: gzip"), "closes"),
    fails(NOT_HTTP, "a blank before the colon", head("Content-Length : 2") + b"ok"),
    fails(NOT_HTTP, "a folded header", sized(b"ok", "X-A: b\r\n c")),
    fails(NOT_HTTP, "a header without a colon", sized(b"ok", "X-A")),
    fails(NOT_HTTP, "NUL in a header", sized(b"ok", "X-A: b\0c")),
    fails(NOT_HTTP, "NUL in a name", sized(b"ok", "X\0A: b")),
    fails(NOT_HTTP, "a bare carriage return", sized(b"ok", "X-A: b\rX-B: c")),
    fails(NOT_HTTP, "NULs", b"\0" * 99),
]

MALFORMED = [
    fails(NOTHING, "nothing", b"", "closes"),
    fails(NOTHING, "nothing, reset", b"", "resets"),
    fails(NOT_HTTP, "another protocol", b"220 mail.example ESMTP\r\n"),
    fails(NOT_HTTP, "an alert of TLS", b"\x15\x03\x01\0\x02\x02\x46"),
    fails(NOT_HTTP, "an old radio", b"ICY 200 OK\r\n\r\n"),
    fails(NOT_HTTP, "version 1.2", head(version="1.2")),
    fails(NOT_HTTP, "a status of two digits", head(status="20 OK")),
    fails(NOT_HTTP, "a status of four digits", head(status="2000 OK")),
    fails(NOT_HTTP, "a status below 100", head(status="099 OK")),
    fails(NOT_HTTP, "a status of letters", head(status="abc OK")),
    fails(NOT_HTTP, "a negative length", head("Content-Length: -1")),
    fails(NOT_HTTP, "a signed length", head("Content-Length: +2") + b"ok"),
    fails(NOT_HTTP, "a length of letters", head("Content-Length: 0x2") + b"ok"),
    fails(NOT_HTTP, "no length", head("Content-Length:") + b"ok"),
    fails(NOT_HTTP, "a length beyond counting", head("Content-Length: 99999999999999999999")),
    fails(NOT_HTTP, "a chunk of letters", chunked(b"zz\r\n")),
    fails(NOT_HTTP, "a chunk of negative size", chunked(b"-2\r\nok\r\n")),
    fails(NOT_HTTP, "a chunk beyond counting", chunked(b"f" * 17 + b"\r\n")),
    fails(NOT_HTTP, "a chunk longer than it says", chunked(b"1\r\nok\r\n0\r\n\r\n")),
    fails(
        NOT_HTTP,
        "another protocol unasked",
        head("Upgrade: x", "Connection: upgrade", status="101 x"),
    ),
    fails(BROKE_OFF, "cut off in the status line", b"HTTP/1.1 20", "closes"),
    fails(BROKE_OFF, "cut off in the headers", b"HTTP/1.1 200 OK\r\nX-A", "closes"),
    fails(BROKE_OFF, "cut off in the body", head("Content-Length: 9") + b"abc", "closes"),
    fails(BROKE_OFF, "cut off between chunks", chunked(b"2\r\nok\r\n"), "closes"),
    fails(BROKE_OFF, "cut off after an interim one", head(status="100 x"), "closes"),
    fails(BROKE_OFF, "reset in the headers", b"HTTP/1.1 200 OK\r\nX-A", "resets"),
    fails(BROKE_OFF, "reset in the body", head("Content-Length: 9") + b"abc", "resets"),
    fails(BROKE_OFF, "reset instead of the end", head() + b"abc", "resets"),
    fails(TOO_MUCH, "a very long header", head("X-A: " + "y" * 400_000)),
    fails(TOO_MUCH, "very many headers", head(*["X-A: y"] * 40_000)),
    fails(TOO_MUCH, "interim ones without end", head(status="100 x") * 20_000),
    fails(TOO_MUCH, "empty lines without end", b"\r\n" * 40_000),
    fails(ENDLESS, "an extension without end", chunked(b"2;" + b"x" * 2_000_000)),
    fails(ENDLESS, "a trailer without end", chunked(b"0\r\n" + b"X-A: y\r\n" * 200_000)),
]

CASES = [*GOOD, *MORE_THAN_WANTED, *PACKED, *TWO_MEANINGS, *MALFORMED]
