"""The event stream of a phone (A §3.9, §3.10)."""

from collections.abc import AsyncIterator

import msgspec

from textgate import telemetry
from textgate.api.operation import Call, Operation, Services, Stream
from textgate.domain.device import Device, DeviceEvent, Nudge
from textgate.domain.errors import Unavailable
from textgate.gateway import phone_queue
from textgate.store.base import Tx

# As the original spells them (A §3.10); the last is for nginx, which would keep events back.
HEADERS = (
    ("Cache-Control", "no-cache"),
    ("Connection", "keep-alive"),
    ("X-Accel-Buffering", "no"),
)
AT_ONCE = b": events follow\n\n"
"""Without it the headers would wait for the first event, and the app for its *connected*."""
KEEP_ALIVE = b":keepalive\n\n"

_encode = msgspec.json.Encoder().encode


async def _open(call: Call[None, None]) -> Stream:
    if call.services.lines.full:
        raise Unavailable("too many phones are connected; try again later, and poll meanwhile")
    return Stream(_frames(call.services, call.device), headers=HEADERS)


async def _frames(services: Services, device: Device) -> AsyncIterator[bytes]:
    """Yield what there is to tell the phone, until it goes or may no longer listen."""
    store, clock = services.store, services.clock
    with services.lines.open(device) as line:
        mailbox = line.mailbox
        yield AT_ONCE
        # After the mailbox was opened: what is committed meanwhile is in it or is seen here.
        kept = await store.read(lambda tx: _kept(tx, device))
        if kept is None:
            return
        for nudge in kept:
            mailbox.put(nudge)
        while await mailbox.filled.wait():
            nudges = mailbox.take()
            if mailbox.closed:
                return
            yield b"".join(map(_frame, nudges)) or KEEP_ALIVE
            line.spoke_at = clock.now()
            for nudge in nudges:
                telemetry.PHONE_EVENTS.inc(nudge.event, "stream")
                if nudge.event is DeviceEvent.MESSAGES_EXPORT_REQUESTED:
                    await _exported(services, nudge)


def _kept(tx: Tx, device: Device) -> list[Nudge] | None:
    """Return what a phone that connects now has to hear; None if it is no longer known."""
    account_id, device_id = device.account_id, device.id
    known = tx.devices.get(account_id, device_id)
    if known is None or known.token_hash != device.token_hash:
        return None
    nudges = [
        Nudge(account_id, device_id, notice.event, tuple((notice.data or {}).items()))
        for notice in tx.devices.notices(account_id, device_id)
    ]
    if phone_queue.waiting(tx, known, limit=1):
        nudges.append(Nudge(account_id, device_id, DeviceEvent.MESSAGE_ENQUEUED))
    return nudges


async def _exported(services: Services, nudge: Nudge) -> None:
    """A phone fetches nothing when it is asked for an export: that it was told has to do."""
    device = (nudge.account_id, nudge.device_id)
    await services.store.write(
        lambda tx: tx.devices.end_notices(*device, nudge.event, dict(nudge.data))
    )


def _frame(nudge: Nudge) -> bytes:
    data = _encode(dict(nudge.data) or None)  # one line: JSON escapes line ends
    return b"event: %b\ndata: %b\n\n" % (nudge.event.encode(), data)


OPERATIONS = (
    Operation(
        "GET",
        "/events",
        "Be told at once of what there is to fetch",
        "phones",
        None,
        _open,
        answer=str,
        answer_type="text/event-stream",
        errors={503: "Too many phones are connected."},
        for_phones=True,
        description="Server-sent events MessageEnqueued, MessageCancelled, WebhooksUpdated,"
        " SettingsUpdated and MessagesExportRequested. The data is null or one object of strings.",
    ),
)
