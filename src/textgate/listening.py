"""The socket that the server listens on, and where others reach it."""

import contextlib
import resource
import socket
from collections.abc import Iterator

from textgate.config import Settings
from textgate.domain.errors import Unavailable

DEAD_AFTER_MS = 30_000
FILES = 65_536


@contextlib.contextmanager
def bound(settings: Settings) -> Iterator[socket.socket]:
    """Bind before anything is announced, so that a taken port is a clear error: ``Unavailable``."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _end_dead_lines(sock)
        try:
            sock.bind((settings.host, settings.port))
        except OSError as problem:
            raise Unavailable(
                f"cannot listen on {settings.host} port {settings.port}: {problem.strerror}"
            ) from None
        yield sock


def _end_dead_lines(sock: socket.socket) -> None:
    """Let the kernel end a connection whose far end does not acknowledge what was written, after
    ``DEAD_AFTER_MS``, not after a quarter of an hour; connections inherit it. Only on Linux."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_MS)


def allow_many_files() -> None:
    """Each phone that listens is an open file, and the usual limit is 1024: raise it as far as
    this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def url_of(settings: Settings, sock: socket.socket) -> str:
    """Return where others reach this server, without a slash at the end."""
    return url_at(settings, *sock.getsockname()[:2])


def url_at(settings: Settings, host: str, port: int) -> str:
    """The same, for a server that listens on ``host``."""
    if settings.public_url:
        return settings.public_url
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound, shown
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def is_alone(settings: Settings) -> bool:
    """Whether nobody but this machine reaches the server, through a proxy neither."""
    return settings.listens_on_loopback_only and not settings.trusted_proxies
