"""Ids of ours: 21 characters of ``A-Za-z0-9_-`` (A §1.3) that sort by time as plain ASCII text."""

from base64 import b64encode

LENGTH = 21
ENTROPY_BYTES = 10
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SORTED = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_TABLE = bytes.maketrans(_BASE64, _SORTED)


def make_id(now_ms: int, entropy: bytes) -> str:
    """Return an id: 48 bits of time, then 78 of the 80 bits of ``entropy`` (10 bytes)."""
    raw = now_ms.to_bytes(6, "big") + entropy
    return b64encode(raw)[:LENGTH].translate(_TABLE).decode("ascii")


def make_next_id(last: int, now_ms: int, entropy: bytes) -> tuple[int, str]:
    """Return an id after ``last``, and the number that is ``last`` for the next (at first 0).

    In the same millisecond it goes on from the last one by a random step: taking the next
    millisecond instead would let the ids, and the clock that follows them, run ahead under load.
    """
    number = (now_ms << _ENTROPY_BITS) + int.from_bytes(entropy)
    if number <= last:
        number = last + _LEAST_STEP + int.from_bytes(entropy[:_STEP_BYTES])
    made = make_id(number >> _ENTROPY_BITS, (number & _ENTROPY).to_bytes(ENTROPY_BYTES))
    return number, made


_ENTROPY_BITS = 8 * ENTROPY_BYTES
_ENTROPY = (1 << _ENTROPY_BITS) - 1
_STEP_BYTES = 5
_LEAST_STEP = 4  # the last two bits are not in the text
