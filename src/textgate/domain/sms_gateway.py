"""The account setting *Custom SMS Gateway*: on or off, and which provider."""

import msgspec

from textgate.domain.times import Milliseconds


class SmsGateway(msgspec.Struct, kw_only=True):
    """Each provider that was ever set up keeps its settings, in a channel of its own."""

    account_id: str
    enabled: bool
    provider: str
    """The chosen kind: ``webhook`` or ``script``."""
    channels: dict[str, str]
    """Channel id by provider kind."""
    updated_at: Milliseconds
