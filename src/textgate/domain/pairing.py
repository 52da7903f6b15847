"""How a phone is told where its server is, and with which one-time code it joins (A §3.4).

The app reads no QR code of its own, so ours holds a text that a person can copy: the address to
type into it, and the code behind ``#code=``. What follows ``#`` stays with who opens the address in
a browser; the server and its log never see it.
"""

from urllib.parse import parse_qs, urlsplit

import msgspec

from textgate.domain.errors import Invalid
from textgate.domain.times import Milliseconds

PATH = "/api/mobile/v1"
"""What the app wants behind the address of a server (A §1.2)."""
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
CODE_LENGTH = 6


class PairingCode(msgspec.Struct, frozen=True):
    """A one-time code: whoever has it adds one phone to an account."""

    code: str
    valid_until: Milliseconds


class Invitation(msgspec.Struct, frozen=True):
    """What a pairing text says."""

    server_url: str | None
    """The base of the device API, without a slash at the end; None: the text is a code alone."""
    code: str


def mobile_url(url: str) -> str:
    """Return what a person types into the app, for a server at ``url``."""
    return url + PATH


def pairing_text(server_url: str, code: str) -> str:
    """Return the text of the QR code; ``server_url`` is that of ``mobile_url``."""
    return f"{server_url}#code={code}"


def read_code(text: str) -> str | None:
    """Return a code as it is kept, whatever its case (A §3.4); None if it can be none."""
    code = text.strip().lower()
    return code if len(code) == CODE_LENGTH and not set(code) - set(ALPHABET) else None


def read_pairing_text(text: str) -> Invitation:
    """Read what ``pairing_text`` made, or a code alone. Raises ``Invalid``."""
    text = text.strip()
    if code := read_code(text):
        return Invitation(None, code)
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise Invalid("this is neither a one-time code nor the text of its QR code", field="code")
    code = read_code(parse_qs(parts.fragment).get("code", [""])[0])
    if code is None:
        raise Invalid("there is no one-time code behind #code= in it", field="code")
    return Invitation(parts._replace(query="", fragment="").geturl().rstrip("/"), code)
