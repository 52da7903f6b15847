"""Who owns everything else."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from textgate.domain.device import PhonePolicy
from textgate.domain.times import Milliseconds


class Scope(StrEnum):
    """What a token may do (A §1.5.4)."""

    ALL = "all:any"
    MESSAGES_SEND = "messages:send"
    MESSAGES_LIST = "messages:list"
    MESSAGES_READ = "messages:read"
    MESSAGES_CANCEL = "messages:cancel"
    MESSAGES_EXPORT = "messages:export"
    INBOX_LIST = "inbox:list"
    INBOX_READ = "inbox:read"
    INBOX_REFRESH = "inbox:refresh"
    DEVICES_LIST = "devices:list"
    DEVICES_DELETE = "devices:delete"
    DEVICES_WRITE = "devices:write"
    WEBHOOKS_LIST = "webhooks:list"
    WEBHOOKS_WRITE = "webhooks:write"
    WEBHOOKS_DELETE = "webhooks:delete"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    LOGS_READ = "logs:read"
    TOKENS_MANAGE = "tokens:manage"
    TOKENS_REFRESH = "tokens:refresh"
    # Of our own API, beside those of the dialect.
    CHANNELS_READ = "channels:read"
    CHANNELS_WRITE = "channels:write"
    EVENTS_READ = "events:read"
    INGRESSES_READ = "ingresses:read"
    INGRESSES_WRITE = "ingresses:write"
    TEMPLATES_READ = "templates:read"
    TEMPLATES_WRITE = "templates:write"


class Account(msgspec.Struct, kw_only=True):
    """Login, password, secrets; everything else belongs to exactly one account."""

    id: str
    login: str
    password_hash: str
    created_at: Milliseconds
    settings: dict[str, dict[str, Any]]
    """The document of A §5, as stored."""
    webhook_secret: str
    previous_secret: str | None
    previous_secret_until: Milliseconds
    phones: PhonePolicy = PhonePolicy()

    def secrets(self, now: Milliseconds) -> tuple[str, ...]:
        """Return the active webhook secrets, the newest first."""
        if self.previous_secret and now < self.previous_secret_until:
            return (self.webhook_secret, self.previous_secret)
        return (self.webhook_secret,)

    def setting(self, section: str, key: str) -> Any:
        """Return one stored setting, or None for the default."""
        found: Mapping[str, Any] = self.settings.get(section) or {}
        return found.get(key)


class Token(msgspec.Struct, kw_only=True):
    """A JWT that was issued (A §1.5.3)."""

    account_id: str
    id: str
    """The ``jti``."""
    parent_id: str | None
    """Of a refresh token: the access token issued with it."""
    scopes: tuple[str, ...]
    refresh: bool
    created_at: Milliseconds
    expires_at: Milliseconds
    revoked_at: Milliseconds | None


class Channel(msgspec.Struct, kw_only=True):
    """A provider opened with one set of settings."""

    account_id: str
    id: str
    name: str
    provider: str
    settings: dict[str, Any]
    enabled: bool
    position: int
    """Order of trying, low first."""
    max_in_flight: int
    """Messages under way at once."""
    rate: float | None
    """Messages a second, or None for no limit."""
    retry_waits: tuple[int, ...] | None
    """Seconds between attempts, or None for the default policy."""
    created_at: Milliseconds
    updated_at: Milliseconds


class LogEntry(msgspec.Struct, kw_only=True):
    """Something an owner should know, as ``GET /logs`` shows it (A §2.8)."""

    account_id: str
    id: int
    priority: str
    """DEBUG, INFO, WARN or ERROR."""
    module: str
    message: str
    context: dict[str, Any]
    created_at: Milliseconds
