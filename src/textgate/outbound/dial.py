"""Opening a connection to a host: look up, ask the guard about every address, dial a checked one.

The very address that was checked is dialled, so no name can change its address in between; and
nothing is remembered for the next dial.
"""

import asyncio
import os
import socket
from typing import Any

from textgate.outbound.guard import Guard
from textgate.outbound.reply import FailureKind
from textgate.outbound.url import Url

_HEAD_START_S = 0.25
"""How long an address is alone in the race before the next one is dialled too (RFC 8305 §5)."""

_Place = tuple[int, Any]
"""Family and socket address."""


class Unreachable(Exception):
    """There is no connection to be had. The text is a sentence for people."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


async def dial(guard: Guard, url: Url) -> socket.socket:
    """Return a connected socket to the URL's host and port. Raises Unreachable."""
    permitted: list[_Place] = []
    refusal = None
    for family, address in await _look_up(url):
        no = guard.refusal(address[0], host=url.host, scheme=url.scheme)
        if no is None:
            permitted.append((family, address))
        else:
            refusal = refusal or no
    if not permitted and refusal is not None:
        raise Unreachable(FailureKind.REFUSED, refusal)
    try:
        return await _first_of(permitted)
    except OSError as error:
        why = f": {os.strerror(error.errno)}" if error.errno else ""
        raise Unreachable(FailureKind.CONNECT, f"{url.place} cannot be reached{why}") from None


async def _look_up(url: Url) -> list[_Place]:
    if url.address is not None:
        family = socket.AF_INET if url.address.version == 4 else socket.AF_INET6
        return [(family, (str(url.address), url.port))]
    loop = asyncio.get_running_loop()
    try:
        if url.host.endswith(".onion"):
            raise OSError  # RFC 7686 §2: not to be asked of the DNS
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise Unreachable(FailureKind.RESOLVE, f"{url.host} cannot be resolved")
    return [(family, address) for family, _, _, _, address in found]


async def _first_of(places: list[_Place]) -> socket.socket:
    """Return the connection that is made first; OSError if none is."""
    if len(places) == 1:
        return await _connect(places[0])
    waiting, racing = list(places), set[asyncio.Task[socket.socket]]()
    error: BaseException | None = None
    won: list[socket.socket] = []
    try:
        while not won and (waiting or racing):
            if waiting:
                racing.add(asyncio.create_task(_connect(waiting.pop(0))))
            done, racing = await asyncio.wait(
                racing,
                timeout=_HEAD_START_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    won.append(task.result())
    finally:
        for task in racing:
            task.cancel()
        for loser in won[1:]:
            loser.close()
    if won:
        return won[0]
    raise error or OSError


async def _connect(place: _Place) -> socket.socket:
    family, address = place
    dialled = socket.socket(family, socket.SOCK_STREAM)
    try:
        dialled.setblocking(False)
        await asyncio.get_running_loop().sock_connect(dialled, address)
    except BaseException:
        dialled.close()
        raise
    return dialled
