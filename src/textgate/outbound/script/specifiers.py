"""Which modules a script may name, and what to do about the others."""

import re
from collections.abc import Collection
from urllib.parse import urljoin

from textgate.domain.errors import Invalid
from textgate.outbound.url import parse_url

_TYPES = re.compile(r"https://deno\.land/x/authgear_deno_hook(?:@[A-Za-z0-9._+-]+)?/mod\.ts")
_LONGEST_SHOWN = 200
_RELATIVE = re.compile(r"\.{0,2}/")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_USE_HTTPS = "import an ES module by its https: URL"
_PLAIN = re.compile(r"[A-Za-z0-9\[\]._~/@:+,;=!$&()*%?-]+")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_SCHEMES = {
    "npm": f"packages of npm are not offered; {_USE_HTTPS}, if it exists as one",
    "jsr": f"packages of JSR are not offered; {_USE_HTTPS}, if it exists as one",
    "node": "the modules of Node.js are not offered; use fetch, crypto.subtle, TextEncoder and what"
    " else the web platform has",
    "http": "modules come by https: alone",
    "file": "a script reads no files; put the code into the script, or import it by https:",
    "data": "code is not imported from data: URLs; put it into the script",
    "blob": "code is not imported from blob: URLs; put it into the script",
}


def is_types_module(specifier: str) -> bool:
    """Whether it is Authgear's module of types, of any version, which is answered from here."""
    return _TYPES.fullmatch(specifier) is not None


def absolute(specifier: str, base: str) -> str:
    """Return what a specifier in the module at ``base`` means; only relative ones change."""
    return urljoin(base, specifier) if _RELATIVE.match(specifier) else specifier


def refusal(specifier: str, hosts: Collection[str]) -> str | None:
    """Return why a script may not import this, with what to do about it; None if it may.

    ``hosts`` holds names, or ``name:port`` where it is not 443.
    """
    if is_types_module(specifier):
        return None
    shown = _shown(specifier)
    if _RELATIVE.match(specifier):
        return f"{shown} is a path, and a script is one file: {_SCHEMES['file']}"
    scheme = _SCHEME.match(specifier)
    if scheme is None:
        return f"{shown} is a bare name, which nothing here resolves; {_USE_HTTPS}"
    if (name := scheme[1].lower()) != "https":
        return f"{shown}: {_SCHEMES.get(name, f'{name}: is not offered; {_USE_HTTPS}')}"
    return _refusal_of_url(specifier, shown, hosts)


def _refusal_of_url(specifier: str, shown: str, hosts: Collection[str]) -> str | None:
    try:
        url = parse_url(specifier)
    except Invalid as error:
        return f"{shown}: {error.message}"
    # The one spelling, in characters that every reader of URLs leaves as they are: what is fetched,
    # stored and looked up later must be the same thing.
    if url.text != specifier:
        return f"{shown}: write the URL as {_shown(url.text)}"
    if not _PLAIN.fullmatch(specifier) or _DOTS.search(specifier.partition("?")[0]):
        return f"{shown}: the URL has unusual characters, or . or .. as a part of its path"
    if specifier.endswith("/"):  # in an import map it would stand for all that begins with it
        return f"{shown}: the URL names a folder; write that of the module itself"
    host = url.host if url.port == 443 else url.place
    if host in hosts:
        return None
    return (
        f"{shown}: modules may not come from {host}; the setting TEXTGATE_SCRIPT_HOSTS names the"
        " hosts that they may come from"
    )


def _shown(text: str) -> str:
    cut = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return '"' + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut) + '"'
