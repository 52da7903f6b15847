"""``textgate phone-code``: what a phone needs to join the account, to read, copy or scan."""

import asyncio
import ipaddress
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from textgate.cli.client import connect
from textgate.cli.exits import Exit, Stop
from textgate.cli.output import DOUBTFUL, GOOD, STRONG, Output
from textgate.cli.target import Target

GROUND = "white on black"
"""The blocks are the light ground of the code: the other way round many cameras fail."""


def phone_code(
    target: Target, output: Output, *, png: Path | None = None, svg: Path | None = None
) -> None:
    """Make a one-time code, write the pictures that are wanted, print all of it."""
    made = asyncio.run(_made(target))
    if png is not None:
        _write(png, b64decode(made["qr"]["png_base64"]))
    if svg is not None:
        _write(svg, made["qr"]["svg"].encode())
    show(made, output)


async def _made(target: Target) -> dict[str, Any]:
    async with connect(target) as client:
        return await client.pairing()


def _write(path: Path, picture: bytes) -> None:
    try:
        path.write_bytes(picture)
    except OSError as wrong:
        raise Stop(Exit.FAILED, f"{path} cannot be written: {wrong.strerror}") from None


def show(made: dict[str, Any], output: Output) -> None:
    """Print the address, the code, until when it is good, and the QR code of both."""
    from textgate.domain import qr

    output.item(made)
    output.say(f"server address  {made['server_url']}", STRONG)
    output.say(f"one-time code   {made['code']}", GOOD)
    output.say(f"good until      {made['valid_until']}, for one phone")
    if _for_this_machine_only(made["server_url"]):
        output.say("No phone reaches this address: set public_url, and host if need be.", DOUBTFUL)
    output.say()
    for line in qr.blocks(made["qr"]["text"]).splitlines():
        output.say(line, GROUND)


def _for_this_machine_only(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
