"""Answers that were compressed on the way, decompressed within bounds."""

import zlib

_ZLIB, _RAW, _GZIP = zlib.MAX_WBITS, -zlib.MAX_WBITS, zlib.MAX_WBITS | 16


class Unreadable(Exception):
    """The body is damaged, or compressed in a way that we do not know."""


class Inflater:
    """One compressed body, in the codings that ``Content-Encoding`` names (RFC 9110 §8.4.1)."""

    def __init__(self, codings: str) -> None:
        self._coding = codings
        self._beginning = b""
        self._stream: zlib._Decompress | None = None

    def feed(self, chunk: bytes, most: int) -> bytes:
        """Return what ``chunk`` adds, at most ``most`` bytes (1 and up); what is beyond is lost."""
        if self._stream is None:
            self._beginning = chunk = self._beginning + chunk
            if len(chunk) < 2:
                return b""
            self._stream = zlib.decompressobj(self._form())
        try:
            found = self._stream.decompress(chunk, most)
        except zlib.error:
            raise Unreadable from None
        if self._stream.unused_data:  # or a second body: but who would send one?
            raise Unreadable
        return found

    @property
    def is_cut_off(self) -> bool:
        """Whether the body has begun and not ended."""
        return bool(self._beginning) and not (self._stream and self._stream.eof)

    def _form(self) -> int:
        if self._coding in ("gzip", "x-gzip"):
            return _GZIP
        if self._coding != "deflate":
            raise Unreadable
        # "deflate" is zlib's form, but some send the bare stream.
        first, second = self._beginning[:2]
        return _ZLIB if first & 15 == 8 and (first << 8 | second) % 31 == 0 else _RAW
