"""What a person sees of the phones: who they are, how they are, and what happened last."""

from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec
from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from textgate.cli.output import BAD, DOUBTFUL, GOOD, QUIET, STRONG, printable
from textgate.domain.times import rfc3339
from textgate.phone.behaviour import Behaviour
from textgate.phone.happening import Kind
from textgate.phone.phones import Told

COUNTED = ("sent", "delivered", "failed", "received")
WORDS = ("id", "line", "SIMs")
HEADINGS = ("#", *WORDS, "battery", "queue", *COUNTED)
WORTH = ("#", "line", "queue", *COUNTED, "battery", "SIMs", "id")
"""The columns again, what a narrow terminal must show first."""
GAP, LEAST_ID = 2, 8
LONGEST_LINE = len("registering")
"""Always so wide: the columns behind it stay in place."""
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
    alone: bool = False
    """It is its own server."""
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
        where = (self.where(), QUIET)
        title = Text.assemble(
            (self.title, STRONG), ("   ", ""), where, no_wrap=True, overflow="ellipsis"
        )
        parts: list[RenderableType] = [title, Text(), _phones(shown, width), Text()]
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
        row.alone = kind == "answering"
    elif kind == "network" and fields.get("up"):
        row.line = "online" if row.alone else "connecting"
    elif kind == "network":
        row.line = "offline"


def _phones(rows: Sequence[Row], width: int) -> Table:
    cells = {heading: [_cell(row, heading) for row in rows] for heading in HEADINGS}
    widths = _widths(cells, width)
    padding = (0, GAP - 1, 0, 0)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding)
    for heading in (shown := [heading for heading in HEADINGS if heading in widths]):
        justify: JustifyMethod = "left" if heading in WORDS else "right"
        table.add_column(heading, justify=justify, no_wrap=True, width=widths[heading])
    for n in range(len(rows)):
        table.add_row(*(cells[heading][n] for heading in shown))
    return table


def _cell(row: Row, heading: str) -> Text:
    match heading:
        case "#":
            return Text(str(row.number))
        case "id":
            return Text(row.device_id)
        case "line":
            return Text(row.line, GOOD if row.line == "online" else DOUBTFUL)
        case "SIMs":
            return Text(row.sims)
        case "battery":
            return Text(f"{row.battery} %", BAD if row.battery < LOW else "")
        case "queue":
            return Text(str(row.waiting))
        case _:
            return Text(str(row.counts[heading]))


def _widths(cells: dict[str, list[Text]], width: int) -> dict[str, int]:
    """Return the columns that fit, each with its width: whole ones, but for an id that is cut."""
    widths, left = dict[str, int](), width
    for heading in WORTH:
        wide = max(len(heading), *(cell.cell_len for cell in cells[heading]))
        if heading == "line":
            wide = max(wide, LONGEST_LINE)
        gap = GAP if widths else 0
        if heading == "id" and left - gap >= LEAST_ID:
            wide = min(wide, left - gap)
        if wide > left - gap:
            break
        widths[heading] = wide
        left -= wide + gap
    return widths


def _line(told: Told, width: int) -> Text:
    happening = told.happening
    number = f"#{told.phone}" if told.phone else "  "
    text = Text.assemble(
        (rfc3339(happening.at)[11:19], QUIET),
        f"  {number:<5}",
        (f"{happening.kind:<13}", STYLES.get(happening.kind, "")),
        printable(happening.text),
        no_wrap=True,
        overflow="ellipsis",
    )
    text.truncate(width, overflow="ellipsis")
    return text
