"""Reading sources in a process of its own.

The parser is native code that holds the interpreter while it works, and there are sources that keep
it busy for minutes.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from textgate.domain.errors import Unavailable
from textgate.outbound.script.bounded import Limits, run
from textgate.outbound.script.reading import Reading, Source, read

LIMITS = Limits(seconds=8, memory_mb=1024, output=64 << 20)


async def read_apart(sources: Sequence[Source]) -> list[Reading] | None:
    """Read ``sources``; None if that takes too long, takes too much or crashes.

    Raises Unavailable if it cannot be done here.
    """
    ran = await run(
        [sys.executable, "-P", "-s", "-m", __name__],
        msgspec.json.encode(sources),
        folder=Path("/"),
        environment={"PYTHONPATH": os.pathsep.join(sys.path)},
        limits=LIMITS,
    )
    if ran.broken is not None or ran.status < 0:
        return None
    if ran.status != 0:
        raise Unavailable("the script could not be read: the process that reads it ended")
    return msgspec.json.decode(ran.output, type=list[Reading])


def _main() -> None:
    sources = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Source])
    sys.stdout.buffer.write(msgspec.json.encode([read(source) for source in sources]))


if __name__ == "__main__":
    _main()
