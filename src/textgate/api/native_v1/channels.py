"""/v1/channels: the ways out."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from textgate.api.fields import DateTime
from textgate.api.native_v1.paging import Page, Paging, part_of
from textgate.api.native_v1.sending import send
from textgate.api.native_v1.shapes import MessageShape, location, message_shape
from textgate.api.operation import Answer, Call, Operation
from textgate.config import Settings
from textgate.domain.account import Channel, Scope
from textgate.domain.errors import Conflict, Invalid
from textgate.domain.message import Submission
from textgate.domain.times import rfc3339
from textgate.gateway import channels, devices
from textgate.providers import phone
from textgate.providers.discovery import find

TEST_TEXT = "A test from Textgate"


class NewChannel(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A provider, and the settings to open it with."""

    provider: Annotated[str, msgspec.Meta(description="A kind of GET /v1/providers.")]
    name: str
    settings: dict[str, Any] = {}
    enabled: bool = True
    max_in_flight: Annotated[
        int | UnsetType, msgspec.Meta(description="Messages under way at once, 1 to 1000.")
    ] = UNSET
    rate: Annotated[
        float | UnsetType | None, msgspec.Meta(description="Messages a second; null: no limit.")
    ] = UNSET
    retry_waits: Annotated[
        list[int] | None,
        msgspec.Meta(description="Seconds between attempts; null: the server's."),
    ] = None


class ChannelChanges(channels.Changes, frozen=True):
    """What is to be different; the rest stays. A setting given as null gets its default again."""


class ChannelShape(msgspec.Struct):
    """A channel as it is stored; secrets are masked, and may be sent back so."""

    id: str
    name: str
    provider: str
    settings: dict[str, Any]
    enabled: bool
    position: int
    max_in_flight: int
    rate: float | None
    retry_waits: list[int] | None
    problem: str | None
    """Why it cannot work as it is set up, or null."""
    created_at: DateTime
    updated_at: DateTime


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """The ids of all channels, the first to try first."""

    ids: list[str]


class TestMessage(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to send a test to."""

    to: str
    text: str = TEST_TEXT


def channel_shape(channel: Channel) -> ChannelShape:
    settings, problem = {}, None
    try:
        provider = find(channel.provider)
        settings = provider.masked(channel.settings)
        provider.parse(channel.settings)
    except Invalid as error:  # a package is gone, or a newer version wants more
        problem = error.message
    return ChannelShape(
        id=channel.id,
        name=channel.name,
        provider=channel.provider,
        settings=settings,
        enabled=channel.enabled,
        position=channel.position,
        max_in_flight=channel.max_in_flight,
        rate=channel.rate,
        retry_waits=None if channel.retry_waits is None else list(channel.retry_waits),
        problem=problem,
        created_at=rfc3339(channel.created_at),
        updated_at=rfc3339(channel.updated_at),
    )


async def _list(call: Call[Paging, None]) -> Answer:
    found = await call.services.store.read(lambda tx: tx.channels.all(call.account.id))
    page, following = part_of(found, call.query, tuple[int, str], lambda c: (c.position, c.id))
    return Answer(200, Page([channel_shape(channel) for channel in page], following))


async def _add(call: Call[None, NewChannel]) -> Answer:
    account_id, services = call.account.id, call.services
    draft = _draft(call.body, services.settings)
    prepared = await channels.prepare(
        services.store, services.desk, account_id, draft.provider, draft.settings
    )
    added = await services.store.write(
        lambda tx: channels.add(tx, account_id, draft, services.guard, prepared)
    )
    return Answer(201, channel_shape(added), location("channels", added.id))


def _draft(body: NewChannel, settings: Settings) -> channels.Draft:
    return channels.Draft(
        provider=body.provider,
        name=body.name,
        settings=body.settings,
        enabled=body.enabled,
        max_in_flight=(
            settings.channel_concurrency if body.max_in_flight is UNSET else body.max_in_flight
        ),
        rate=(settings.channel_rate or None) if body.rate is UNSET else body.rate,
        retry_waits=None if body.retry_waits is None else tuple(body.retry_waits),
    )


async def _get(call: Call[None, None]) -> Answer:
    return Answer(200, channel_shape(await _known(call)))


async def _known(call: Call[Any, Any]) -> Channel:
    account_id, channel_id = call.account.id, call.path["id"]
    return await call.services.store.read(
        lambda tx: channels.known_channel(tx, account_id, channel_id)
    )


async def _change(call: Call[None, ChannelChanges]) -> Answer:
    account_id, channel_id, services = call.account.id, call.path["id"], call.services
    prepared = None
    if call.body.settings is not UNSET:
        kind = (await _known(call)).provider
        prepared = await channels.prepare(
            services.store, services.desk, account_id, kind, call.body.settings, channel_id
        )
    changed = await services.store.write(
        lambda tx: channels.change(tx, account_id, channel_id, call.body, services.guard, prepared)
    )
    return Answer(200, channel_shape(changed))


async def _remove(call: Call[None, None]) -> Answer:
    account_id, channel_id = call.account.id, call.path["id"]
    if (await _known(call)).provider == phone.PROVIDER.kind:
        await devices.remove_whole(call.services.store, account_id, channel_id)
    else:
        await call.services.store.write(lambda tx: channels.remove(tx, account_id, channel_id))
    return Answer(204)


async def _reorder(call: Call[None, Order]) -> Answer:
    account_id, ids = call.account.id, tuple(call.body.ids)
    ordered = await call.services.store.write(lambda tx: channels.reorder(tx, account_id, ids))
    return Answer(200, Page([channel_shape(channel) for channel in ordered]))


async def _test(call: Call[None, TestMessage]) -> Answer:
    channel = await _known(call)
    if not channel.enabled:
        raise Conflict("the channel is disabled; enable it first")
    wanted = Submission(numbers=(call.body.to,), text=call.body.text, device_id=channel.id)
    sent = await send(call.services, call.account.id, wanted)
    shape = message_shape(sent.message, sent.recipients)
    return Answer(202, shape, location("messages", shape.id))


_TAG = "channels"
_UNKNOWN = {404: "No such channel."}
_BROKEN = {
    400: "A rule is broken, or a script is: ``details`` lists each finding.",
    409: "Another channel has this name, or somebody else saved the settings meanwhile.",
    503: "Scripts cannot be checked on this machine, or not now.",
}
OPERATIONS = (
    Operation(
        "GET",
        "/channels",
        "List channels in the order of trying",
        _TAG,
        Scope.CHANNELS_READ,
        _list,
        query=Paging,
        answer=Page[ChannelShape],
        errors={400: "The cursor or the limit is wrong."},
    ),
    Operation(
        "POST",
        "/channels",
        "Add a channel, the last in order",
        _TAG,
        Scope.CHANNELS_WRITE,
        _add,
        body=NewChannel,
        answer=ChannelShape,
        status=201,
        errors=_BROKEN,
    ),
    Operation(
        "PUT",
        "/channels/order",
        "Set the order of trying",
        _TAG,
        Scope.CHANNELS_WRITE,
        _reorder,
        body=Order,
        answer=Page[ChannelShape],
        errors={400: "The order does not name each channel once."},
    ),
    Operation(
        "GET",
        "/channels/{id}",
        "Get a channel",
        _TAG,
        Scope.CHANNELS_READ,
        _get,
        answer=ChannelShape,
        errors=_UNKNOWN,
    ),
    Operation(
        "PATCH",
        "/channels/{id}",
        "Change a channel, or disable it",
        _TAG,
        Scope.CHANNELS_WRITE,
        _change,
        body=ChannelChanges,
        answer=ChannelShape,
        errors={**_UNKNOWN, **_BROKEN},
        description="What is left out stays; a setting given as null gets its default again.",
    ),
    Operation(
        "DELETE",
        "/channels/{id}",
        "Remove a channel",
        _TAG,
        Scope.CHANNELS_WRITE,
        _remove,
        status=204,
        errors=_UNKNOWN,
        description="Its unfinished messages go to the next channel of their route, or fail."
        " A phone is removed with its channel.",
    ),
    Operation(
        "POST",
        "/channels/{id}/test",
        "Send a test message through this channel",
        _TAG,
        Scope.CHANNELS_WRITE,
        _test,
        body=TestMessage,
        answer=MessageShape,
        status=202,
        errors={**_UNKNOWN, 400: "A rule is broken.", 409: "The channel is disabled."},
    ),
)
