"""Whether a process still answers, and what it takes meanwhile."""

import asyncio
from collections.abc import Callable

from textgate.outbound.script.process import Process

_HANGS_CPU_SECONDS = 1.0
_HANGS_SECONDS = 3.0
"""A process that does not answer hangs when it has used so much processor time since it was asked,
or when so much time has gone by: on a machine that is busy, the first takes longer than usual."""
_STILL_TOO_MUCH = 0.75
"""Of the memory limit: a process that holds more when it is idle is replaced."""


class Watch:
    """``ping`` asks the process; what it says to that goes to ``answered``."""

    def __init__(self, process: Process, ping: Callable[[], None], *, memory_mb: int) -> None:
        self._process, self._ping, self._memory_mb = process, ping, memory_mb
        self._asked: tuple[float, float | None] | None = None
        """When it was asked whether it still answers, and the processor time until then."""

    def ask(self) -> None:
        """Ask it, unless it has been asked and has not answered yet."""
        if self._asked is None:
            self._asked = (asyncio.get_running_loop().time(), self._process.cpu())
            self._ping()

    def answered(self) -> None:
        """It has answered."""
        self._asked = None

    @property
    def waited(self) -> float:
        """Seconds for which it has not answered; 0 if it was not asked."""
        return 0.0 if self._asked is None else asyncio.get_running_loop().time() - self._asked[0]

    def hangs(self, patience: float) -> bool:
        """Whether it has not answered for too long: ``patience`` is in seconds of processor time,
        and of twice as much time, where that is less than what is usual."""
        if self._asked is None:
            return False
        cpu, cpu_then = self._process.cpu(), self._asked[1]
        used = 0.0 if cpu is None or cpu_then is None else cpu - cpu_then
        too_long = min(_HANGS_SECONDS, 2 * patience)
        return self.waited >= too_long or used >= min(_HANGS_CPU_SECONDS, patience)

    def unfitness(self, cpu_before: float | None, seconds: float) -> str | None:
        """Say why it should not wait for more calls, if it had none for the last ``seconds``.

        Nobody is hurt when it is ended, so a doubt is enough.
        """
        cpu = self._process.cpu()
        used = 0.0 if cpu is None or cpu_before is None else cpu - cpu_before
        if self.waited >= seconds or used > seconds / 2:
            return "it works on after its last answer"
        if self.is_larger_than(_STILL_TOO_MUCH):
            return "it holds too much memory after its last answer"
        return None

    def is_larger_than(self, share: float) -> bool:
        """Whether it holds more than this share of the memory that it may take."""
        return self._process.memory() > self._memory_mb * share
