"""The options that several commands share, and the settings they make."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textgate.cli.exits import Exit, Stop
from textgate.cli.target import Target

if TYPE_CHECKING:
    from textgate.config import Settings

Config = Annotated[
    Path | None, typer.Option(help="Settings file (TOML).", metavar="FILE", show_default=False)
]
Data = Annotated[
    Path | None, typer.Option(help="Data folder.", metavar="FOLDER", show_default=False)
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(help="sqlite:///… instead of the data folder's.", metavar="URL"),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on.", metavar="ADDRESS")]
Port = Annotated[str | None, typer.Option(help="Port; 0 takes a free one.", metavar="PORT")]
Mode = Annotated[
    str | None, typer.Option(help="Who may register phones: private or public.", metavar="MODE")
]
PublicUrl = Annotated[
    str | None, typer.Option(help="Address under which others reach it.", metavar="URL")
]
DefaultRegion = Annotated[
    str | None, typer.Option(help="Country of numbers without +, such as DE.", metavar="LETTERS")
]
AllowAddress = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-addresses",
        help="Private host or CIDR that may be called all the same; may be repeated.",
        metavar="HOST",
    ),
]
TrustedProxy = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxies",
        help="Proxy whose X-Forwarded-* headers are believed; may be repeated.",
        metavar="ADDRESS",
    ),
]
TlsCert = Annotated[str | None, typer.Option(help="Certificate chain (PEM).", metavar="FILE")]
TlsKey = Annotated[str | None, typer.Option(help="Its key (PEM).", metavar="FILE")]
CaFile = Annotated[
    str | None, typer.Option(help="Further authorities for outgoing calls (PEM).", metavar="FILE")
]
LogLevel = Annotated[
    str | None, typer.Option(help="debug, info, warning or error.", metavar="LEVEL")
]
LogFormat = Annotated[str | None, typer.Option(help="auto, json or text.", metavar="FORMAT")]

Json = Annotated[bool, typer.Option("--json", help="Print lines of JSON.")]

Server = Annotated[
    str,
    typer.Option(envvar="TEXTGATE_SERVER", help="Address of the server.", metavar="URL"),
]
Login = Annotated[
    str | None, typer.Option("--user", envvar="TEXTGATE_LOGIN", help="Login.", metavar="LOGIN")
]
Password = Annotated[
    str | None,
    typer.Option(
        envvar="TEXTGATE_PASSWORD",
        help="Password; better in the environment, where other users do not see it.",
        metavar="PASSWORD",
    ),
]
Passphrase = Annotated[
    str | None,
    typer.Option(
        envvar="TEXTGATE_PASSPHRASE",
        help="End-to-end encryption, as the app does it; better in the environment.",
        metavar="PASSPHRASE",
    ),
]
Trust = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        envvar="TEXTGATE_CA_FILE",
        help="Further authorities, for a server with a certificate of its own (PEM).",
        metavar="FILE",
    ),
]
HERE = "http://127.0.0.1:8080"


def settings(config: Path | None, **flags: object) -> "Settings":
    """Load the settings from all their sources; flags that are None were not given."""
    from textgate.config import load

    return load(file=config, environ=os.environ, flags=flags)


def target(server: str, login: str | None, password: str | None, ca_file: Path | None) -> Target:
    """The server to talk to; Stop (2) if the account is missing."""
    if not login or not password:
        wanted = "--user (or TEXTGATE_LOGIN) and --password (or TEXTGATE_PASSWORD)"
        raise Stop(Exit.USAGE, f"which account? set {wanted}")
    return Target(server, login, password, ca_file)
