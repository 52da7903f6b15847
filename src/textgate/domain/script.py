"""A custom script: its source, the modules it imports, and what was found wrong with it."""

import msgspec

from textgate.domain.errors import Invalid
from textgate.domain.times import Milliseconds

MAX_SOURCE = 100 * 1024
"""Bytes of UTF-8 (B §5.1)."""


class Module(msgspec.Struct, frozen=True):
    """A module that a script imports, as it was when the script was saved."""

    code: str
    """Its imports are absolute URLs."""
    media_type: str
    """``application/typescript`` or ``application/javascript``."""
    sha256: str
    """Of the bytes as they were fetched, in lower-case hex."""


class Program(msgspec.Struct, frozen=True):
    """All of what runs: nothing is fetched later."""

    source: str
    modules: dict[str, Module] = {}
    """By absolute URL; modules of types alone are empty ones."""


class Finding(msgspec.Struct, frozen=True):
    """Something wrong in a source."""

    line: int
    """From 1; 0 if it has no place."""
    column: int
    """From 1."""
    code: str | None
    """The compiler's name for it, such as ``TS2322``."""
    message: str


class ScriptRefused(Invalid):
    """A script that must not be saved; ``details`` holds each :class:`Finding`."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        first = findings[0]
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        place = f"line {first.line}, column {first.column}: " if first.line else ""
        super().__init__(f"{place}{first.message}{more}", field="source", details=list(findings))
        self.findings = findings


class ScriptVersion(msgspec.Struct, kw_only=True):
    """What a script was when it was saved."""

    account_id: str
    channel_id: str
    n: int
    """From 1, per channel."""
    source: str
    modules: dict[str, Module]
    created_at: Milliseconds
