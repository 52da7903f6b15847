"""The API of SMS Gateway for Android, as its clients use it (A §2).

What is served, and where it differs from the original: docs/dialects/sms-gateway-android.md.
"""

from textgate.api.operation import Group
from textgate.api.probes import HEALTH
from textgate.api.problem import DIALECT
from textgate.api.thirdparty_v1 import (
    devices,
    inbox,
    logs,
    messages,
    settings,
    tokens,
    webhooks,
)

GROUP = Group(
    "SMS Gateway for Android",
    ("/3rdparty/v1", "/api/3rdparty/v1"),
    DIALECT,
    (
        *messages.OPERATIONS,
        *inbox.OPERATIONS,
        *devices.OPERATIONS,
        *webhooks.OPERATIONS,
        *settings.OPERATIONS,
        *logs.OPERATIONS,
        *tokens.OPERATIONS,
        *HEALTH,
    ),
)
