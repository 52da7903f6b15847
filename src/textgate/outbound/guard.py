"""Which addresses Textgate may call on behalf of a user, who may mean harm.

Judged twice: when a URL is given (``check_registration``), so that a mistake is told at once; and
when a socket is about to be connected (``refusal``, asked by the HTTP client with the very address
being dialled), because a name can change its address in between.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network

from textgate.domain.errors import Invalid
from textgate.outbound.ranges import (
    Address,
    Network,
    effective,
    is_loopback,
    numeric_host,
    parse_address,
    special_use,
)
from textgate.outbound.url import Url, normal_name, parse_url

SETTING = "TEXTGATE_ALLOW_ADDRESSES"
_RESOLVE_SECONDS = 5.0

Resolve = Callable[[str, int], Awaitable[list[str]]]


class Guard:
    """The addresses that may be dialled: public ones by https, others only if named in ``allow``.

    ``allow`` holds host names, IP addresses and networks in CIDR form; a wrong entry raises
    Invalid. An allowed host name may resolve to anything. ``allow_loopback`` is for a server that
    only this machine can reach anyway. ``resolve`` replaces the system's resolver for the check
    of a registration (it returns no address, or raises OSError, for a name that is unknown).
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        allow_loopback: bool = False,
        resolve: Resolve | None = None,
    ) -> None:
        self._names: set[str] = set()
        self._networks: list[Network] = []
        self._allow_loopback = allow_loopback
        self._resolve = resolve or _system_resolve
        for entry in allow:
            self._add(entry.strip())

    def _add(self, entry: str) -> None:
        bare = entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry
        try:
            self._networks.append(ip_network(bare))
            return
        except ValueError as error:
            if "/" in entry:
                raise Invalid(f"{entry!r} is no network in CIDR form: {error}") from None
        try:
            name = normal_name(entry)
            if numeric_host(name) is None:
                self._names.add(name)
                return
        except ValueError:
            pass
        raise Invalid(f"{entry!r} is no host name, IP address or network")

    def refusal(self, address: str, *, host: str, scheme: str) -> str | None:
        """Return why this address must not be dialled for that host, or None if it may be.

        ``host`` is spelt as in ``Url.host``.
        """
        try:
            parsed = parse_address(address)
        except ValueError:
            return f"{host} is at no IP address"
        if host in self._names or self._explicitly_allowed(parsed):
            return None
        if what := special_use(parsed):
            subject = address if host == address else f"{host} is {address}, which"
            return f"{subject} is {what}; {SETTING} can allow it"
        if scheme != "https":
            return f"plain http needs an address named in {SETTING}, {address} is none; use https"
        return None

    def _explicitly_allowed(self, address: Address) -> bool:
        if self._allow_loopback and is_loopback(address):
            return True
        called = effective(address)
        return any(address in network or called in network for network in self._networks)

    def check_url(self, url: str) -> Url:
        """Check what can be seen without a resolver; Invalid (field ``url``) says what is wrong."""
        checked = parse_url(url)
        if checked.address is not None:
            self._insist(str(checked.address), checked)
        return checked

    async def check_registration(self, url: str) -> None:
        """Check a URL that is to be called later, as far as the resolver can tell today.

        Raises Invalid (field ``url``). A name that is unknown today may be known tomorrow, so
        for https it passes; for plain http every address must be explicitly allowed now.
        """
        checked = self.check_url(url)
        if checked.address is not None or checked.host in self._names:
            return
        addresses = await self._addresses(checked)
        if checked.scheme == "https":
            if addresses and all(self._refusal(address, checked) for address in addresses):
                self._insist(addresses[0], checked)
            return
        if not addresses:
            raise Invalid(
                f"{checked.host} cannot be resolved, and plain http needs an address named in"
                f" {SETTING}; use https",
                field="url",
            )
        for address in addresses:
            self._insist(address, checked)

    async def _addresses(self, url: Url) -> list[str]:
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                return await self._resolve(url.host, url.port)
        except (OSError, UnicodeError):  # TimeoutError is an OSError
            return []

    def _refusal(self, address: str, url: Url) -> str | None:
        return self.refusal(address, host=url.host, scheme=url.scheme)

    def _insist(self, address: str, url: Url) -> None:
        if message := self._refusal(address, url):
            raise Invalid(message, field="url")


async def _system_resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
