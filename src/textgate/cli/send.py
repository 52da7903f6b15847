"""``textgate send``: one message through a running server, and what became of it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from textgate.cli.client import Client, connect
from textgate.cli.exits import Exit, Stop
from textgate.cli.output import BAD, GOOD, QUIET, STRONG, Output
from textgate.cli.sealing import Sealing
from textgate.cli.target import Target
from textgate.domain.lifecycle import State

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
"""Between two looks at a message: doubling from the first to the longest."""

_DONE = {State.SENT, State.DELIVERED, State.FAILED, State.CANCELLED}
_LOST = {State.FAILED, State.CANCELLED}


def send(
    target: Target,
    numbers: Sequence[str],
    text: str,
    output: Output,
    *,
    message_id: str | None,
    wait_s: float | None,
    passphrase: str | None = None,
) -> None:
    """Send, print the state; with ``wait_s``, follow it until every recipient is sent or final.

    With a ``passphrase`` the text and each number go out encrypted, and are shown as they were.
    Stops with 1 if a recipient failed, or if the time is over before.
    """
    if passphrase is not None and len(set(numbers)) < len(numbers):
        # The server cannot see it: encrypted, the same number is another text each time.
        raise Stop(Exit.USAGE, "a number is given twice")
    sealing = None if passphrase is None else Sealing(passphrase)
    asyncio.run(_send(target, numbers, text, output, message_id, wait_s, sealing))


async def _send(
    target: Target,
    numbers: Sequence[str],
    text: str,
    output: Output,
    message_id: str | None,
    wait_s: float | None,
    sealing: Sealing | None,
) -> None:
    async with connect(target) as client:
        if sealing is None:
            message = await client.send(numbers, text, message_id)
        else:
            sealed = [sealing.seal(number) for number in numbers]
            message = await client.send(sealed, sealing.seal(text), message_id, encrypted=True)
        show(message, output, sealing)
        if wait_s is None:
            return
        try:
            async with asyncio.timeout(wait_s):
                states = await _follow(client, message, output, sealing)
        except TimeoutError:
            raise Stop(Exit.FAILED, f"still not sent after {wait_s:g} s") from None
        if states & _LOST:
            raise Stop(Exit.FAILED, "not every recipient could be reached")


async def _follow(
    client: Client, message: dict[str, Any], output: Output, sealing: Sealing | None
) -> set[str]:
    """Print the message whenever a recipient's state has changed; return the last states."""
    pause = FIRST_WAIT_S
    while not (states := _states(message)) <= _DONE:
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_WAIT_S)
        seen = message
        message = await client.message(str(message["id"]))
        if message["recipients"] != seen["recipients"]:
            show(message, output, sealing)
    return states


def _states(message: dict[str, Any]) -> set[str]:
    return {recipient["state"] for recipient in message["recipients"]}


def show(message: dict[str, Any], output: Output, sealing: Sealing | None = None) -> None:
    """Print a message: its id and state, then each recipient's."""
    if sealing is not None:
        message = sealing.opened(message)
    output.item(message)
    output.say(f"{message['id']}  {message['state']}", STRONG)
    for recipient in message["recipients"]:
        state = recipient["state"]
        style = BAD if state in _LOST else GOOD if state in _DONE else QUIET
        error = f"  {recipient['error']}" if recipient.get("error") else ""
        output.say(f"  {recipient['phoneNumber']}  {state}{error}", style)
