"""``textgate serve``: start the house, and say where it is."""

import shlex
from typing import TYPE_CHECKING

from textgate.cli import logs
from textgate.cli.exits import database_told
from textgate.cli.output import GOOD, QUIET, STRONG, Output, compact
from textgate.config import Settings

if TYPE_CHECKING:
    from textgate.app import Started

SIMULATED_NUMBER = "+12025550101"
"""A number kept for fiction; its last digit makes the simulator deliver at once."""


def run(settings: Settings, output: Output) -> int:
    """Serve until the process is told to stop; return the exit code."""
    logs.set_up(settings)
    from textgate import app

    with database_told(settings.database):
        return app.serve(settings, announce=lambda started: announce(started, settings, output))


def announce(started: "Started", settings: Settings, output: Output) -> None:
    """Print the address; on the first start the account too, and a line to paste."""
    first = started.first
    output.item(
        {"url": started.url, "data": str(started.data)}
        | ({"login": first.login, "password": first.password} if first else {})
    )
    if first is None:
        output.say(started.url)
        return
    output.say(f"Textgate is ready on {started.url}", STRONG)
    output.say(f"  data      {started.data}", QUIET)
    output.say(f"  login     {first.login}")
    output.say(f"  password  {first.password}   (shown this once)", GOOD)
    output.say()
    output.say("Send a first message; the simulator takes it, nothing leaves this machine:")
    output.say(curl(started.url, first.login, first.password, settings))


def curl(url: str, login: str, password: str, settings: Settings) -> str:
    """A line for a shell that sends a message through the simulator."""
    wanted = {"textMessage": {"text": "Hello from Textgate"}, "phoneNumbers": [SIMULATED_NUMBER]}
    words = ["curl", "-u", f"{login}:{password}", "-H", "Content-Type: application/json"]
    if settings.tls_cert:
        words += ["--cacert", str(settings.tls_cert)]
    return shlex.join([*words, "-d", compact(wanted), f"{url.rstrip('/')}/3rdparty/v1/messages"])
