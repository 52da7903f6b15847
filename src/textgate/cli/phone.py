"""``textgate phone``: phones in the terminal, and what is seen of them."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from textgate.cli import logs
from textgate.cli.exits import Exit, Stop, database_told
from textgate.cli.output import GOOD, QUIET, Output
from textgate.cli.phone_air import Air
from textgate.cli.phone_keys import Typing, watched
from textgate.clock import SystemClock
from textgate.config import Settings
from textgate.domain.errors import Invalid, TextgateError
from textgate.domain.times import rfc3339
from textgate.phone.cloud import Plan, open_cloud
from textgate.phone.ground import Reach
from textgate.phone.happening import Kind
from textgate.phone.local import FOLDER, LocalOptions
from textgate.phone.local_phones import open_local_phones
from textgate.phone.phones import Phones, Tell, Told
from textgate.phone.script import Cue, read_line, read_lines
from textgate.phone.sign_in import Refused

if TYPE_CHECKING:
    from textgate.cli.phone_screen import Board, Screen

Opening = Callable[[Tell], AbstractAsyncContextManager[Phones]]

LOOK_S = 0.1
"""Between two looks at whether there is nothing to do."""
FRAME_S = 0.2
"""Between two pictures of the live screen."""
FRAMES_A_COUNT = 5
"""Pictures between two looks at how much waits."""
HELP = (
    "+12025550101 Hello   an SMS comes in; with #3 before it, on the third phone",
    "/offline 30          no network for 30 seconds",
    "/battery 12          the battery of all phones, in percent",
    "/ping                every phone pings",
    "/quit                the end",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller of the command asked for, beside the phones themselves."""

    incoming: Path | None
    for_s: float | None
    idle_s: float | None
    quiet: bool


def run_at_server(plan: Plan, reach: Reach, wanted: Wanted, output: Output) -> None:
    """Run phones at a server until they are idle, the time is over, or somebody ends them.

    Stops with 1 if the server refused a phone, with 3 if none came to a server in its time.
    """
    title = f"textgate phone   {plan.data}"

    def opening(tell: Tell) -> AbstractAsyncContextManager[Phones]:
        return open_cloud(plan, SystemClock(), reach, tell)

    _run(_Show(opening, title, wanted, output), Settings(data=plan.data))


def run_local(options: LocalOptions, wanted: Wanted, output: Output) -> None:
    """Run a phone in local mode until it is idle, the time is over, or somebody ends it."""
    title = f"textgate phone --local   {options.data}"

    def opening(tell: Tell) -> AbstractAsyncContextManager[Phones]:
        return open_local_phones(options, SystemClock(), tell)

    _run(_Show(opening, title, wanted, output), Settings(data=options.data / FOLDER))


def _run(show: "_Show", kept: Settings) -> None:
    logs.set_up(Settings(log_level="error"))
    with database_told(kept.database):
        try:
            uvloop.run(show.run())
        except Invalid as wrong:
            raise Stop(Exit.USAGE, wrong.message) from None


class _Show:
    """The phones of one run, and who watches them."""

    def __init__(self, opening: Opening, title: str, wanted: Wanted, output: Output) -> None:
        self._opening, self._title = opening, title
        self._wanted, self._output = wanted, output
        self._phones: Phones
        self._board: Board | None = None
        self._screen: Screen | None = None
        self._typing = Typing(self._typed)
        self._stop = asyncio.Event()
        self._last = 0.0
        """When something happened, by the loop's clock."""
        self._problem = "it did not answer"
        self._broken: OSError | None = None
        """Nobody reads what is printed any more, or it has no room."""
        self._air = Air(self._receive)

    async def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        async with self._opening(self._told) as self._phones:
            with self._stage():
                await self._until_the_end()
        if self._broken is not None:
            raise self._broken
        bounded = self._wanted.for_s is not None or self._wanted.idle_s is not None
        if bounded and not self._phones.arrived():
            raise Stop(Exit.UNREACHABLE, f"no phone came to its server: {self._problem}")

    @contextlib.contextmanager
    def _stage(self) -> Iterator[None]:
        """The live screen, if somebody watches, and the keyboard."""
        watching = not (self._output.json or self._wanted.quiet) and sys.stdout.isatty()
        drawn = watching and os.environ.get("TERM", "dumb") != "dumb"
        with contextlib.ExitStack() as stage:
            if drawn:
                from rich.console import Console

                from textgate.cli.phone_screen import Board, Screen, rows_of

                self._board = Board(self._title, rows_of(self._phones.behaviours))
                self._board.typed = lambda: self._typing.line
                self._board.where = self._phones.where
                console = Console(highlight=False, markup=False, emoji=False)
                self._screen = stage.enter_context(Screen(self._board, console))
            stage.enter_context(watched(self._typing, drawn=drawn))
            yield

    async def _until_the_end(self) -> None:
        living = asyncio.ensure_future(self._phones.run())
        playing = asyncio.ensure_future(self._play())
        drawing = asyncio.ensure_future(self._draw())
        idling = asyncio.ensure_future(self._idle(playing))
        told = asyncio.ensure_future(self._stop.wait())
        everything = (living, playing, drawing, idling, told)
        ends = {living, idling, told}
        try:
            async with asyncio.timeout(self._wanted.for_s):
                while not any(end.done() for end in ends):
                    going = {one for one in everything if not one.done()}
                    await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
                    if playing.done():
                        playing.result()
        except TimeoutError:
            pass
        finally:
            self._air.close()
            for one in everything:
                one.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
        if not living.cancelled():
            _insist(living)

    async def _idle(self, playing: "asyncio.Future[None]") -> None:
        """Return when nothing has happened for the time asked for, and nothing is owed."""
        if self._wanted.idle_s is None:
            await asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            quiet = loop.time() - self._last >= (self._wanted.idle_s or 0)
            if quiet and playing.done() and self._air.empty and await self._phones.idle():
                return

    async def _play(self) -> None:
        """Bring in the messages of the file."""
        if self._wanted.incoming is None:
            return
        try:
            phones = len(self._phones.behaviours)
            for n, cue in enumerate(_cues(self._wanted.incoming, phones)):
                await self._air.put(cue.phone or n % phones + 1, cue)
        except Invalid as wrong:
            raise Stop(Exit.USAGE, f"{self._wanted.incoming}, {wrong.message}") from None

    async def _draw(self) -> None:
        for frame in range(10**12):
            if self._screen is None or self._board is None:
                return
            if frame % FRAMES_A_COUNT == 0:
                waiting = await self._phones.waiting(self._board.most_rows)
                for row, count in zip(self._board.rows, waiting, strict=False):
                    row.waiting = count
            self._screen.refresh()
            await asyncio.sleep(FRAME_S)

    # What happens, and what is said of it.

    def _told(self, told: Told) -> None:
        happening = told.happening
        self._last = asyncio.get_running_loop().time()
        if happening.kind == "trouble":
            self._problem = happening.text
        fields = happening.fields
        if happening.kind in ("registered", "answering"):
            fields = fields | self._fresh(told.phone, happening.kind)
        with self._printing():
            self._print(told, fields)

    def _print(self, told: Told, fields: dict[str, Any]) -> None:
        happening = told.happening
        self._output.item(
            {
                "at": rfc3339(happening.at),
                "phone": told.phone,
                "device": told.device_id,
                "kind": happening.kind,
                "text": happening.text,
                "message": happening.message_id,
                "fields": fields,
            }
        )
        if self._board is not None:
            self._board.note(told)
        elif not self._wanted.quiet:
            phone = f"#{told.phone}" if told.phone else "--"
            clock = rfc3339(happening.at)[11:19]
            self._output.say(f"{clock}  {phone}  {happening.kind}  {happening.text}")

    def _fresh(self, number: int, kind: Kind) -> dict[str, str]:
        """Show what a new registration brought, or where a phone answers; return it for a
        program."""
        shown = self._phones.to_show(number)
        for name, value in shown.items():
            is_last_time = name == "password" or (name == "signing_key" and kind == "registered")
            once = "   (shown this once)" if is_last_time else ""
            self._say(f"  {name.replace('_', ' '):<12}{value}{once}", GOOD if once else QUIET)
        return shown

    def _say(self, text: str, style: str = "") -> None:
        with self._printing():
            (self._screen or self._output).say(text, style)

    @contextlib.contextmanager
    def _printing(self) -> Iterator[None]:
        """What cannot be printed ends the run, in good order."""
        try:
            yield
        except OSError as broken:
            broken.filename = "standard output"
            self._broken = broken
            self._stop.set()

    # What a person types.

    def _typed(self, line: str) -> None:
        try:
            if line.strip().startswith("/"):
                self._do(*line.strip()[1:].partition(" ")[::2])
            elif cue := read_line(line):
                self._air.begin(self._number(cue, 1), cue)
        except Invalid as wrong:
            self._say(wrong.message)

    def _do(self, command: str, value: str) -> None:
        """Raises ``Invalid``."""
        if command == "quit":
            self._stop.set()
        elif command == "ping":
            for number, _ in enumerate(self._phones.behaviours, 1):
                self._air.spawn(self._phones.ping(number))
        elif command == "offline":
            self._air.spawn(self._phones.lose_network(_number(value, most=86_400) * 1_000))
        elif command == "battery":
            percent = _number(value, most=100)
            self._phones.set_battery(percent)
            for row in self._board.rows if self._board else ():
                row.battery = percent
        else:
            for text in HELP:
                self._say(text)

    def _number(self, cue: Cue, otherwise: int) -> int:
        """Raises ``Invalid``."""
        number = cue.phone or otherwise
        if number > len(self._phones.behaviours):
            raise Invalid(f"there is no phone #{number}")
        return number

    async def _receive(self, number: int, cue: Cue) -> None:
        try:
            await self._phones.receive(number, cue.incoming)
        except TextgateError as wrong:
            self._say(f"an incoming message was lost: {wrong.message}")


def _cues(file: Path, phones: int) -> Iterator[Cue]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        yield from read_lines(lines, phones=phones)


def _number(text: str, *, most: int) -> int:
    """Raises ``Invalid``."""
    if not text.strip().isdecimal() or int(text) > most:
        raise Invalid(f"{text.strip()[:20]!r} must be a number up to {most}")
    return int(text)


def _insist(living: "asyncio.Future[None]") -> None:
    """Raise what ended the phones, as a person can be told it."""
    try:
        living.result()
    except* Refused as refused:
        said = f"the server refused the phone: {_first(refused)}"
        raise Stop(Exit.FAILED, said) from None
    except* Invalid as wrong:
        raise Stop(Exit.USAGE, _first(wrong)) from None


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return str(found)
