"""What a run of a script comes back with."""

from enum import StrEnum

import msgspec

from textgate.outbound.reply import FailureKind


class Line(msgspec.Struct, frozen=True):
    """One call of the script's ``console``."""

    level: str
    """``log``, ``info``, ``warn``, ``error`` or ``debug``."""
    text: str


class Fetch(msgspec.Struct, frozen=True):
    """One request that the script made."""

    method: str
    url: str
    """Whole: who shows it hides what is secret in it."""
    status: int | None
    """None: no answer came; ``detail`` says why."""
    detail: str | None
    sent: bool
    """A byte of it may have left."""
    elapsed_ms: float
    retry_after: int | None = None
    failure: FailureKind | None = None
    """How far it came, if it ended without an answer."""


class Returned(msgspec.Struct, frozen=True):
    """The default export returned, or its promise was fulfilled."""

    value: bytes | None
    """As JSON; None for null, undefined and what JSON has no word for."""


class Threw(msgspec.Struct, frozen=True):
    """The script threw, or its promise was rejected, or its value is no JSON."""

    message: str
    line: int | None
    """Of the script's source, from 1."""
    column: int | None


class EndReason(StrEnum):
    """Why a run had no result of its own."""

    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    """The process ended, or said what it must not say."""
    NOT_LOADED = "not_loaded"
    """The source is no module, or has no default export that is a function."""
    UNAVAILABLE = "unavailable"
    """Deno is missing or does not run here, or too many scripts run at once."""


class Ended(msgspec.Struct, frozen=True):
    """The run was ended; ``detail`` is a sentence for people."""

    reason: EndReason
    detail: str


class Run(msgspec.Struct, frozen=True):
    """One call of a script."""

    end: Returned | Threw | Ended
    console: tuple[Line, ...]
    console_cut: bool
    """There was more of it than is kept."""
    fetches: tuple[Fetch, ...]
    elapsed_ms: float
