"""Printing: colour and tables on a terminal, plain lines in a pipe, JSON lines when asked for."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

GOOD, BAD, DOUBTFUL, QUIET, STRONG = "green", "bold red", "yellow", "dim", "bold"

_encoder = msgspec.json.Encoder(enc_hook=str)


class Output:
    """Where a command prints its results. Each line is flushed: somebody may be reading along."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self._console: Console | None = None
        if not json and sys.stdout.isatty():
            # Only a terminal pays for loading Rich, and a pipe can never see a colour code.
            import rich.console

            self._console = rich.console.Console(highlight=False, markup=False, emoji=False)

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line for a person; nothing in JSON mode."""
        if self.json:
            return
        text = printable(text)
        if self._console is None:
            print(text, flush=True)
        else:
            # soft_wrap: a long line is the terminal's to fold, so it can be copied whole.
            self._console.print(text, style=style, soft_wrap=True)

    def item(self, value: object) -> None:
        """Print one line of JSON; nothing otherwise."""
        if self.json:
            print(_encoder.encode(value).decode(), flush=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table on a terminal; in a pipe, lines with tabs and no heading."""
        if self.json:
            return
        clean = [[printable(cell) for cell in row] for row in rows]
        if self._console is None:
            for row in clean:
                print("\t".join(row), flush=True)
            return
        from rich import box
        from rich.table import Table

        drawn = Table(*columns, box=box.SIMPLE_HEAD)
        for row in clean:
            drawn.add_row(*row)
        self._console.print(drawn)


def complain(message: str) -> None:
    """Print one line on standard error."""
    print(printable(message), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters are written as escapes.

    What is printed here came over the network, and a message may hold anything.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def compact(value: object) -> str:
    """One line of JSON."""
    return _encoder.encode(value).decode()


def pairs(values: Mapping[str, object]) -> str:
    """``name=value`` with blanks between, without what is None."""
    return " ".join(f"{name}={value}" for name, value in values.items() if value is not None)
