"""Reading a URL so strictly that no two programs can read it differently."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import quote

import idna

from textgate.domain.errors import Invalid
from textgate.outbound.ranges import Address, numeric_host

MAX_LENGTH = 2048
_DEFAULT_PORT = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_KEPT = "/?&=%:@!$'()*+,;-._~[]"


@dataclass(frozen=True, slots=True)
class Url:
    """A checked URL. ``text`` is its normal form and what is dialled; it has no fragment."""

    text: str
    scheme: str
    host: str
    """Lower case, in ASCII (punycode), without the dot at the end; IPv6 without brackets."""
    port: int
    address: Address | None
    """What the host is, if it is no name."""

    @property
    def place(self) -> str:
        """``host:port``, for messages: unlike ``text`` it holds no secret."""
        return f"{_bracketed(self.host)}:{self.port}"


def parse_url(url: str) -> Url:
    """Read an http or https URL; Invalid says which rule it breaks."""
    if len(url) > MAX_LENGTH:
        raise _wrong(f"the URL is longer than {MAX_LENGTH} characters")
    if not url.isprintable() or " " in url:
        raise _wrong("the URL contains a space or a control character")
    found = _URL.fullmatch(url)
    if found is None:
        raise _wrong("the URL must begin with https:// or http://")
    scheme, authority, target = found[1].lower(), found[2], found[3]
    if "@" in authority:
        raise _wrong("the URL contains a user name or password; put credentials into a header")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise _wrong("the URL's host or port is malformed")
    host, address = _host(parts[1])
    port = int(parts[2] or _DEFAULT_PORT[scheme])
    if not 1 <= port <= 65535:
        raise _wrong("the URL's port is not between 1 and 65535")
    place = _bracketed(host) if port == _DEFAULT_PORT[scheme] else f"{_bracketed(host)}:{port}"
    path = quote(target if target.startswith("/") else "/" + target, safe=_KEPT)
    return Url(f"{scheme}://{place}{path}", scheme, host, port, address)


def normal_name(name: str) -> str:
    """Return a host name's one spelling (see ``Url.host``); ValueError if it is no host name."""
    if not name.isascii():
        # UTS 46 as browsers do it: it also folds full-width digits and ideographic dots.
        name = idna.encode(name, uts46=True).decode("ascii")
    name = name.lower().removesuffix(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError(name)
    return name


def _host(text: str) -> tuple[str, Address | None]:
    if not text:
        raise _wrong("the URL has no host")
    try:
        if text.startswith("["):
            literal = IPv6Address(text[1:-1])
            if literal.scope_id is not None:
                raise _wrong("the URL's address names a network interface")
            return str(literal), literal
        name = normal_name(text)
    except ValueError:
        raise _wrong("the URL's host is no valid host name") from None
    try:
        number = numeric_host(name)
    except ValueError:
        raise _wrong("the URL's host is neither a name nor an IP address") from None
    return (name, None) if number is None else (str(number), number)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _wrong(message: str) -> Invalid:
    return Invalid(message, field="url")
