"""Signatures: of our event webhooks (two schemes side by side) and of Authgear's payloads."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def _prepared(secret: str) -> hmac.HMAC:
    return hmac.new(secret.encode(), digestmod="sha256")


def _mac(secret: str, data: bytes) -> hmac.HMAC:
    """HMAC-SHA256; what depends on the secret alone is done once, a third of the work."""
    mac = _prepared(secret).copy()
    mac.update(data)
    return mac


def timestamped_hex(secret: str, body: bytes, timestamp: int) -> str:
    """``X-Signature`` of SMS Gateway for Android (A §4.5): HMAC over the body, then the seconds."""
    return _mac(secret, body + str(timestamp).encode()).hexdigest()


def standard_webhooks(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """``webhook-signature`` of Standard Webhooks 1.0: ``v1,`` and the base64 of the HMAC.

    The key is the bytes of ``secret``; a library that wants the ``whsec_`` form gets
    :func:`standard_webhooks_secret`.
    """
    signed = b"%s.%d.%s" % (event_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(_mac(secret, signed).digest()).decode()


def standard_webhooks_secret(secret: str) -> str:
    """Return ``secret`` in the form that Standard Webhooks libraries take."""
    return "whsec_" + base64.b64encode(secret.encode()).decode()


def body_hex(secret: str, body: bytes) -> str:
    """``X-Authgear-Body-Signature`` (B §3.2): lower-case hex HMAC-SHA256 of the raw body."""
    return _mac(secret, body).hexdigest()


def verify_body_hex(secrets: Iterable[str], body: bytes, signature: str) -> bool:
    """Return whether any of the active ``secrets`` signed ``body``; constant time for each."""
    given = signature.strip().lower().encode()
    good = False
    for secret in secrets:
        good |= hmac.compare_digest(body_hex(secret, body).encode(), given)
    return good


def fingerprint(data: bytes) -> str:
    """A short, stable digest that tells two submissions apart (not a signature)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
