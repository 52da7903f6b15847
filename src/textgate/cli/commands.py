"""Every command: its words, its options, its help. The work is in the file of the same name."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from textgate.cli import options
from textgate.cli.exits import EPILOG, Exit, Stop
from textgate.cli.output import Output
from textgate.cli.phone_command import phone

# Panels and colours for a person; in a pipe plain text, whatever the environment tells Rich.
_MARKUP: Literal["rich"] | None = "rich" if sys.stdout.isatty() else None

application = typer.Typer(
    name="textgate",
    help="Textgate: a self-hosted SMS gateway.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=_MARKUP,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
accounts = typer.Typer(
    rich_markup_mode=_MARKUP, help="The accounts of the data folder.", no_args_is_help=True
)
events = typer.Typer(
    rich_markup_mode=_MARKUP, help="The events of an account.", no_args_is_help=True
)
application.add_typer(accounts, name="account", epilog=EPILOG)
application.add_typer(events, name="events", epilog=EPILOG)


_NO_SETTING = ("config", "json")


def _version(wanted: bool) -> None:
    if wanted:
        from textgate import __version__

        print(f"textgate {__version__}")
        raise typer.Exit


@application.callback()
def _textgate(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and end.")
    ] = False,
) -> None:
    pass


@application.command(epilog=EPILOG)
def serve(
    config: options.Config = None,
    host: options.Host = None,
    port: options.Port = None,
    data: options.Data = None,
    database_url: options.DatabaseUrl = None,
    mode: options.Mode = None,
    public_url: options.PublicUrl = None,
    default_region: options.DefaultRegion = None,
    allow_addresses: options.AllowAddress = None,
    trusted_proxies: options.TrustedProxy = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    ca_file: options.CaFile = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
    json: options.Json = False,
) -> None:
    """Run the server until it is told to stop (Ctrl-C, SIGTERM).

    The first start makes an account and prints its password, once. Settings come from defaults,
    a file, TEXTGATE_* variables and these flags, the later winning; see docs/settings.md.
    """
    flags = {name: value or None for name, value in locals().items() if name not in _NO_SETTING}
    from textgate.cli.serve import run

    code = run(options.settings(config, **flags), Output(json=json))
    raise typer.Exit(code)


@application.command(epilog=EPILOG)
def demo(json: options.Json = False) -> None:
    """Show the whole way of a message in a few seconds, on this machine alone.

    Starts a server in a temporary folder, registers webhooks, sends through the simulator, shows
    each step and each signed webhook call, and stops.
    """
    from textgate.cli.demo import run

    run(Output(json=json))


@application.command(epilog=EPILOG)
def send(
    numbers: Annotated[list[str], typer.Argument(metavar="NUMBER...", help="As +4915112345678.")],
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    server: options.Server = options.HERE,
    user: options.Login = None,
    password: options.Password = None,
    ca_file: options.Trust = None,
    message_id: Annotated[
        str | None,
        typer.Option("--id", help="Your id for it: sending twice sends once.", metavar="ID"),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until sent or final.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="How long --wait waits.", metavar="SECONDS")
    ] = 60.0,
    passphrase: options.Passphrase = None,
    json: options.Json = False,
) -> None:
    """Send a message through a running server."""
    from textgate.cli.send import send as run

    if text == "-":
        text = sys.stdin.read()
    run(
        options.target(server, user, password, ca_file),
        numbers,
        text,
        Output(json=json),
        message_id=message_id,
        wait_s=timeout if wait else None,
        passphrase=passphrase,
    )


application.command(epilog=EPILOG)(phone)


@application.command("phone-code", epilog=EPILOG)
def phone_code(
    server: options.Server = options.HERE,
    user: options.Login = None,
    password: options.Password = None,
    ca_file: options.Trust = None,
    png: Annotated[
        Path | None, typer.Option(help="Write the QR code here.", metavar="FILE")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(help="Write the QR code here.", metavar="FILE")
    ] = None,
    json: options.Json = False,
) -> None:
    """Make a one-time code by which a phone joins the account, and show what the app asks for."""
    from textgate.cli.phone_code import phone_code as run

    run(options.target(server, user, password, ca_file), Output(json=json), png=png, svg=svg)


@application.command(epilog=EPILOG)
def listen(
    host: Annotated[
        str, typer.Option(help="Address to listen on.", metavar="ADDRESS")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 takes a free one.", metavar="PORT")
    ] = 0,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TEXTGATE_WEBHOOK_SECRET",
            help="The account's webhook secret, plain or whsec_…; may be repeated.",
            show_default=False,
            metavar="SECRET",
        ),
    ] = None,
    answer: Annotated[
        str,
        typer.Option(
            help="Status to answer; 500,500,200 fails twice, then succeeds.", metavar="STATUS"
        ),
    ] = "200",
    delay: Annotated[
        float, typer.Option(min=0, help="Seconds to wait before answering.", metavar="SECONDS")
    ] = 0.0,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many calls.", metavar="N")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after so long.", metavar="SECONDS")
    ] = None,
    json: options.Json = False,
) -> None:
    """Receive webhooks on this machine, print them and verify their signatures.

    Checks both schemes: X-Signature with X-Timestamp, and Standard Webhooks.
    """
    from textgate.cli.listen import Wanted
    from textgate.cli.listen import listen as run

    wanted = Wanted(host, port, secret or (), _statuses(answer), delay, count, timeout)
    run(wanted, Output(json=json))


def _statuses(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and 200 <= int(part) <= 599 for part in parts):
        raise Stop(Exit.USAGE, f"--answer {text!r}: must be statuses from 200 to 599, with commas")
    return [int(part) for part in parts]


@events.command(epilog=EPILOG)
def tail(
    server: options.Server = options.HERE,
    user: options.Login = None,
    password: options.Password = None,
    ca_file: options.Trust = None,
    after: Annotated[
        str | None,
        typer.Option(
            help="Begin after this event's id; latest: with what is new; else with the oldest.",
            metavar="ID",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many events.", metavar="N")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Wait for more at the end.")] = True,
    json: options.Json = False,
) -> None:
    """Print the account's events, oldest first, and go on as they happen."""
    from textgate.cli.events import tail as run

    target = options.target(server, user, password, ca_file)
    run(target, Output(json=json), after=after, count=count, follow=follow)


@application.command(epilog=EPILOG)
def doctor(
    config: options.Config = None,
    host: options.Host = None,
    port: options.Port = None,
    data: options.Data = None,
    database_url: options.DatabaseUrl = None,
    json: options.Json = False,
) -> None:
    """Say what is wrong with this installation, and how to cure it."""
    from textgate.cli.doctor import run

    flags = {"host": host, "port": port, "data": data, "database_url": database_url}
    run(lambda: options.settings(config, **flags), Output(json=json))


@accounts.command("add", epilog=EPILOG)
def account_add(
    login: Annotated[str | None, typer.Option(help="Else one is made up.", metavar="LOGIN")] = None,
    config: options.Config = None,
    data: options.Data = None,
    database_url: options.DatabaseUrl = None,
    json: options.Json = False,
) -> None:
    """Add an account and print its password, once. The server may be running."""
    from textgate.cli.accounts import add

    add(options.settings(config, data=data, database_url=database_url), Output(json=json), login)


@accounts.command("list", epilog=EPILOG)
def account_list(
    config: options.Config = None,
    data: options.Data = None,
    database_url: options.DatabaseUrl = None,
    json: options.Json = False,
) -> None:
    """List the accounts."""
    from textgate.cli.accounts import show

    show(options.settings(config, data=data, database_url=database_url), Output(json=json))


@accounts.command("password", epilog=EPILOG)
def account_password(
    login: Annotated[str, typer.Argument(help="Whose.")],
    stdin: Annotated[bool, typer.Option("--stdin", help="Read it from standard input.")] = False,
    config: options.Config = None,
    data: options.Data = None,
    database_url: options.DatabaseUrl = None,
    json: options.Json = False,
) -> None:
    """Set a new password (made up unless --stdin) and print it, once; ends all tokens."""
    from textgate.cli.accounts import change_password

    given = sys.stdin.readline().rstrip("\r\n") if stdin else None
    settings = options.settings(config, data=data, database_url=database_url)
    change_password(settings, Output(json=json), login, given)


@accounts.command("remove", epilog=EPILOG)
def account_remove(
    login: Annotated[str, typer.Argument(help="Whose.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: options.Config = None,
    data: options.Data = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Remove an account with all its messages, webhooks and channels."""
    from textgate.cli.accounts import remove

    settings = options.settings(config, data=data, database_url=database_url)

    def make_sure() -> None:
        if yes:
            return
        if not sys.stdin.isatty():
            raise Stop(Exit.USAGE, "say --yes: there is nobody here to ask")
        typer.confirm(f"Remove {login} with everything that belongs to it?", abort=True)

    remove(settings, Output(), login, make_sure=make_sure)
