"""How one setting is read: each reader returns the value, or raises ValueError with the rule.

A value comes from a TOML file (already typed), from the environment or from a flag (text), so each
reader takes any of these. The rule is the end of a sentence that begins with the setting's name.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Reader = Callable[[object], Any]

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LONGEST = timedelta(days=3650)


def duration(value: object) -> timedelta:
    """Read ``30d``, ``1h30m``, ``10s`` or plain seconds (at most ten years)."""
    match = _SPAN.fullmatch(str(value).strip().lower())
    if isinstance(value, bool) or match is None or not any(match.groups()):
        raise ValueError("must be a time such as 10s, 15m, 1h30m or 30d (a plain number: seconds)")
    seconds = sum(
        int(count or 0) * unit
        for count, unit in zip(match.groups(), _UNITS.values(), strict=True)
        if len(count or "") < 12
    )
    if any(len(count or "") >= 12 for count in match.groups()) or seconds > _LONGEST.days * 86400:
        raise ValueError("must be at most ten years")
    return timedelta(seconds=seconds)


def duration_text(span: timedelta) -> str:
    """Write whole seconds the way :func:`duration` reads them: ``1h30m``; zero is ``0s``."""
    left, parts = int(span.total_seconds()), ""
    for unit, seconds in _UNITS.items():
        count, left = divmod(left, seconds)
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"


def span(least: str, most: str) -> Reader:
    """A duration from ``least`` to ``most``."""

    def read(value: object) -> timedelta:
        found = duration(value)
        if not duration(least) <= found <= duration(most):
            raise ValueError(f"must be from {least} to {most}")
        return found

    return read


def text(value: object) -> str:
    """Any text that is not empty and has no control characters."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(
            "must be text (in a file: in quotes), not empty, without control characters"
        )
    return value


def secret(least_bytes: int) -> Reader:
    """A text of at least ``least_bytes`` bytes of UTF-8."""

    def read(value: object) -> str:
        if len(text(value).encode()) < least_bytes:
            raise ValueError(f"must have at least {least_bytes} bytes")
        return text(value)

    return read


def keys(least_bytes: int) -> Reader:
    """One or more secrets of at least ``least_bytes`` bytes, between blanks or commas."""
    each = secret(least_bytes)

    def read(value: object) -> str:
        given = text(value)
        parts = re.split(r"[\s,]+", given.strip(" ,"))
        try:
            return " ".join(each(part) for part in parts)
        except ValueError:
            raise ValueError(f"must have at least {least_bytes} bytes in each key") from None

    return read


def whole(least: int, most: int, what: str = "a whole number") -> Reader:
    """A whole number in a range."""

    def read(value: object) -> int:
        rule = f"must be {what} from {least} to {most}"
        if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,15}", str(value).strip()):
            raise ValueError(rule)
        if not least <= int(str(value)) <= most:
            raise ValueError(rule)
        return int(str(value))

    return read


def rate(value: object) -> float:
    """Messages a second; 0 is no limit."""
    if isinstance(value, bool) or not re.fullmatch(
        r"[0-9]{1,6}(\.[0-9]{1,6})?", str(value).strip()
    ):
        raise ValueError("must be a number of messages a second, such as 5 or 0.5 (0: no limit)")
    return float(str(value))


def share(value: object) -> float:
    """A part of something, up to a half."""
    written = str(value).strip()
    if not re.fullmatch(r"0(\.[0-9]{1,6})?", written) or float(written) > 0.5:
        raise ValueError("must be from 0 (none) to 0.5 (half of it, either way)")
    return float(written)


def choice(*allowed: str) -> Reader:
    """One of a few words."""

    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of: {', '.join(allowed)}")
        return str(value)

    return read


def yes_or_no(value: object) -> bool:
    """``true`` or ``false``."""
    written = str(value).strip().lower()
    if written not in ("true", "false"):
        raise ValueError("must be true or false")
    return written == "true"


def listed(one: Reader) -> Reader:
    """A list in TOML, or text with commas; each item is read by ``one``."""

    def read(value: object) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list (in the environment: separated by commas)")
        return tuple(one(item) for item in value)

    return read


def host(value: object) -> str:
    """An address or a name to listen on, without scheme and port."""
    name = text(value)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        labels = name.rstrip(".").split(".")
        if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdecimal():
            raise ValueError(
                "must be an IP address or a host name, without scheme or port"
            ) from None
    return name


def network(value: object) -> str:
    """An address or a CIDR, in its canonical form (``10.1.2.3/8`` becomes ``10.0.0.0/8``)."""
    try:
        found = ipaddress.ip_network(text(value), strict=False)
    except ValueError:
        raise ValueError(
            f"must hold addresses or CIDRs such as 10.0.0.0/8, not {value!r}"
        ) from None
    return str(found.network_address) if found.num_addresses == 1 else str(found)


def address(value: object) -> str:
    """A host name, an address or a CIDR that the guard understands."""
    from textgate.domain.errors import Invalid
    from textgate.outbound.guard import Guard

    entry = text(value)
    try:
        Guard(allow=[entry])
    except Invalid as wrong:
        raise ValueError(f"must hold hosts and CIDRs only: {wrong.message}") from None
    return entry


def url(value: object) -> str:
    """Where people and providers reach the server: no query, no credentials, no trailing slash."""
    rule = "must be an http:// or https:// address without credentials, query and fragment"
    given = text(value)
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        good = None
    if not good or parts.username is not None or "?" in given or "#" in given or " " in given:
        raise ValueError(rule)
    return given.rstrip("/")


def region(value: object) -> str:
    """A country that phone numbers without ``+`` belong to."""
    from phonenumbers import SUPPORTED_REGIONS

    code = text(value).upper()
    if code not in SUPPORTED_REGIONS:
        raise ValueError("must be a country's two letters as in ISO 3166-1, such as DE or CH")
    return code


def database(value: object) -> str:
    """``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    given = text(value)
    if given.startswith(("postgresql://", "postgres://", "postgresql+")):
        raise ValueError("must be sqlite:///…: this version keeps its data in SQLite only")
    path = given.removeprefix("sqlite:///")
    if path == given or path in ("", "/", ":memory:") or "?" in path:
        raise ValueError("must be sqlite:/// and the path of a file")
    return given


def folder(value: object) -> Path:
    """A folder that exists, or can come to exist."""
    path = Path(text(str(value) if isinstance(value, Path) else value)).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError("must be a folder, and this is a file")
    return path


def readable_file(value: object) -> Path:
    """A file that this process may read now."""
    path = Path(text(str(value) if isinstance(value, Path) else value)).expanduser()
    try:
        with path.open("rb") as opened:
            opened.read(1)
    except OSError as wrong:
        raise ValueError(f"must be a readable file ({wrong.strerror or wrong})") from None
    return path


def authorities(value: object) -> Path:
    """A PEM file with at least one certificate."""
    import ssl

    path = readable_file(value)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError("must be a PEM file that holds certificates") from None
    return path


def executable(value: object) -> Path:
    """A program that this process may start."""
    path = readable_file(value)
    if not os.access(path, os.X_OK):
        raise ValueError("must be a file that may be executed")
    return path


def language(value: object) -> str:
    """A BCP 47 language tag."""
    import langcodes

    tag = text(value)
    if not langcodes.tag_is_valid(tag):
        raise ValueError("must be a language tag as in BCP 47, such as en, pt or zh-Hant")
    return str(langcodes.standardize_tag(tag))


READERS: Mapping[str, Reader] = {
    "host": host,
    "port": whole(0, 65535),
    "data": folder,
    "database_url": database,
    "mode": choice("private", "public"),
    "private_token": secret(8),
    "public_url": url,
    "tls_cert": readable_file,
    "tls_key": readable_file,
    "trusted_proxies": listed(network),
    "body_limit": whole(1024, 64 * 1024 * 1024, "a number of bytes"),
    "jwt_secret": secret(32),
    "jwt_issuer": text,
    "access_token_ttl": span("10s", "30d"),
    "refresh_token_ttl": span("1m", "365d"),
    "phone_code_ttl": span("30s", "1h"),
    "phone_keep_alive": span("0s", "5m"),
    "streams_per_phone": whole(1, 100),
    "push_relay_url": url,
    "push_relay_open": yes_or_no,
    "default_region": region,
    "message_validity": span("1m", "30d"),
    "retention": span("1h", "3650d"),
    "channel_concurrency": whole(1, 1000),
    "channel_rate": rate,
    "channel_retry_waits": listed(span("1s", "7d")),
    "webhook_concurrency": whole(1, 1000),
    "webhook_concurrency_total": whole(1, 10000),
    "webhook_jitter": share,
    "allow_addresses": listed(address),
    "ca_file": authorities,
    "master_key": keys(32),
    "deno": executable,
    "script_workers": whole(1, 1000),
    "script_memory": whole(64, 4096, "a number of MiB"),
    "script_hosts": listed(host),
    "template_language": language,
    "log_level": choice("debug", "info", "warning", "error"),
    "log_format": choice("auto", "json", "text"),
    "stop_timeout": span("1s", "10m"),
}
"""Which reader reads which setting."""
