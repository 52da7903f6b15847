"""How a command ends: the exit codes that scripts can count on."""

from enum import IntEnum


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
