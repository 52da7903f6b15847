"""``textgate doctor``: what is wrong with an installation, each finding with its cure."""

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from textgate.cli import checks, phone_checks
from textgate.cli.checks import Check, Level
from textgate.cli.exits import Exit, Stop
from textgate.cli.output import BAD, DOUBTFUL, GOOD, QUIET, Output
from textgate.config import SettingError

if TYPE_CHECKING:
    from textgate.config import Settings

_STYLES = {Level.OK: GOOD, Level.WARN: DOUBTFUL, Level.FAIL: BAD}


def run(read_settings: "Callable[[], Settings]", output: Output) -> None:
    """Print each check; Stop (1) if one failed. Changes nothing on the machine."""
    seen = []
    for check in _all(read_settings):
        seen.append(check)
        output.item(
            {"check": check.name, "level": check.level, "said": check.said, "cure": check.cure}
        )
        output.say(f"{check.level:4}  {check.name}: {check.said}", _STYLES[check.level])
        if check.cure:
            output.say(f"      → {check.cure}", QUIET)
    if any(check.level is Level.FAIL for check in seen):
        raise Stop(Exit.FAILED)


def _all(read_settings: "Callable[[], Settings]") -> Iterator[Check]:
    yield checks.program()
    try:
        settings = read_settings()
    except SettingError as wrong:
        yield Check("settings", Level.FAIL, wrong.message, "set it as docs/settings.md says")
        return
    yield Check("settings", Level.OK, "every one keeps its rule")
    yield from checks.data_folder(settings)
    yield checks.database(settings)
    yield checks.master_key(settings)
    yield checks.clock(settings)
    yield checks.server(settings)
    yield asyncio.run(checks.port(settings))
    yield from checks.reach(settings)
    yield phone_checks.phones(settings)
    yield asyncio.run(checks.scripts(settings))
    if settings.tls_cert:
        yield checks.certificate(settings)
