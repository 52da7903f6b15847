"""A push relay for the servers of others, as the original's public server is one (A §2.8).

Served only if the operator opens it: whoever asks shares the few requests that the relay behind
this server takes.
"""

import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from textgate.api.operation import Answer, Call, Group, Operation
from textgate.api.problem import DIALECT
from textgate.domain.admission import network
from textgate.domain.device import DeviceEvent
from textgate.domain.errors import Invalid, NotFound, RateLimited, Unavailable
from textgate.domain.push import Push

LARGEST = 256 * 1024
_MOST_DATA = 16

Text = Annotated[str, Meta(max_length=1_024)]


class PushRequest(msgspec.Struct):
    """What to tell the phone that has a token."""

    token: Annotated[str, Meta(min_length=1, max_length=256)]
    event: str | None = None
    """Left out or empty: ``MessageEnqueued``."""
    data: Annotated[dict[Text, Text], Meta(max_length=_MOST_DATA)] | None = None


PushRequests = Annotated[list[PushRequest], Meta(max_length=1_000)]


async def _push(call: Call[None, list[PushRequest]]) -> Answer:
    services = call.services
    forward = services.forward_pushes
    if forward is None:
        raise NotFound("there is nothing at this path")
    wait = services.pushes.take(network(call.client), services.clock.now())
    if wait > 0:
        seconds = math.ceil(wait / 1000)
        raise RateLimited(f"too many requests; wait {seconds} s", retry_after_s=seconds)
    if not forward([_read(n, one) for n, one in enumerate(call.body)]):
        raise Unavailable("too much is waiting to be pushed; try again in a moment")
    return Answer(202, {})


def _read(n: int, wanted: PushRequest) -> Push:
    try:
        event = DeviceEvent(wanted.event or DeviceEvent.MESSAGE_ENQUEUED)
    except ValueError:
        known = ", ".join(DeviceEvent)
        raise Invalid(f"there is no such event; there are {known}", field=f"[{n}].event") from None
    return Push(wanted.token, event, tuple((wanted.data or {}).items()))


GROUP = Group(
    "Push relay",
    ("/upstream/v1", "/api/upstream/v1"),
    DIALECT,
    (
        Operation(
            "POST",
            "/push",
            "Wake phones by their push tokens",
            "push",
            None,
            _push,
            body=PushRequests,
            answer=dict[str, Any],
            status=202,
            errors={
                400: "A member has the wrong shape, or there is no such event.",
                429: "More than five requests in a minute.",
                503: "Too much is waiting to be pushed.",
            },
            public=True,
            largest=LARGEST,
        ),
    ),
)
