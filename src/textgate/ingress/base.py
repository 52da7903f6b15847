"""What every dialect owes in which other systems say "send this": three pure functions.

A dialect is one file of this folder that defines ``DIALECT``; its page is in ``docs/dialects/``.
Storing, waiting and HTTP are the same for all of them (``textgate.api.ingress``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from textgate.domain.message import Submission
from textgate.domain.outcome import Reason


class Request(msgspec.Struct, frozen=True):
    """What came in, unread. Names of headers are in lower case."""

    headers: Mapping[str, str]
    body: bytes


class Signature(StrEnum):
    """What a request proves of its sender."""

    GOOD = "good"
    WRONG = "wrong"
    MISSING = "missing"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message that was accepted, or could have been."""

    reason: Reason | None = None
    """Why it did not go out; None: it did, or may yet."""
    description: str = ""
    """A sentence for people, without what is secret in the message."""
    provider_code: str = ""
    """The provider's own error code."""
    channel: str = ""
    """The name of the channel that has it or had it last."""
    provider: str = ""
    """That channel's kind."""


class Refusal(msgspec.Struct, frozen=True):
    """The request itself is not acceptable, or not now: an HTTP status of 4xx or 5xx, and why."""

    status: int
    description: str


class Reply(msgspec.Struct, frozen=True):
    """An answer as it goes over the line."""

    status: int
    code: str
    """The dialect's word for it, for the log."""
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One foreign way to say "send this"."""

    name: str
    """Of its addresses: ``/ingress/{name}/{key}``."""
    title: str
    doors: Mapping[str, str]
    """What may follow the key in an address, and what such a request is, for the document."""
    answer_type: Any
    """What ``answer`` writes, for the document."""
    verify: Callable[[Request, Sequence[str]], Signature]
    """Whether one of the secrets signed the request. Takes as long whichever did; a request that
    carries a signature is MISSING only where there is no secret to hold against it."""
    read: Callable[[Request], Submission]
    """Return the request as ours. Raises ``Invalid``; with field ``phone.FIELD`` for its number."""
    answer: Callable[[Verdict | Refusal], Reply]
