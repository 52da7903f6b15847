"""The options of ``textgate phone``."""

from pathlib import Path
from typing import Annotated, Any

import typer

_JOINS, _IS, _TROUBLE = "How it joins", "How it is", "Trouble"
_LONG, _LOCAL = "How long it lives", "Local mode"


def _option(*names: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **more)


def _share(name: str, text: str) -> Any:
    return _option(name, min=0, max=1, help=text, metavar="SHARE", panel=_TROUBLE)


Folder = Annotated[
    Path,
    typer.Option(
        "--data", help="What it knows and owes; an own folder for each run.", metavar="FOLDER"
    ),
]
Count = Annotated[
    int, typer.Option(min=1, max=1_000, help="So many phones, of one account.", metavar="N")
]
Incoming = Annotated[
    Path | None,
    typer.Option(
        help="Messages that come in: lines of number, tab and text, or of JSON.", metavar="FILE"
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say no more than what is needed.")]

Server = Annotated[
    str | None,
    _option(
        envvar="TEXTGATE_SERVER",
        help="The server, or the whole address that the app wants (…/mobile/v1); else the one it"
        " is registered at, else http://127.0.0.1:8080.",
        metavar="URL",
        panel=_JOINS,
    ),
]
Code = Annotated[
    str | None,
    _option(
        help="A one-time code, or the text of its QR code (textgate phone-code).",
        metavar="CODE",
        panel=_JOINS,
    ),
]
Login = Annotated[
    str | None,
    _option(
        "--user", envvar="TEXTGATE_LOGIN", help="Join this account.", metavar="LOGIN", panel=_JOINS
    ),
]
Password = Annotated[
    str | None,
    _option(
        envvar="TEXTGATE_PASSWORD",
        help="Its password; better in the environment.",
        metavar="PASSWORD",
        panel=_JOINS,
    ),
]
PrivateToken = Annotated[
    str | None,
    _option(
        envvar="TEXTGATE_PRIVATE_TOKEN",
        help="Make an account of its own on a private server; better in the environment.",
        metavar="TOKEN",
        panel=_JOINS,
    ),
]
Insecure = Annotated[
    bool,
    _option("--insecure", help="Plain http and private addresses everywhere.", panel=_JOINS),
]

Sim = Annotated[
    list[str] | None,
    _option(
        help="The number of a SIM; repeat it for a second and a third.",
        metavar="NUMBER",
        panel=_IS,
    ),
]
Battery = Annotated[
    int, _option(min=0, max=100, help="Charge of the battery.", metavar="PERCENT", panel=_IS)
]
SendMs = Annotated[
    str,
    _option(help="How long sending takes, for each part.", metavar="MS[-MS]", panel=_IS),
]
DeliverMs = Annotated[
    str, _option(help="How long a delivery report takes.", metavar="MS[-MS]", panel=_IS)
]
Seed = Annotated[int | None, _option(help="Makes chance repeat itself.", metavar="N", panel=_IS)]

Failures = Annotated[float, _share("--failures", "Of the messages: cannot be sent.")]
Refuse = Annotated[float, _share("--refuse", "Of those sent: reported as refused.")]
LoseReceipts = Annotated[
    float, _share("--lose-receipts", "Of the delivery reports: they never come.")
]
DuplicateReports = Annotated[
    float, _share("--duplicate-reports", "Of the reports to the server: sent twice.")
]
ShuffleReports = Annotated[
    bool,
    _option("--shuffle-reports", help="Reports to the server overtake each other.", panel=_TROUBLE),
]
Offline = Annotated[
    str | None,
    _option(
        help="No network for so long; @ says from when on (10 s after the start).",
        metavar="SECONDS[@SECONDS]",
        panel=_TROUBLE,
    ),
]

Local = Annotated[
    bool,
    _option("--local", help="Host the app's own API instead; no server at all.", panel=_LOCAL),
]
Host = Annotated[str, _option(help="Address to listen on.", metavar="ADDRESS", panel=_LOCAL)]
Port = Annotated[
    int,
    _option(min=0, max=65_535, help="0 takes a free one.", metavar="PORT", panel=_LOCAL),
]

ForS = Annotated[
    float | None,
    _option("--for", min=0.1, help="End after so long.", metavar="SECONDS", panel=_LONG),
]
UntilIdle = Annotated[
    float | None,
    _option(
        min=0.1,
        help="End when nothing has happened for so long, and nothing is owed.",
        metavar="SECONDS",
        panel=_LONG,
    ),
]
