"""The API that a phone hosts itself, at its root and without a prefix (A §2.10).

It stands on the verbs of the server; what is here is where the app answers in another way.
"""

from textgate.api.local import device, docs, inbox, logs, messages, settings, tokens, webhooks
from textgate.api.local.phone import LocalPhone
from textgate.api.operation import Group
from textgate.api.problem import LOCAL

__all__ = ["LocalPhone", "local_groups"]


def local_groups(phone: LocalPhone) -> tuple[Group, ...]:
    """Return all that one phone serves."""
    served = Group(
        "Phone",
        ("",),
        LOCAL,
        (
            *device.operations(phone),
            *messages.operations(phone),
            *inbox.operations(phone),
            *webhooks.operations(phone),
            *settings.OPERATIONS,
            *logs.OPERATIONS,
            *tokens.operations(phone),
        ),
    )
    return served, Group("Documents", ("",), LOCAL, docs.operations(served))
