"""The ``textgate`` command: parse, call, print. Every other import waits until it is needed."""

import sys

from textgate.cli.exits import Exit, Stop
from textgate.domain.errors import TextgateError


def main() -> None:
    """Run the command line and end the process with an exit code (``textgate --help``)."""
    from textgate.cli.commands import application

    try:
        application()
    except Stop as stop:
        _end(stop.code, stop.message)
    except TextgateError as refused:
        from textgate.config import SettingError

        code = Exit.USAGE if isinstance(refused, SettingError) else Exit.FAILED
        _end(code, refused.message)
    except OSError as wrong:
        if wrong.filename is None:  # not about a file that the person named: a fault of ours
            raise
        _end(Exit.FAILED, f"{wrong.filename}: {wrong.strerror}")


def _end(code: Exit, message: str) -> None:
    from textgate.cli.output import complain

    if message:
        complain(message)
    sys.exit(code)
