"""Frames: how the host and the runner speak (``runner/wire.ts`` has the layout).

What comes from the runner is read as if an enemy had written it: it may have.
"""

import hmac
import secrets
import struct
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

SECRET_LENGTH = 32
LONGEST_BODY = 1024 * 1024
"""Bytes of a request's body, or of a result."""
LONGEST = LONGEST_BODY + 256 * 1024
"""Bytes of a frame from the runner."""

Number = Annotated[int, Meta(ge=0, le=2**53)]
Text = Annotated[str, Meta(max_length=20_000)]
Level = Literal["log", "info", "warn", "error", "debug"]
Header = tuple[Annotated[str, Meta(max_length=256)], Annotated[str, Meta(max_length=16_384)]]


class BadFrame(Exception):
    """Not what the runner says. The text says why, for the log."""


class _Told(Struct, tag_field="t", forbid_unknown_fields=True):
    """A frame from the runner."""


class Ready(_Told, tag="ready"):
    """The realm is prepared; nothing of the script has run."""


class Pong(_Told, tag="pong"):
    n: Number


class Value(_Told, tag="value"):
    """The body is the result, as JSON."""

    id: Number


class Nothing(_Told, tag="nothing"):
    """The result has no JSON."""

    id: Number


class Failed(_Told, tag="threw"):
    id: Number
    message: Text
    stack: Text


class Unloaded(_Told, tag="unloaded"):
    """The module could not be loaded, or has no function to call."""

    id: Number
    message: Text
    stack: Text


class Entered(_Told, tag="at"):
    """Code of this call runs from now on, and the calls are several."""

    id: Number


class Printed(_Told, tag="console"):
    id: Number
    level: Level
    text: Text


class Cut(_Told, tag="cut"):
    """More was printed than is told."""

    id: Number


class Wanted(_Told, tag="fetch"):
    """A request; its body is the frame's."""

    id: Number
    fetch: Number
    method: Annotated[str, Meta(max_length=32)]
    url: Annotated[str, Meta(max_length=16_384)]
    redirect: Literal["follow", "error", "manual"]
    headers: Annotated[tuple[Header, ...], Meta(max_length=128)]


class Abort(_Told, tag="abort"):
    id: Number
    fetch: Number


Told = Ready | Pong | Value | Nothing | Failed | Unloaded | Entered | Printed | Cut | Wanted | Abort
_DECODER = msgspec.json.Decoder(Told)
_LENGTH = struct.Struct(">I")


class Reader:
    """Reads frames out of the bytes of a pipe. ``secret`` is what each must begin with."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Told, bytes]]:
        """Return each frame that is complete now, and its body. Raises BadFrame."""
        self._buffer += data
        at, held = 0, self._buffer
        try:
            while len(held) - at >= 4:
                (length,) = _LENGTH.unpack_from(held, at)
                if not SECRET_LENGTH + 4 <= length <= LONGEST:
                    raise BadFrame(f"a frame of {length} bytes")
                if len(held) - at - 4 < length:
                    return
                frame = bytes(held[at + 4 : at + 4 + length])
                at += 4 + length
                yield self._read(frame)
        finally:
            del held[:at]

    def _read(self, frame: bytes) -> tuple[Told, bytes]:
        if not hmac.compare_digest(frame[:SECRET_LENGTH], self._secret):
            raise BadFrame("a frame without the secret")
        (length,) = _LENGTH.unpack_from(frame, SECRET_LENGTH)
        start = SECRET_LENGTH + 4
        if length > len(frame) - start:
            raise BadFrame("a head that is longer than its frame")
        try:
            head = _DECODER.decode(frame[start : start + length])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadFrame(f"a head that cannot be read: {error}") from None
        body = frame[start + length :]
        if body and not isinstance(head, Value | Wanted):
            raise BadFrame("a body where there is none")
        return head, body


def new_secret() -> str:
    """Return what the frames of one process begin with."""
    return secrets.token_hex(SECRET_LENGTH // 2)


def frame(head: dict[str, object], body: bytes = b"") -> bytes:
    """Return a frame for the runner."""
    encoded = msgspec.json.encode(head)
    size = 4 + len(encoded) + len(body)
    return b"".join((_LENGTH.pack(size), _LENGTH.pack(len(encoded)), encoded, body))
