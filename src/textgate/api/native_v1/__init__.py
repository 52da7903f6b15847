"""Textgate's own API, ``/v1``: snake_case, one envelope for lists and one for errors."""

from textgate.api.native_v1 import (
    account,
    channels,
    conversations,
    deliveries,
    devices,
    events,
    inbox,
    ingress_secrets,
    ingresses,
    messages,
    phone_settings,
    providers,
    script_checks,
    scripts,
    sms_gateway,
    templates,
    trial,
    webhooks,
)
from textgate.api.operation import Group
from textgate.api.problem import NATIVE

GROUP = Group(
    "Textgate",
    ("/v1",),
    NATIVE,
    (
        *messages.OPERATIONS,
        *templates.OPERATIONS,
        *channels.OPERATIONS,
        *devices.OPERATIONS,
        *scripts.OPERATIONS,
        *script_checks.OPERATIONS,
        *sms_gateway.OPERATIONS,
        *trial.OPERATIONS,
        *providers.OPERATIONS,
        *ingresses.OPERATIONS,
        *ingress_secrets.OPERATIONS,
        *webhooks.OPERATIONS,
        *deliveries.OPERATIONS,
        *events.OPERATIONS,
        *inbox.OPERATIONS,
        *conversations.OPERATIONS,
        *phone_settings.OPERATIONS,
        *account.OPERATIONS,
    ),
)
