"""Waking a phone by way of a push relay (A §2.8, §3.10)."""

from collections.abc import Iterable

import msgspec

from textgate.domain.device import DeviceEvent


class Push(msgspec.Struct, frozen=True, gc=False):
    """Something to tell whoever has a push token. No log shows the token."""

    token: str
    event: DeviceEvent
    data: tuple[tuple[str, str], ...] = ()


def body(pushes: Iterable[Push]) -> bytes:
    """Return the body of a request to a relay.

    The original relay sends one push for each token and kind of event in a few seconds, the last
    one: of several cancellations one would come through. So a phone that has more than one is told
    to fetch its queue beside, which shows them all.
    """
    wanted = dict.fromkeys(pushes)
    cancelled: set[str] = set()
    for push in list(wanted):
        if push.event is DeviceEvent.MESSAGE_CANCELLED:
            if push.token in cancelled:
                wanted[Push(push.token, DeviceEvent.MESSAGE_ENQUEUED)] = None
            cancelled.add(push.token)
    return msgspec.json.encode([_entry(push) for push in wanted])


def _entry(push: Push) -> dict[str, object]:
    entry: dict[str, object] = {"token": push.token, "event": push.event}
    if push.data:
        entry["data"] = dict(push.data)
    return entry
