"""``textgate listen``: print webhooks as they come, and say whether their signatures hold."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from textgate.cli.exits import Exit, Stop
from textgate.cli.output import BAD, DOUBTFUL, GOOD, QUIET, STRONG, Output, compact
from textgate.cli.receiver import Call, Receiver
from textgate.cli.verdict import Finding, plain_secret
from textgate.domain.times import rfc3339

_STYLES = {Finding.GOOD: GOOD, Finding.BAD: BAD, Finding.STALE: BAD, Finding.MISSING: DOUBTFUL}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller of the command asked for."""

    host: str
    port: int
    secrets: Sequence[str]
    answers: Sequence[int]
    delay_s: float
    count: int | None
    timeout_s: float | None


def listen(wanted: Wanted, output: Output) -> None:
    """Listen until ``count`` calls have come, or for ever; Ctrl-C is a good end.

    Stops with 1 if a call was not genuine (with ``count``), or if not all came within ``timeout``.
    """
    try:
        secrets = tuple(map(plain_secret, wanted.secrets))
    except ValueError as wrong:
        raise Stop(Exit.USAGE, f"--secret: {wrong}") from None
    receiver = Receiver(
        host=wanted.host,
        port=wanted.port,
        secrets=secrets,
        answers=wanted.answers,
        delay_s=wanted.delay_s,
    )
    with contextlib.suppress(KeyboardInterrupt):
        genuine = asyncio.run(_listen(receiver, wanted, output))
        if not genuine:
            raise Stop(Exit.FAILED, "not every signature held")


async def _listen(receiver: Receiver, wanted: Wanted, output: Output) -> bool:
    genuine, seen = True, 0
    try:
        async with receiver.open() as url, asyncio.timeout(wanted.timeout_s):
            output.item({"url": url})
            output.say(f"listening on {url}", STRONG)
            while wanted.count is None or seen < wanted.count:
                call = await receiver.calls.get()
                seen += 1
                genuine &= call.genuine
                show(call, output)
    except TimeoutError:
        if wanted.count is None:
            return genuine
        raise Stop(Exit.FAILED, f"{seen} of {wanted.count} calls came in time") from None
    except OSError as wrong:
        where = f"{wanted.host}:{wanted.port}"
        raise Stop(Exit.FAILED, f"cannot listen on {where}: {wrong.strerror or wrong}") from None
    return genuine


def show(call: Call, output: Output) -> None:
    """Print one call: what it is, what the signatures are worth, and its body."""
    found = call.as_json()
    output.item(found)
    output.say(f"{rfc3339(call.at)}  {found['event'] or 'POST'}  {found['id'] or ''}", STRONG)
    schemes = {"X-Signature": call.x_signature, "webhook-signature": call.standard_webhooks}
    for name, finding in schemes.items():
        output.say(f"  {name}: {finding}", _STYLES.get(finding, QUIET))
    if call.answered != 200:
        output.say(f"  answered {call.answered}", DOUBTFUL)
    body = found["body"]
    output.say(f"  {body if isinstance(body, str) else compact(body)}", QUIET)
