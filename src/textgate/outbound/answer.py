"""Reading an HTTP/1.1 answer out of the bytes of a connection, within bounds.

The grammar is llhttp's (RFC 9112), strict but for a line that ends in a bare line feed, which
§2.2 allows. It refuses what could be read in two ways: two lengths, a length beside a transfer
coding, folded headers, NULs.
"""

import contextlib
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from textgate.outbound.inflate import Inflater, Unreadable
from textgate.outbound.reply import BODY_LIMIT

HEAD_LIMIT = 65_536
"""Bytes of status line and headers, those of interim answers (1xx) included."""
_WIRE_LIMIT = 1_048_576
"""Bytes after the head. Chunks of one byte each make a body of 64 KiB six times as long, so an
answer beyond this is all frame and no content."""
_LONGEST_WAIT_S = 21_600

_NOT_HTTP = "did not answer in HTTP"
_UNREADABLE = "sent an answer that cannot be decompressed"


class Malformed(Exception):
    """No answer will come of this. The text says what the far side did."""


class _Enough(Exception):
    """Thrown through the parser to stop it."""


class Answer:
    """The answers of one connection, one after the other."""

    __slots__ = (
        "_chunks", "_head", "_inflater", "_keep_headers", "_parser",
        "_problem", "_size", "_to_head", "_wire", "complete", "headers", "keep", "retry_after",
        "status", "truncated",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = _parser(self)
        self.begin(to_head=False, keep_headers=False)

    def begin(self, *, to_head: bool, keep_headers: bool) -> None:
        """Expect the next answer; ``to_head``: the request was a HEAD."""
        self.status = 0  # until the headers are complete
        self.headers: dict[str, str] = {}
        self.retry_after: int | None = None
        self.complete = False
        self.truncated = False
        self.keep = False
        self._to_head = to_head
        self._keep_headers = keep_headers
        self._head: bytes | bytearray = b""
        self._chunks: list[bytes] = []
        self._size = 0
        self._wire = 0
        self._inflater: Inflater | None = None
        self._problem = _NOT_HTTP

    def close(self) -> None:
        """Let go of the parser, which holds on to this; nothing may be called any more."""
        del self._parser

    @property
    def has_begun(self) -> bool:
        """Whether a byte of it came."""
        return bool(self._head)

    def take_body(self) -> bytes:
        """Return what came of it, decompressed, and keep nothing."""
        body = b"".join(self._chunks)
        self._head, self._chunks = b"", []
        return body

    def feed(self, data: bytes) -> bool:
        """Read on; return whether the answer is complete. May raise Malformed."""
        if self.status:
            self._wire += len(data)
            if self._wire > _WIRE_LIMIT:
                raise Malformed("sent an answer that does not end")
        elif not self._head and len(data) <= HEAD_LIMIT:
            self._head = data
        else:
            data = self._feed_head(data)
        self._parse(data)
        if self._to_head and self.status:
            self._end_at_head()
        return self.complete

    def _feed_head(self, data: bytes) -> bytes:
        """Read as much of ``data`` as a head may still be long; return what is left of it."""
        room = HEAD_LIMIT - len(self._head)
        if not isinstance(self._head, bytearray):
            self._head = bytearray(self._head)
        self._head += data[:room]
        if len(data) <= room:
            return data
        self._parse(data[:room])
        if not self.status:
            raise Malformed(f"sent more than {HEAD_LIMIT // 1024} KiB of headers")
        return data[room:]

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            # What comes after a complete answer spoils the connection and not the answer.
            self.keep = False
            if not self.complete:
                raise Malformed(self._problem) from None

    def _end_at_head(self) -> None:
        """End an answer to HEAD, whose headers may announce a body that does not follow."""
        self.complete, self.truncated = True, False
        self._chunks.clear()
        ends_there = self._head.find(b"\r\n\r\n") == len(self._head) - 4
        self.keep = self.keep and ends_there and len(self._head) < HEAD_LIMIT
        self._parser = _parser(self)

    def feed_end(self) -> bool:
        """The far side says no more; return whether that completes the answer (RFC 9112 §6.3,
        rule 8). May raise Malformed."""
        if not self.status:
            return False
        names = {name for name, _ in _Head(bytes(self._head)).headers}
        if "content-length" in names or "transfer-encoding" in names:
            return False
        if self._inflater is not None and self._inflater.is_cut_off:
            raise Malformed(_UNREADABLE)
        self.complete = True
        return True

    # What the parser calls. There is no on_header: headers are looked at when they matter, which
    # is rare, and each would cost a call.

    def on_message_begin(self) -> None:
        if self.complete:
            raise _Enough  # nobody asked for a second answer

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status < 100:
                raise _Enough
            return
        self.status = status
        if self._to_head:
            self.keep = self._parser.should_keep_alive()
        # A part of "content-encoding" is found faster than all of it, and is as rare.
        if self._keep_headers or status >= 300 or b"nt-enc" in self._head.lower():
            self._read_headers()

    def _read_headers(self) -> None:
        values: dict[str, list[str]] = {}
        for name, value in _Head(bytes(self._head)).headers:
            values.setdefault(name, []).append(value)
        if self._keep_headers:
            self.headers = {name: ", ".join(each) for name, each in values.items()}
        if self.status >= 300 and "retry-after" in values:
            self.retry_after = retry_after(values["retry-after"][-1])
        named = ",".join(values.get("content-encoding", ())).lower().split(",")
        codings = [coding for each in named if (coding := each.strip()) not in ("", "identity")]
        if codings:
            self._inflater = Inflater(",".join(codings))

    def on_body(self, chunk: bytes) -> None:
        room = BODY_LIMIT - self._size
        if self._inflater is not None:
            try:
                chunk = self._inflater.feed(chunk, room + 1)
            except Unreadable:
                self._problem = _UNREADABLE
                raise
        if len(chunk) <= room:
            self._size += len(chunk)
            self._chunks.append(chunk)
            return
        self._chunks.append(chunk[:room])
        self.complete = self.truncated = True
        raise _Enough

    def on_message_complete(self) -> None:
        if not self.status:
            return  # it was an interim one
        if self._inflater is not None and self._inflater.is_cut_off:
            self._problem = _UNREADABLE
            raise _Enough
        self.keep = self._parser.should_keep_alive()
        self.complete = True


def retry_after(value: str) -> int | None:
    """Read ``Retry-After`` (RFC 9110 §10.2.3): seconds, at most six hours; None if there is
    nothing to wait for."""
    if value.isascii() and value.isdigit():
        seconds = int(value[:9])
    else:
        try:
            then = parsedate_to_datetime(value)
        except ValueError:
            return None
        if then.tzinfo is None:  # "-0000", which is UTC too
            then = then.replace(tzinfo=UTC)
        seconds = math.ceil((then - datetime.now(UTC)).total_seconds())
    return min(seconds, _LONGEST_WAIT_S) if seconds > 0 else None


class _Head:
    """Collects the headers of the first answer that is no interim one."""

    def __init__(self, head: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self._is_over = False
        self._parser = _parser(self)
        with contextlib.suppress(HttpParserError, HttpParserUpgrade):
            self._parser.feed_data(head)  # it holds some of the body too, whole or not
        del self._parser

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_over:
            text = value.decode("latin-1").strip(" \t")
            self.headers.append((name.decode("ascii").lower(), text))

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self.headers.clear()
        else:
            self._is_over = True


def _parser(listener: object) -> HttpResponseParser:
    parser = HttpResponseParser(listener)
    parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
    return parser
