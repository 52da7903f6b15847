"""/v1/providers: the kinds of channels, described well enough to make a form."""

from typing import Any

import msgspec

from textgate.api.native_v1.paging import Page
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.providers.discovery import discover


class ProviderSetting(msgspec.Struct):
    """One setting of a provider: enough to make a form of it."""

    name: str
    label: str
    help: str
    secret: bool
    multiline: bool
    required: bool
    default: Any
    schema: dict[str, Any]


class ProviderShape(msgspec.Struct):
    """A kind of far side that channels can be opened with."""

    kind: str
    title: str
    settings: list[ProviderSetting]
    carries_data: bool
    carries_encrypted: bool
    receipts: bool
    adds_itself: bool
    """A channel of this kind comes with what it reaches (a phone registers), and is not added."""


async def _providers(call: Call[None, None]) -> Answer:
    shapes = [
        ProviderShape(
            kind=provider.kind,
            title=provider.title,
            settings=[ProviderSetting(**setting) for setting in provider.describe()],
            carries_data=provider.carries_data,
            carries_encrypted=provider.carries_encrypted,
            receipts=provider.receipts,
            adds_itself=provider.pulled,
        )
        for provider in discover().values()
    ]
    return Answer(200, Page(shapes))


OPERATIONS = (
    Operation(
        "GET",
        "/providers",
        "List the kinds of channels",
        "channels",
        Scope.CHANNELS_READ,
        _providers,
        answer=Page[ProviderShape],
    ),
)
