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
KEPT = 200
"""Happenings; a screen shows the last few."""
MARGIN = 8
"""Lines of the screen that are neither a phone nor a happening."""


class Row(msgspec.Struct):
    """One phone as it is shown."""

    number: int
    name: str
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
            behaviour.model,
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
        self._last: deque[Told] = deque(maxlen=KEPT)

    def note(self, told: Told) -> None:
        """Something happened."""
        self._last.append(told)
        for row in self.rows if told.phone == 0 else self.rows[told.phone - 1 : told.phone]:
            _note(row, told)

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
        parts: list[RenderableType] = [Text(self.title, STRONG, overflow="ellipsis", no_wrap=True)]
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

    def __enter__(self) -> "Screen":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refresh()
        self._live.stop()

    def refresh(self) -> None:
        """Draw it as it is now."""
        size = self._console.size
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
    for heading in ("#", "phone", "id", "line", "battery", "SIMs", "waiting", *COUNTED):
        numeric = heading in ("#", "battery", "waiting", *COUNTED)
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        line = Text(row.line, GOOD if row.line == "online" else DOUBTFUL)
        battery = Text(f"{row.battery} %", BAD if row.battery < 15 else "")
        counts = [str(row.counts[kind]) for kind in COUNTED]
        start = (str(row.number), row.name, row.device_id)
        table.add_row(*start, line, battery, row.sims, str(row.waiting), *counts)
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
