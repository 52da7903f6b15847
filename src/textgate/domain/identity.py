"""Ids of ours: 21 characters of ``A-Za-z0-9_-`` (A §1.3) that sort by time as plain ASCII text."""

from base64 import b64decode, b64encode

LENGTH = 21
ENTROPY_BYTES = 10
_ENTROPY_BITS = 8 * ENTROPY_BYTES
_LEAST_STEP = 4
"""The last two bits are not in the text."""
_STEP_BYTES = 5
_FIRST = 11 << 42
"""Added to the time, so that an id begins with a letter: one that begins with - looks like an
option on a command line."""
LATEST_MS = (1 << 48) - 1 - _FIRST
"""Times after it (in the 94th century) count as this one."""
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SORTED = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_TO_SORTED = bytes.maketrans(_BASE64, _SORTED)
_TO_BASE64 = bytes.maketrans(_SORTED, _BASE64)
_IN_OURS = frozenset(_SORTED.decode("ascii"))


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of an id of ours; whether it was ever given is not known."""
    return len(text) == LENGTH and _IN_OURS.issuperset(text)


def make_id(now_ms: int, entropy: bytes) -> str:
    """Return an id: 48 bits of time, then 78 of the 80 bits of ``entropy`` (10 bytes)."""
    return _text((min(now_ms, LATEST_MS) << _ENTROPY_BITS) + int.from_bytes(entropy))


def make_next_id(last: int, now_ms: int, entropy: bytes) -> tuple[int, str]:
    """Return an id after ``last``, and the number that is ``last`` for the next (at first 0).

    In the same millisecond, or when the clock went back, it goes on from the last one by a random
    step: taking the next millisecond instead would let the ids run ahead of the clock under load.
    """
    number = (now_ms << _ENTROPY_BITS) + int.from_bytes(entropy)
    if number <= last:
        number = last + _LEAST_STEP + int.from_bytes(entropy[:_STEP_BYTES])
    return number, _text(number)


def number_of(made: str) -> int:
    """Return the number of an id that was made here: the ``last`` for those to come after it."""
    raw = b64decode(made.encode().translate(_TO_BASE64) + b"A==", validate=True)
    return int.from_bytes(raw) - (_FIRST << _ENTROPY_BITS) + _LEAST_STEP - 1


def _text(number: int) -> str:
    raw = (number + (_FIRST << _ENTROPY_BITS)).to_bytes(6 + ENTROPY_BYTES)
    return b64encode(raw)[:LENGTH].translate(_TO_SORTED).decode("ascii")
