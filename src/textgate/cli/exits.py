"""How a command ends: the exit codes that scripts can count on."""

import contextlib
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3


class Stop(Exception):
    """End the command with a code and one line on standard error (none if empty)."""

    def __init__(self, code: Exit, message: str = "") -> None:
        super().__init__(message)
        self.code, self.message = code, message


EPILOG = (
    "Exit codes: 0 it worked, 1 it failed or was refused, "
    "2 wrong usage or a wrong setting, 3 the server cannot be reached."
)


@contextlib.contextmanager
def database_told(file: Path) -> Iterator[None]:
    """Stop with one line if ``file`` is no database that can be worked on."""
    import apsw

    useless = (apsw.CantOpenError, apsw.NotADBError, apsw.CorruptError, apsw.ReadOnlyError)
    try:
        yield
    except useless as wrong:
        said = f"the database {file} cannot be used: {wrong} (textgate doctor says more)"
        raise Stop(Exit.FAILED, said) from None
