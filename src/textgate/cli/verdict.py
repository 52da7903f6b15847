"""Is this webhook call genuine? Both signature schemes, checked as a receiver should."""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from textgate.domain import signing

TOLERANCE_S = 300
"""How far the time of a call may be from ours (the receiver recipe of A §4.5)."""


class Finding(StrEnum):
    """What came out of checking one signature."""

    GOOD = "ok"
    BAD = "bad"
    STALE = "stale"
    MISSING = "missing"
    UNCHECKED = "unchecked"


def plain_secret(secret: str) -> str:
    """The secret itself, whether it was given plain or in the ``whsec_`` form; ValueError."""
    coded = secret.removeprefix("whsec_")
    if coded == secret:
        return secret
    try:
        return base64.b64decode(coded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("whsec_ must be followed by base64") from None


def timestamped(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now_s: float
) -> Finding:
    """``X-Signature`` over the body and ``X-Timestamp``."""
    if not secrets:
        return Finding.UNCHECKED
    given, at = headers.get("x-signature"), headers.get("x-timestamp")
    if given is None or at is None:
        return Finding.MISSING
    return _judge(
        at,
        [given.strip().lower()],
        lambda secret, seconds: signing.timestamped_hex(secret, body, seconds),
        secrets,
        now_s,
    )


def standard(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now_s: float
) -> Finding:
    """``webhook-signature`` of Standard Webhooks; during a rotation it holds several."""
    if not secrets:
        return Finding.UNCHECKED
    given, at = headers.get("webhook-signature"), headers.get("webhook-timestamp")
    event_id = headers.get("webhook-id")
    if given is None or at is None or event_id is None:
        return Finding.MISSING
    return _judge(
        at,
        given.split(),
        lambda secret, seconds: signing.standard_webhooks(secret, event_id, seconds, body),
        secrets,
        now_s,
    )


def _judge(
    at: str,
    given: Sequence[str],
    sign: Callable[[str, int], str],
    secrets: Sequence[str],
    now_s: float,
) -> Finding:
    if not (at.isascii() and at.isdecimal() and len(at) <= 12):
        return Finding.BAD
    good = False
    for secret in secrets:
        wanted = sign(secret, int(at)).encode()
        for one in given:
            good |= hmac.compare_digest(wanted, one.encode())
    if not good:
        return Finding.BAD
    return Finding.GOOD if abs(now_s - int(at)) <= TOLERANCE_S else Finding.STALE
