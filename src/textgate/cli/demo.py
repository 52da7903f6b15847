"""``textgate demo``: a real server, a real receiver, and the whole way of two messages."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from textgate.cli.client import Client, connect
from textgate.cli.exits import Exit, Stop
from textgate.cli.output import BAD, GOOD, STRONG, Output
from textgate.cli.receiver import Call, Receiver
from textgate.cli.serve import SIMULATED_NUMBER
from textgate.cli.target import Target

REFUSED_NUMBER = SIMULATED_NUMBER[:-1] + "4"
"""The simulator refuses a number that ends in 4 as one that does not exist."""
WANTED = {
    SIMULATED_NUMBER: ("sms:sent", "sms:delivered"),
    REFUSED_NUMBER: ("sms:failed",),
}
"""What is sent to, and the events that must come of it."""
EVENTS = ("sms:sent", "sms:delivered", "sms:failed")
LIMIT_S, STOP_S = 20.0, 5.0


class _Story:
    """Tells what happens, with the time since the beginning."""

    def __init__(self, output: Output) -> None:
        self.output, self._began = output, time.monotonic()

    def tell(self, step: str, text: str, style: str = "", **details: object) -> None:
        """One step: a line for a person, or an object with the details for a program."""
        after = time.monotonic() - self._began
        self.output.item({"step": step, "after_s": round(after, 3), **details})
        self.output.say(f"{after:5.2f} s  {text}", style)


def run(output: Output) -> None:
    """Run the demo; Stop (1) if a webhook call is missing or not genuine."""
    try:
        asyncio.run(_bounded(_Story(output)))
    except TimeoutError:
        raise Stop(Exit.FAILED, f"the demo did not end within {LIMIT_S:g} s") from None
    except KeyboardInterrupt:
        raise Stop(Exit.FAILED, "interrupted") from None


async def _bounded(story: _Story) -> None:
    async with asyncio.timeout(LIMIT_S):
        with tempfile.TemporaryDirectory(prefix="textgate-demo-") as folder:
            receiver = Receiver()
            async with _server(Path(folder)) as started, receiver.open() as listening:
                url = started["url"]
                story.tell("server", f"server on {url}, data in {folder}", STRONG, url=url)
                story.tell("receiver", f"receiver on {listening}", url=listening)
                target = Target(url, started["login"], started["password"])
                async with connect(target) as client:
                    await _play(client, receiver, listening, story)
        story.tell("stopped", "server stopped, its data removed", STRONG)


async def _play(client: Client, receiver: Receiver, url: str, story: _Story) -> None:
    for event in EVENTS:
        webhook = await client.add_webhook(event, url)
        story.tell("webhook", f"webhook for {event}: {webhook['id']}", webhook=webhook)
    receiver.secrets = (await client.webhook_secret(),)
    missing, messages = set(), []
    for number, events in WANTED.items():
        message = await client.send([number], "Hello from the Textgate demo")
        messages.append(message["id"])
        missing |= {(message["id"], event) for event in events}
        said = f"message {message['id']} to {number}: {message['state']}"
        story.tell("message", said, STRONG, message=message)
    while missing:
        call = await receiver.calls.get()
        missing.discard(_told(call, story))
    for message_id in messages:
        message = await client.message(message_id)
        [recipient] = message["recipients"]
        why = f" ({recipient['error']})" if recipient.get("error") else ""
        said = f"message {message_id}: {message['state']}{why}"
        story.tell("state", said, STRONG, message=message)


def _told(call: Call, story: _Story) -> tuple[str, str]:
    """Show a webhook call; return which message and event it is about. Stop if it is a fake."""
    found: Any = call.as_json()
    about = f"{found['event']} of {found['body']['payload']['messageId']}"
    signed = f"X-Signature {call.x_signature}, webhook-signature {call.standard_webhooks}"
    style = GOOD if call.genuine else BAD
    story.tell("call", f"webhook call: {about}; {signed}", style, call=found)
    if not call.genuine:
        raise Stop(Exit.FAILED, "a webhook call was not signed as it should be")
    return found["body"]["payload"]["messageId"], found["event"]


@contextlib.asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[dict[str, str]]:
    """A server as a child process; gives what it announced. It has stopped at the end."""
    with (folder / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "textgate", "serve", "--json"),
            cwd=folder,  # a textgate.toml of the caller's folder does not count
            env=_environment(folder / "data"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        assert child.stdout is not None
        line = await child.stdout.readline()
        if not line:
            said = (folder / "log").read_text("utf-8", "replace").strip().splitlines()
            raise Stop(Exit.FAILED, f"the server did not start: {''.join(said[-1:])}")
        yield msgspec.json.decode(line, type=dict[str, str])
    finally:
        code = await _stop(child)
    if code:
        raise Stop(Exit.FAILED, f"the server ended with {code}")


async def _stop(child: asyncio.subprocess.Process) -> int:
    """Ask the child to stop, insist after a while, and return its exit code."""
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            return await child.wait()
    except TimeoutError:
        child.kill()
        return await child.wait()


def _environment(data: Path) -> dict[str, str]:
    """The child's: settings of the caller do not count, so the demo is the same everywhere."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("TEXTGATE_")}
    return inherited | {
        "TEXTGATE_DATA": str(data),
        "TEXTGATE_HOST": "127.0.0.1",
        "TEXTGATE_PORT": "0",
        "TEXTGATE_LOG_LEVEL": "warning",
        "TEXTGATE_LOG_FORMAT": "json",
    }
