"""Many calls at once to far sides that do everything wrong, by chance.

Each call gets its own answer or a failure, in time, and nothing is left behind.
"""

import asyncio
import random
import socket
import struct

import pytest
from outbound_direct import REPEATABLE, client
from outbound_far_side import Line, far_side

from textgate.outbound.direct import DirectClient
from textgate.outbound.reply import Failure, Reply

CALLS = 200
SLACK_S = 5.0
"""How far behind a busy machine may be."""


class Wrong:
    """A far side that answers a request with its path, mostly."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    async def __call__(self, line: Line) -> None:
        if self.dice.random() < 0.05:
            await line.say(self.dice.choice([b"", b"220 mail.example ESMTP\r\n"]))
            return
        while True:
            path = (await line.request()).split()[1]
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)
            if not await self.answer(line, answer):
                return

    async def answer(self, line: Line, answer: bytes) -> bool:
        """Say it or not; return whether the connection goes on."""
        match self.dice.choices(range(9), [60, 10, 5, 5, 5, 5, 3, 3, 4])[0]:
            case 1:
                await line.say(answer.replace(b"OK", b"OK\r\nConnection: close", 1))
                return False
            case 2:
                await line.say(answer)
                return False
            case 3:
                return False
            case 4:
                raw = line.writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case 5:
                await asyncio.sleep(self.dice.random() * 0.1)
                await line.say(answer)
            case 6:
                await line.until_closed()
                return False
            case 7:
                await line.say(answer[: self.dice.randrange(1, len(answer))])
                return False
            case 8:
                for byte in answer:
                    await line.say(bytes([byte]))
                    await asyncio.sleep(0)
            case _:
                await line.say(answer)
        return True


async def one_call(direct: DirectClient, url: str, path: str, dice: random.Random) -> None:
    await asyncio.sleep(dice.random() * 0.2)
    timeout = dice.choice([0.05, 0.1, 0.3])
    how = {
        "headers": REPEATABLE if dice.random() < 0.5 else [],
        "body": b"x" * dice.choice([0, 9, 50_000]),
    }
    call = asyncio.create_task(direct.request("POST", url + path, timeout=timeout, **how))
    if dice.random() < 0.15:
        await asyncio.sleep(dice.random() * 0.1)
        call.cancel()
    async with asyncio.timeout(timeout + SLACK_S):
        [ended] = await asyncio.gather(call, return_exceptions=True)
    if isinstance(ended, Reply):
        assert ended.body.decode() == path
    else:
        assert isinstance(ended, Failure | asyncio.CancelledError)


@pytest.mark.parametrize(
    ("seed", "most", "most_each"), [(1, 1, 1), (2, 3, 2), (3, 8, 8), (4, 20, 9)]
)
async def test_a_storm_passes(seed: int, most: int, most_each: int) -> None:
    dice = random.Random(seed)
    wrong = Wrong(dice)
    async with far_side(wrong) as one, far_side(wrong) as two, far_side(wrong) as three:
        urls = [one.url(""), one.url(""), two.url(""), three.url(""), "http://127.0.0.1:1"]
        async with client(max_connections=most, max_host_connections=most_each) as direct:
            calls = (one_call(direct, dice.choice(urls), f"/{n}", dice) for n in range(CALLS))
            await asyncio.gather(*calls)
            for far in (one, two, three):
                tries = [await direct.request("GET", far.url("/"), timeout=0.5) for _ in range(9)]
                assert any(isinstance(reply, Reply) for reply in tries), "the limits are free again"
        for far in (one, two, three):
            async with asyncio.timeout(SLACK_S):
                while far.lines:
                    far.hung_up.clear()
                    await far.hung_up.wait()
