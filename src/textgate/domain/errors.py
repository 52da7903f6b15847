"""The one small tree of errors. Each edge (an API, the command line) maps it once."""

from typing import Any


class TextgateError(Exception):
    """Something a caller can be told. ``message`` is written for a person; it holds no secret."""

    def __init__(self, message: str, *, field: str | None = None, details: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        """The member of the request that is at fault, as the caller spelt it, or None."""
        self.details = details
        """What a program may want to know beside, as it goes into JSON; or None."""


class Invalid(TextgateError):
    """The request breaks a rule; sending it again unchanged cannot help."""


class Unauthenticated(TextgateError):
    """Nobody, or the wrong password or token."""


class Forbidden(TextgateError):
    """Known caller, missing permission."""


class NotFound(TextgateError):
    """No such thing in this account."""


class Conflict(TextgateError):
    """The thing exists and is different, or is past the point where this could be done."""


class Unavailable(TextgateError):
    """Not now: a queue is full or a part is not configured. Try again later."""


class RateLimited(TextgateError):
    """Too often. ``retry_after_s`` is when it may be tried again, in seconds from now."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
