"""The modules of others that a script imports: fetched when it is saved, kept as they were then."""

import asyncio
import hashlib
import re
from collections.abc import Collection, Coroutine, Iterable
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from textgate.domain.script import Finding, Module, ScriptRefused
from textgate.outbound.http import BODY_LIMIT, Failure, Http, Reply
from textgate.outbound.script.reader import read_apart
from textgate.outbound.script.reading import Reading, Source, Specifier
from textgate.outbound.script.specifiers import is_types_module, refusal

MAX_MODULES = 100
MAX_BYTES = 1 << 20
"""Of all modules of a script together."""
MAX_DEPTH = 20
"""Modules in a chain of imports."""
MAX_REDIRECTS = 5
FETCH_SECONDS = 30.0
"""For all of them together; each call has at most a third of it."""
_AT_ONCE = 8
_REDIRECTS = {301, 302, 303, 307, 308}

TYPESCRIPT, JAVASCRIPT = "application/typescript", "application/javascript"
EMPTY = "export {};\n"
_MEDIA = {
    **dict.fromkeys((TYPESCRIPT, "text/typescript", "application/x-typescript"), TYPESCRIPT),
    **dict.fromkeys((JAVASCRIPT, "text/javascript", "application/x-javascript"), JAVASCRIPT),
    **dict.fromkeys(("application/ecmascript", "text/ecmascript"), JAVASCRIPT),
}
_UNTOLD = {"", "text/plain", "application/octet-stream", "binary/octet-stream", "video/mp2t"}
"""What servers say that do not know; the last is what .ts once was."""
_BY_EXTENSION = {".ts": TYPESCRIPT, ".mts": TYPESCRIPT, ".js": JAVASCRIPT, ".mjs": JAVASCRIPT}
_DECLARATIONS = re.compile(r"\.d\.m?ts$")

Place = tuple[int, int]


class Copy(msgspec.Struct, frozen=True):
    """A module for a compiler: harmless, see ``Reading.copy``."""

    extension: str
    text: str


class Remote(msgspec.Struct, frozen=True):
    """All that a script imports."""

    modules: dict[str, Module] = {}
    """For its runs, by the URLs that it and they name."""
    copies: dict[str, Copy] = {}
    """For its check, by the URLs where they were found."""
    moved: dict[str, str] = {}
    """Where else those were found that were not where they were looked for."""
    types: tuple[str, ...] = ()
    """The URLs that stand for Authgear's module of types."""
    places: dict[str, Place] = {}
    """Of the import in the script that led to each of the copies."""


class _Got(msgspec.Struct, frozen=True):
    """A module as it came."""

    asked: str
    url: str
    body: bytes
    text: str
    media_type: str
    place: Place
    """Of the import in the script that led to it."""


async def fetch_all(
    specifiers: Iterable[Specifier], http: Http, *, hosts: Collection[str]
) -> Remote:
    """Fetch what a script names, and what that names. Raises ScriptRefused, or Unavailable."""
    fetch = _Fetch(http, hosts)
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            await fetch.follow(specifiers)
    except TimeoutError:
        raise _refused((0, 0), f"its modules did not come within {FETCH_SECONDS:g} s") from None
    return fetch.remote()


class _Fetch:
    """One script's modules, on their way."""

    def __init__(self, http: Http, hosts: Collection[str]) -> None:
        self._http, self._hosts = http, hosts
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._seen: set[str] = set()
        self._types: set[str] = set()
        self._got: dict[str, tuple[_Got, Reading]] = {}
        """By the URLs that were asked for."""
        self._bytes = 0

    async def follow(self, specifiers: Iterable[Specifier]) -> None:
        wave = self._new((one.text, (one.line, one.column)) for one in specifiers)
        for _ in range(MAX_DEPTH):
            if not wave:
                return
            got = await _all(self._fetch(url, place) for url, place in wave.items())
            readings = await read_apart([Source(one.text, one.url) for one in got])
            if readings is None:
                raise _refused(got[0].place, "its modules are too hard to read")
            named: list[tuple[str, Place]] = []
            for one, reading in zip(got, readings, strict=True):
                self._insist(one, reading)
                self._got[one.asked] = one, reading
                named += [(specifier.text, one.place) for specifier in reading.specifiers]
            wave = self._new(named)
        raise _refused((0, 0), f"its modules import each other more than {MAX_DEPTH} deep")

    def _new(self, named: Iterable[tuple[str, Place]]) -> dict[str, Place]:
        new: dict[str, Place] = {}
        for url, place in named:
            if is_types_module(url):
                self._types.add(url)
            elif url not in self._seen:
                self._seen.add(url)
                new[url] = place
            if len(self._seen) > MAX_MODULES:
                raise _refused(place, f"it imports more than {MAX_MODULES} modules")
        return new

    async def _fetch(self, asked: str, place: Place) -> _Got:
        async with self._gate:
            url, reply = await self._follow_redirects(asked, place)
        if reply.status != 200:
            raise _refused(place, f"{url} answered with HTTP {reply.status}")
        if reply.truncated:
            limit = f"{BODY_LIMIT // 1024} KiB"
            raise _refused(place, f"{url} is larger than {limit}, which a module may be")
        self._bytes += len(reply.body)
        if self._bytes > MAX_BYTES:
            raise _refused(place, f"its modules are larger than {MAX_BYTES >> 20} MiB together")
        media_type = _media_type(url, reply.headers.get("content-type", ""))
        if media_type is None:
            raise _refused(place, f"{url} is neither TypeScript nor JavaScript")
        try:
            text = reply.body.decode()
        except UnicodeDecodeError:
            raise _refused(place, f"{url} is not UTF-8") from None
        return _Got(asked, url, reply.body, text, media_type, place)

    async def _follow_redirects(self, url: str, place: Place) -> tuple[str, Reply]:
        for _ in range(MAX_REDIRECTS + 1):
            ended = await self._http.request(
                "GET",
                url,
                headers=[("Accept", "*/*")],
                timeout=FETCH_SECONDS / 3,
                keep_headers=True,
            )
            if isinstance(ended, Failure):
                raise _refused(place, f"{url} could not be fetched: {ended.detail}")
            if ended.status not in _REDIRECTS:
                return url, ended
            to = urljoin(url, ended.headers.get("location", ""))
            if (why := refusal(to, self._hosts)) is not None:
                raise _refused(place, f"{url} redirects to {why}")
            url = to
        raise _refused(place, f"{url} redirects more than {MAX_REDIRECTS} times")

    def _insist(self, got: _Got, reading: Reading) -> None:
        """Refuse a module that names what it must not name, at the script's import of it."""
        found = [*reading.findings, *reading.forbidden(self._hosts)]
        if found:
            raise ScriptRefused(
                tuple(
                    Finding(
                        *got.place,
                        None,
                        f"{got.url}, line {f.line}, column {f.column}: {f.message}",
                    )
                    for f in found
                )
            )

    def remote(self) -> Remote:
        modules = {url: stand_in(EMPTY) for url in self._types}
        copies, moved = {}, {}
        places: dict[str, Place] = {}
        for asked, (got, reading) in self._got.items():
            declarations = _DECLARATIONS.search(urlsplit(got.url).path) is not None
            digest = hashlib.sha256(got.body).hexdigest()
            code = EMPTY if declarations else reading.code
            modules[got.url] = Module(code, got.media_type, digest)
            extension = ".js" if got.media_type == JAVASCRIPT else ".ts"
            copies[got.url] = Copy(".d.ts" if declarations else extension, reading.copy)
            places.setdefault(got.url, got.place)
            if asked != got.url:
                moved[asked] = got.url
                modules[asked] = Module(_all_of(got.url, reading), JAVASCRIPT, digest)
        return Remote(modules, copies, moved, tuple(sorted(self._types)), places)


async def _all(calls: Iterable[Coroutine[Any, Any, _Got]]) -> list[_Got]:
    """Wait for all; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def stand_in(code: str) -> Module:
    """Return a module that was not fetched."""
    return Module(code, TYPESCRIPT, hashlib.sha256(code.encode()).hexdigest())


def _all_of(url: str, reading: Reading) -> str:
    """One module has one instance, under whichever URL it is imported."""
    default = f'export {{ default }} from "{url}";\n' if reading.has_default else ""
    return f'export * from "{url}";\n{default}'


def _media_type(url: str, content_type: str) -> str | None:
    told = content_type.partition(";")[0].strip().lower()
    if told in _UNTOLD:
        extension = re.search(r"\.\w+$", urlsplit(url).path)
        return _BY_EXTENSION.get(extension[0]) if extension else None
    return _MEDIA.get(told)


def _refused(place: Place, message: str) -> ScriptRefused:
    return ScriptRefused((Finding(*place, None, message),))
