"""The command ``textgate phone``: what its options ask for. The work is in ``cli/phone.py``."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from textgate.cli import options
from textgate.cli import phone_options as own
from textgate.cli.exits import Exit, Stop
from textgate.cli.output import Output

if TYPE_CHECKING:
    from textgate.phone.behaviour import Behaviour
    from textgate.phone.cloud import Plan
    from textgate.phone.ground import Reach
    from textgate.phone.local import LocalOptions
    from textgate.phone.network import Outage

OUTAGE_AFTER_S = 10.0
"""When the network is lost if nothing else was said."""
SERVER_ALONE = (
    *("server", "code", "private_token", "insecure", "allow_addresses", "count"),
    *("duplicate_reports", "shuffle_reports"),
)
LOCAL_ALONE = ("host", "port")
_SPAN = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
_OUTAGE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(?:@(\d{1,6}(?:\.\d{1,3})?))?")


def phone(
    context: typer.Context,
    server: own.Server = None,
    data: own.Folder = Path("textgate-phone"),
    code: own.Code = None,
    user: own.Login = None,
    password: own.Password = None,
    private_token: own.PrivateToken = None,
    ca_file: options.Trust = None,
    insecure: own.Insecure = False,
    allow_addresses: options.AllowAddress = None,
    count: own.Count = 1,
    incoming: own.Incoming = None,
    passphrase: options.Passphrase = None,
    sim: own.Sim = None,
    battery: own.Battery = 100,
    send_ms: own.SendMs = "300-900",
    deliver_ms: own.DeliverMs = "500-2500",
    seed: own.Seed = None,
    failures: own.Failures = 0.0,
    refuse: own.Refuse = 0.0,
    lose_receipts: own.LoseReceipts = 0.0,
    duplicate_reports: own.DuplicateReports = 0.0,
    shuffle_reports: own.ShuffleReports = False,
    offline: own.Offline = None,
    local: own.Local = False,
    host: own.Host = "127.0.0.1",
    port: own.Port = 8080,
    for_s: own.ForS = None,
    until_idle: own.UntilIdle = None,
    quiet: own.Quiet = False,
    json: options.Json = False,
) -> None:
    """Be a phone with SMS Gateway for Android, on real HTTP, without one at hand.

    It registers at a server (once; what it learns is kept in its data folder), holds the event
    stream, sends what is in its queue at the app's pace, reports what became of it, and calls
    webhooks as the app does. No SMS leaves this machine.

    Type +12025550101 Hello and such a message comes in; /help shows what else can be typed.
    """
    from msgspec.structs import replace

    from textgate.cli.phone import Wanted, run_at_server, run_local
    from textgate.phone.reports import ReportTrouble

    _check_belonging(context, local=local)
    _check_file(incoming)
    wanted, output = Wanted(incoming, for_s, until_idle, quiet), Output(json=json)
    times, shares = (send_ms, deliver_ms), (failures, refuse, lose_receipts)
    behaviour = _behaviour(sim or [], battery, times, shares, passphrase, seed)
    if local:
        face = (host, port, _typed(context, "user"), _typed(context, "password"))
        options = _local(data, face, behaviour, ca_file)
        return run_local(replace(options, outage=_outage(offline)), wanted, output)
    plan = _joining(data, server, code, user, password, private_token, count)
    trouble = ReportTrouble(duplicates=duplicate_reports, shuffled=shuffle_reports)
    plan = replace(plan, behaviour=behaviour, reports=trouble, outage=_outage(offline))
    reach = _reach(allow_addresses or [], insecure, ca_file, behaviour.version)
    return run_at_server(plan, reach, wanted, output)


def _typed(context: typer.Context, name: str) -> str | None:
    """What a person typed; the environment speaks of an account of a server."""
    source = context.get_parameter_source(name)
    typed: str | None = context.params[name]
    return typed if source is not None and source.name == "COMMANDLINE" else None


def _local(
    data: Path,
    face: tuple[str, int, str | None, str | None],
    behaviour: "Behaviour",
    ca_file: Path | None,
) -> "LocalOptions":
    """``face``: where it answers, and to whom."""
    from textgate.phone.local import LocalOptions

    host, port, user, password = face
    return LocalOptions(
        data=data,
        host=host,
        port=port,
        user=user,
        password=password,
        behaviour=behaviour,
        ca_file=ca_file,
    )


def _check_belonging(context: typer.Context, *, local: bool) -> None:
    """Refuse what a person typed that would have no effect."""
    for name in SERVER_ALONE if local else LOCAL_ALONE:
        if _typed(context, name) is not None:
            flag = "--" + name.replace("_", "-")
            alone = f"--local is one phone without a server: no {flag}"
            raise Stop(Exit.USAGE, alone if local else f"{flag} is for --local alone")


def _check_file(file: Path | None) -> None:
    """No more than a look: it may be a pipe."""
    if file is not None and (file.is_dir() or not os.access(file, os.R_OK)):
        raise Stop(Exit.USAGE, f"--incoming {file}: there is no such file, or it cannot be read")


def _reach(allowed: list[str], insecure: bool, ca_file: Path | None, version: str) -> "Reach":
    from textgate.domain.errors import Invalid
    from textgate.phone.ground import Reach

    try:
        return Reach(allowed, insecure=insecure, ca_file=ca_file, version=version)
    except Invalid as wrong:
        raise Stop(Exit.USAGE, f"--allow-addresses: {wrong.message}") from None


def _joining(
    data: Path,
    server: str | None,
    code: str | None,
    login: str | None,
    password: str | None,
    private_token: str | None,
    count: int,
) -> "Plan":
    """How the phones join, and where. Stop (2)."""
    from textgate.domain.errors import Invalid
    from textgate.domain.pairing import read_pairing_text
    from textgate.phone.cloud import Plan
    from textgate.phone.sign_in import SignIn

    if (login is None) != (password is None):
        raise Stop(Exit.USAGE, "--user and --password (TEXTGATE_PASSWORD) belong together")
    how = SignIn(private_token=private_token, login=login, password=password)
    if code is not None:
        if count > 1:
            raise Stop(Exit.USAGE, "a one-time code is for one phone; --user is for several")
        try:
            invited = read_pairing_text(code)
        except Invalid as wrong:
            raise Stop(Exit.USAGE, f"--code: {wrong.message}") from None
        how = SignIn(private_token=private_token, code=invited.code)
        server = invited.server_url or server
    return Plan(data=data, server=server, sign_in=how, count=count)


def _behaviour(
    numbers: list[str],
    battery: int,
    times: tuple[str, str],
    shares: tuple[float, float, float],
    passphrase: str | None,
    seed: int | None,
) -> "Behaviour":
    """``numbers``: of its SIMs, in the order of their slots; none: one SIM of some number."""
    from textgate.domain.device import SimCard
    from textgate.phone.behaviour import ONE_SIM, Behaviour

    sims = tuple(
        SimCard(slot_index=n, sim_number=n + 1, phone_number=number, carrier_name=f"Sim {n + 1}")
        for n, number in enumerate(numbers)
    )
    return Behaviour(
        sims=sims or ONE_SIM,
        battery=battery,
        send_ms=_span("--send-ms", times[0]),
        deliver_ms=_span("--deliver-ms", times[1]),
        failures=shares[0],
        refused=shares[1],
        lost_receipts=shares[2],
        passphrase=passphrase,
        seed=seed,
    )


def _span(name: str, text: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(text.strip())
    least = int(found[1]) if found else 0
    most = int(found[2] or found[1]) if found else 0
    if found is None or least > most:
        raise Stop(Exit.USAGE, f"{name} {text!r}: must be milliseconds, such as 300 or 300-900")
    return least, most


def _outage(text: str | None) -> "Outage | None":
    from textgate.phone.network import Outage

    if text is None:
        return None
    found = _OUTAGE.fullmatch(text.strip())
    if found is None:
        raise Stop(Exit.USAGE, f"--offline {text!r}: must be seconds, such as 30 or 30@60")
    after_s = OUTAGE_AFTER_S if found[2] is None else float(found[2])
    return Outage(round(float(found[1]) * 1_000), round(after_s * 1_000))
