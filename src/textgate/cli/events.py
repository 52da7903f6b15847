"""``textgate events tail``: the event feed of an account, as it grows."""

import asyncio
import contextlib
from typing import Any

from textgate.cli.client import Client, TooLong, connect
from textgate.cli.output import BAD, GOOD, QUIET, Output, compact, pairs
from textgate.cli.target import Target

PAGE = 50
INTERVAL_S = 0.5
"""Between two looks when there was nothing new."""


def tail(
    target: Target, output: Output, *, after: str | None, count: int | None, follow: bool
) -> None:
    """Print events, oldest first, beginning after the event ``after``
    (``latest``: only what is new); Ctrl-C is a good end."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_tail(target, output, after, count, follow))


async def _tail(
    target: Target, output: Output, after: str | None, count: int | None, follow: bool
) -> None:
    left = count
    async with connect(target) as client:
        while left is None or left > 0:
            page = await _page(client, after, PAGE if left is None else min(PAGE, left))
            items, after = page["items"], page["next"] or after
            for event in items:
                show(event, output)
            if left is not None:
                left -= len(items)
            if not items:
                if not follow:
                    return
                await asyncio.sleep(INTERVAL_S)


async def _page(client: Client, after: str | None, limit: int) -> dict[str, Any]:
    """The next events, fewer if so many do not fit into one answer."""
    while True:
        try:
            return await client.events(after, limit)
        except TooLong:
            if limit == 1:
                raise
            limit //= 2


def show(event: dict[str, Any], output: Output) -> None:
    """Print one event."""
    output.item(event)
    name, payload = str(event["type"]), event.get("payload") or {}
    style = BAD if name == "sms:failed" else GOOD if name == "sms:delivered" else ""
    brief = pairs(
        {
            "message": event.get("message_id"),
            "number": payload.get("phoneNumber"),
            "reason": payload.get("reason"),
        }
    )
    known = brief or compact(payload)
    output.say(f"{event['created_at']}  {name}  {event['id']}  {known}", style or QUIET)
