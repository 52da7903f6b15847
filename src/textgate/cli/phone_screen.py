"""What a person sees of the phones: who they are, how they are, and what happened last."""

from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from textgate.cli.output import BAD, DOUBTFUL, GOOD, QUIET, STRONG, printable
from textgate.domain.times import rfc3339
from textgate.phone.behaviour import Behaviour
from textgate.phone.happening import Kind
from textgate.phone.phones import Told

COUNTED = ("sent", "delivered", "failed", "received")
STYLES: dict[Kind, str] = {
    "sent": GOOD,
    "delivered": GOOD,
    "connected": GOOD,
    "answering": GOOD,
    "registered": GOOD,
    "received": "cyan",
    "failed": BAD,
    "trouble": DOUBTFUL,
    "disconnected": DOUBTFUL,
    "network": DOUBTFUL,
    "webhook": QUIET,
    "settings": QUIET,
}
LOW = 15
"""Percent: a battery that needs charging."""
KEPT = 200
"""Happenings; a screen shows the last few."""
MARGIN = 8
"""Lines of the screen that are neither a phone nor a happening."""


class Row(msgspec.Struct):
    """One phone as it is shown."""

    number: int
    sims: str
    battery: int
    device_id: str = "…"
    line: str = "registering"
    waiting: int = 0
    counts: Counter[str] = msgspec.field(default_factory=Counter)


def rows_of(behaviours: Sequence[Behaviour]) -> list[Row]:
    """Return the phones as they are at first."""
    return [
        Row(
            number,
            ", ".join(sim.carrier_name or f"SIM {sim.sim_number}" for sim in behaviour.sims),
            behaviour.battery,
        )
        for number, behaviour in enumerate(behaviours, 1)
    ]


class Board:
    """What is on the screen."""

    def __init__(self, title: str, rows: Sequence[Row]) -> None:
        self.title, self.rows = title, list(rows)
        self.typed: Callable[[], str] = str
        """What stands in the line that is being typed."""
        self.where: Callable[[], str] = str
        """The address of the server, or of the phone itself."""
        self._happened = 0
        self._last: deque[Told] = deque(maxlen=KEPT)

    def note(self, told: Told) -> None:
        """Something happened."""
        self._happened += 1
        self._last.append(told)
        for row in self.rows if told.phone == 0 else self.rows[told.phone - 1 : told.phone]:
            _note(row, told)

    @property
    def version(self) -> object:
        """What is on the screen: the same version is the same picture."""
        rows = tuple((row.waiting, row.battery) for row in self.rows)
        return (self._happened, rows, self.typed(), self.where())

    @property
    def most_rows(self) -> int:
        """Phones that are shown at most."""
        return 50

    def draw(self, width: int, height: int) -> RenderableType:
        """The screen, for a terminal of this size."""
        room = max(4, height - MARGIN)
        most_rows = min(self.most_rows, max(1, room // 2))
        shown, more = self.rows[:most_rows], len(self.rows) - most_rows
        lines = room - len(shown) - (more > 0)
        title = Text.assemble((self.title, STRONG), ("   ", ""), (self.where(), QUIET))
        parts: list[RenderableType] = [title]
        parts.append(_phones(shown))
        if more > 0:
            parts.append(Text(f"  … and {more} more phones", QUIET))
        parts += [_line(told, width) for told in list(self._last)[-lines:]]
        typed = printable(self.typed())
        parts.append(Text.assemble(("> ", STRONG), typed[-(width - 4) :], ("▏", QUIET)))
        parts.append(
            Text("+12025550101 Hello: an SMS comes in   /help   Ctrl-C ends", QUIET, no_wrap=True)
        )
        return Group(*parts)


class Screen:
    """Draws a board again and again, in place."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board, self._console = board, console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._shown: object = None

    def __enter__(self) -> "Screen":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refresh()
        self._live.stop()

    def refresh(self) -> None:
        """Draw it as it is now, unless it is on the screen already."""
        size = self._console.size
        wanted = (self._board.version, size)
        if wanted == self._shown:
            return
        self._shown = wanted
        self._live.update(self._board.draw(size.width, size.height), refresh=True)

    def say(self, text: str, style: str = "") -> None:
        """Print a line that stays, above what is drawn."""
        self._console.print(Text(printable(text), style))


def _note(row: Row, told: Told) -> None:
    happening = told.happening
    kind, fields = happening.kind, happening.fields
    row.device_id = told.device_id or row.device_id
    if kind in COUNTED:
        row.counts[kind] += 1
    if kind in ("connected", "disconnected", "answering"):
        row.line = "connecting" if kind == "disconnected" else "online"
    elif kind == "network":
        row.line = "connecting" if fields.get("up") else "offline"


def _phones(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("#", "id", "line", "SIMs", "battery", "queue", *COUNTED):
        numeric = heading in ("battery", "queue", *COUNTED)
        # A narrow terminal takes the room from the ids alone.
        least = 1 if heading == "id" else len(heading)
        table.add_column(
            heading, justify="right" if numeric else "left", no_wrap=True, min_width=least
        )
    for row in rows:
        line = Text(row.line, GOOD if row.line == "online" else DOUBTFUL)
        battery = Text(f"{row.battery} %", BAD if row.battery < LOW else "")
        counts = [str(row.counts[kind]) for kind in COUNTED]
        start = (str(row.number), row.device_id, line, row.sims, battery)
        table.add_row(*start, str(row.waiting), *counts)
    return table


def _line(told: Told, width: int) -> Text:
    happening = told.happening
    number = f"#{told.phone}" if told.phone else "  "
    text = Text.assemble(
        (rfc3339(happening.at)[11:19], QUIET),
        f"  {number:<4}",
        (f"{happening.kind:<13}", STYLES.get(happening.kind, "")),
        printable(happening.text),
        no_wrap=True,
        overflow="ellipsis",
    )
    text.truncate(width, overflow="ellipsis")
    return text
