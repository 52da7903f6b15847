"""The OpenAPI document and the page that renders it, with nothing from other hosts."""

from collections.abc import Iterable
from hashlib import blake2b
from importlib.resources import files

import msgspec

from textgate.api.openapi import build_document
from textgate.api.operation import Call, Content, Group, Handler, Headers, Operation
from textgate.domain.errors import NotFound

VIEWER = "vendor/swagger-ui"
# The viewer shows icons as data: URLs; nothing else is let in.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_FILES = {
    "docs.html": ("docs.html", "text/html; charset=utf-8"),
    "docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": (f"{VIEWER}/swagger-ui.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": (f"{VIEWER}/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
}
_FRESH_S = 3600


class _File:
    """Bytes that seldom change, with a tag by which a browser asks whether they did."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self._body, self._content_type = body, content_type
        self._tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        self._headers: Headers = (
            ("ETag", self._tag),
            ("Cache-Control", f"public, max-age={_FRESH_S}"),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        )

    def answer(self, call: Call[None, None]) -> Content:
        if call.headers.get("if-none-match") == self._tag:
            return Content(b"", self._content_type, 304, self._headers)
        return Content(self._body, self._content_type, headers=self._headers)


def documents(groups: Iterable[Group]) -> tuple[Operation, ...]:
    """Return the routes that describe ``groups``."""
    document = _File(msgspec.json.encode(build_document(groups)), "application/json")
    static = files("textgate.api").joinpath("static")
    known = {
        name: _File(static.joinpath(place).read_bytes(), content_type)
        for name, (place, content_type) in _FILES.items()
    }

    async def openapi(call: Call[None, None]) -> Content:
        return document.answer(call)

    async def page(call: Call[None, None]) -> Content:
        return known["docs.html"].answer(call)

    async def asset(call: Call[None, None]) -> Content:
        found = known.get(call.path["name"])
        if found is None:
            raise NotFound("there is no such file")
        return found.answer(call)

    return (
        _public("/openapi.json", "This document", openapi),
        _public("/docs", "The document, rendered", page),
        _public("/docs/{name}", "Files of the rendered document", asset),
    )


def _public(path: str, summary: str, handler: Handler) -> Operation:
    return Operation("GET", path, summary, "documents", None, handler, public=True)
