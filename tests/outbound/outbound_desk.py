"""Desks for tests: with the real Deno, or with a program in its place that waits and counts."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

from outbound_far_side import Behaviour, FarSide, Line, far_side

from textgate.domain.script import Finding, ScriptRefused
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.desk import Desk

TLS = Path(__file__).parent.parent / "tls"
END = "\nexport default async () => {};"
"""What each script needs; behind what is tried, so that places are easy to count."""


@contextlib.asynccontextmanager
async def desk(deno: Deno | None = None, *hosts: str) -> AsyncIterator[Desk]:
    http = HttpClient(
        Guard(allow_loopback=True), user_agent="Textgate/test", ca_file=TLS / "localhost.pem"
    )
    one = Desk(deno or Deno(), http, hosts=hosts)
    try:
        yield one
    finally:
        await one.close()
        await http.close()


async def refused(at: Desk, source: str) -> tuple[Finding, ...]:
    try:
        await at.prepare(source)
    except ScriptRefused as error:
        return error.findings
    raise AssertionError("the script was taken")


class Page(NamedTuple):
    """What a far side has at a path."""

    body: str | bytes = ""
    kind: str = "application/typescript"
    status: int = 200
    location: str | None = None


def site(pages: Mapping[str, Page]) -> AbstractAsyncContextManager[FarSide]:
    """Serve ``pages`` by https on the loopback, under the name localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    return far_side(_serves(pages), tls=context)


def _serves(pages: Mapping[str, Page]) -> Behaviour:
    async def behave(line: Line) -> None:
        while True:
            path = (await line.request()).split(b" ")[1].decode()
            page = pages.get(path, Page(status=404))
            body = page.body if isinstance(page.body, bytes) else page.body.encode()
            moved = f"Location: {page.location}\r\n" if page.location is not None else ""
            head = (
                f"HTTP/1.1 {page.status} Said\r\n{moved}Content-Type: {page.kind}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            await line.say(head.encode() + body)

    return behave


class Stopped(NamedTuple):
    """A program in Deno's place: it notes its starts, and ends when it may."""

    path: Path
    starts: Path
    may_end: Path

    @property
    def count(self) -> int:
        return len(self.starts.read_text().splitlines()) if self.starts.exists() else 0


def stopped_deno(folder: Path, *, ends: int = 0, held: bool = False) -> Stopped:
    """Make one that ends with the status ``ends``; if ``held``, when ``may_end`` exists."""
    one = Stopped(folder / "deno", folder / "starts", folder / "may-end")
    one.path.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec echo deno 2.9.8\n'
        f"echo x >> {one.starts}\n"
        f"while [ ! -e {one.may_end} ]; do /bin/sleep 0.02; done\nexit {ends}\n"
    )
    one.path.chmod(0o755)
    if not held:
        one.may_end.touch()
    return one
