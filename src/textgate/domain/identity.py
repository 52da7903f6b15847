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
