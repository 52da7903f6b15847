"""Ways in for other systems: each is an address of an account, and the dialect spoken there."""

from enum import StrEnum

import msgspec

from textgate.domain.times import Milliseconds


class OnTimeout(StrEnum):
    """What a waiting caller is told when its time is over and there is no verdict."""

    OK = "ok"
    """Accepted: Textgate goes on trying."""
    TIMEOUT = "timeout"


class IngressSecret(msgspec.Struct, frozen=True):
    """One key that may sign requests."""

    id: str
    secret: str
    created_at: Milliseconds
    ends_at: Milliseconds | None = None
    """When it stops being accepted; None: it stays."""

    def __repr__(self) -> str:
        return f"IngressSecret(id={self.id!r})"


class Ingress(msgspec.Struct, kw_only=True):
    """One way in. Its key is the unguessable part of its address."""

    account_id: str
    id: str
    key: str
    previous_key: str | None = None
    previous_key_until: Milliseconds = 0
    dialect: str
    name: str
    enabled: bool
    secrets: tuple[IngressSecret, ...]
    allow_unsigned: bool
    budget_ms: Milliseconds
    """How long a caller waits for a verdict."""
    on_timeout: OnTimeout
    validity_ms: Milliseconds
    """How long a message from here may try to go out."""
    channel_id: str | None
    """The only channel that may carry its messages; None lets the route decide."""
    created_at: Milliseconds
    updated_at: Milliseconds

    def active(self, now: Milliseconds) -> tuple[IngressSecret, ...]:
        """Return the secrets that are accepted at ``now``, in the order in which they came."""
        return tuple(s for s in self.secrets if s.ends_at is None or now < s.ends_at)
