"""What a person types while the phones live, or what comes through a pipe."""

import asyncio
import codecs
import contextlib
import os
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from typing import Any

_INPUT = 0
LONGEST = 8 * 1024 * 1024
"""Characters that are kept of a line."""
_BACKSPACE, _CLEAR, _ENTER = ("\x7f", "\b"), "\x15", ("\r", "\n")


class Typing:
    """A line that is being typed, and what becomes of it when it is complete."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._keys: list[str] = []
        self._take = take
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def line(self) -> str:
        """What is there so far."""
        return "".join(self._keys)

    def feed(self, data: bytes) -> None:
        for key in self._decoder.decode(data):
            if key in _ENTER:
                line = self.line
                self._keys.clear()
                self._take(line)
            elif key in _BACKSPACE:
                del self._keys[-1:]
            elif key == _CLEAR:
                self._keys.clear()
            elif (key.isprintable() or key == "\t") and len(self._keys) < LONGEST:
                self._keys.append(key)

    def end(self) -> None:
        """Nothing more comes; what is there counts as a line."""
        if self._keys:
            self.feed(b"\n")


def is_ours(descriptor: int) -> bool:
    """Whether we may read there: a shell stops who reads its terminal from the background."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # no terminal, or not the one that controls us
        return True


@contextlib.contextmanager
def watched(typing: Typing, *, drawn: bool) -> Iterator[None]:
    """Read standard input beside the event loop; ``drawn``: keys are shown by us alone."""
    if not is_ours(_INPUT):
        yield
        return
    before = _quiet(_INPUT) if drawn and os.isatty(_INPUT) else None
    loop = asyncio.get_running_loop()
    # A thread of its own that nobody waits for: files and /dev/null cannot be watched by a loop.
    threading.Thread(target=_read_for_ever, args=(loop, typing), daemon=True).start()
    try:
        yield
    finally:
        if before is not None:
            termios.tcsetattr(_INPUT, termios.TCSADRAIN, before)


def _quiet(descriptor: int) -> list[Any]:
    """Give us each key at once, and echo none; Ctrl-C still ends. Returns how it was before."""
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    return before


def _read_for_ever(loop: asyncio.AbstractEventLoop, typing: Typing) -> None:
    with contextlib.suppress(RuntimeError, OSError):  # the loop is over, or the terminal is gone
        while data := os.read(_INPUT, 65_536):
            loop.call_soon_threadsafe(typing.feed, data)
        loop.call_soon_threadsafe(typing.end)
