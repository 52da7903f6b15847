"""From what went wrong to a status and a body: the one place that knows.

Two edges: the dialect answers as its original does, our own API in one envelope.
"""

import re
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from textgate.api.operation import Edge, Headers, Problem
from textgate.domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    TextgateError,
    Unauthenticated,
    Unavailable,
)

RETRY_AFTER_S = 5
"""What a caller is asked to wait when the server cannot take its request now."""

_STATUS: dict[type[TextgateError], tuple[int, str, Headers]] = {
    Invalid: (400, "invalid", ()),
    Unauthenticated: (401, "unauthenticated", ()),
    Forbidden: (403, "forbidden", ()),
    NotFound: (404, "not_found", ()),
    Conflict: (409, "conflict", ()),
    RateLimited: (429, "rate_limited", ()),
    Unavailable: (503, "unavailable", (("Retry-After", str(RETRY_AFTER_S)),)),
}

UNHANDLED = Problem(500, "internal", "failed to handle request")
TOO_LARGE = Problem(413, "too_large", "the body is larger than this server takes")
NO_SUCH_PATH = Problem(404, "not_found", "there is nothing at this path")


def wrong_method(allowed: str) -> Problem:
    """``allowed`` is the list for the Allow header."""
    message = f"this path takes {allowed} only"
    return Problem(405, "method_not_allowed", message, headers=(("Allow", allowed),))


def problem_of(error: TextgateError) -> Problem:
    """Return how an error of the gateway is told."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            status, code, headers = _STATUS[kind]
            if isinstance(error, RateLimited):
                headers = (("Retry-After", str(error.retry_after_s)),)
            return Problem(status, code, error.message, error.field, headers, error.details)
    return UNHANDLED


_AT = re.compile(r"(.*?) - at `(?:key in )?\$\.?(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)


def unreadable(error: Exception) -> Invalid:
    """Say which member of a request has the wrong shape, from msgspec's error."""
    if isinstance(error, RecursionError):
        return Invalid("failed to parse body: it is nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return Invalid(f"failed to parse body: {error}")
    told = str(error)
    message, place = found.groups() if (found := _AT.fullmatch(told)) else (told, "")
    if missing := _MISSING.fullmatch(message):
        name = f"{place}.{missing[1]}" if place else missing[1]
        return Invalid(f"{name} is required", field=name)
    return Invalid(message[:1].lower() + message[1:], field=place or None)


class ErrorMessage(msgspec.Struct):
    """The body of every error of the dialect (A §1.8)."""

    message: str


UPSTREAM_TEXTS = (
    "failed to parse phone number",
    "invalid phone number",
    "not mobile phone number",
    "phone numbers must be unique",
    "must specify exactly one of",
    "conflict fields",
    "No active device with such ID found",
)
"""What the original server says itself (A §2.1): told in its very words, which name the field."""


def _spell_dialect(problem: Problem) -> ErrorMessage:
    name = problem.field
    if problem.status != 400 or not name or problem.message.startswith((name, *UPSTREAM_TEXTS)):
        return ErrorMessage(problem.message)
    return ErrorMessage(f"{name}: {problem.message}")


def _spell_local(problem: Problem) -> ErrorMessage | None:
    """The app says why only where it understood who asks for what."""
    if problem.status in (401, 404, 405):
        return None
    if problem.status == 403:
        return ErrorMessage("Insufficient permissions")
    return _spell_dialect(problem)


class ErrorBody(msgspec.Struct):
    """What went wrong, for programs (code, field) and for people (message)."""

    code: str
    message: str
    field: str | None
    details: Any | UnsetType = UNSET
    """What a program may want to know beside: the findings in a script, both versions of what
    was changed twice. Left out where there is nothing."""


class ErrorEnvelope(msgspec.Struct):
    """The body of every error of Textgate's own API."""

    error: ErrorBody


def _spell_native(problem: Problem) -> ErrorEnvelope:
    details = UNSET if problem.details is None else problem.details
    return ErrorEnvelope(ErrorBody(problem.code, problem.message, problem.field, details))


DIALECT = Edge(
    spell=_spell_dialect,
    problem_type=ErrorMessage,
    wrong_type=Problem(400, "invalid", "failed to parse body: Unprocessable Entity"),
    headers=(("Link", '</.well-known/api-catalog>; rel="api-catalog"'),),
)
"""SMS Gateway for Android: ``{"message": …}``, the field at fault first."""

NATIVE = Edge(
    spell=_spell_native,
    problem_type=ErrorEnvelope,
    wrong_type=Problem(
        415, "unsupported_media_type", "the body must be declared as application/json"
    ),
    headers=(("Link", '</openapi.json>; rel="service-desc"'),),
)
"""Textgate's own API: ``{"error": {"code", "message", "field"}}``."""

LOCAL = Edge(
    spell=_spell_local,
    problem_type=ErrorMessage,
    wrong_type=Problem(400, "invalid", "failed to parse body: it must be application/json"),
    headers=(),
    challenge=(
        ("WWW-Authenticate", 'Basic realm="Access to SMS Gateway"'),
        ("WWW-Authenticate", "Bearer"),
    ),
)
"""The API that a phone hosts itself (A §2.10): as the dialect, but for what has no body."""
