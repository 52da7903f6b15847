"""What ``textgate doctor`` looks at. Each check only looks; it creates and changes nothing."""

import contextlib
import errno
import ipaddress
import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from textgate.config import SettingError, Settings, kept_file, kept_secret

MIB = 1024 * 1024
LITTLE_SPACE, NO_SPACE = 1024 * MIB, 64 * MIB
"""Bytes free on the disk of the data folder: below the first a warning, the second a failure."""
NOT_BEFORE_S = 1767225600
"""2026-01-01: a clock that is earlier was never set."""
CLOCK_SLACK_S = 300
HEALTH_TIMEOUT_S = 3.0


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding, and what to do about it (empty if nothing)."""

    name: str
    level: Level
    said: str
    cure: str = ""


def program() -> Check:
    """The libraries that are not Python load, and which versions they are."""
    version = ".".join(map(str, sys.version_info[:3]))
    try:
        import apsw
        import pycurl
    except ImportError as wrong:
        cure = "install what is missing: pip install -r requirements/runtime.txt"
        return Check("program", Level.FAIL, f"Python {version}, but {wrong}", cure)
    curl = pycurl.version_info()[1]
    said = f"Python {version}, SQLite {apsw.sqlite_lib_version()}, libcurl {curl}"
    return Check("program", Level.OK, said)


def data_folder(settings: Settings) -> Iterator[Check]:
    """It is ours alone, and there is room in it."""
    name, folder = "data folder", settings.data
    if not folder.exists():
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            cure = f"make {above} writable, or set data to another folder"
            yield Check(name, Level.FAIL, f"{folder} does not exist and cannot be created", cure)
            return
        yield Check(name, Level.OK, f"{folder} does not exist yet; the first start creates it")
        yield _space(above)
        return
    status = folder.stat()
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        said = f"{folder} belongs to user {status.st_uid}, this process runs as {os.geteuid()}"
        yield Check(name, Level.FAIL, said, f"chown -R {os.geteuid()} {folder}")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Check(name, Level.FAIL, f"{folder} is not writable", f"chmod 700 {folder}")
    elif stat.S_IMODE(status.st_mode) & 0o077:
        said = f"{folder} has mode {stat.S_IMODE(status.st_mode):04o}: others can look into it"
        yield Check(name, Level.FAIL, said, f"chmod 700 {folder}")
    else:
        yield Check(name, Level.OK, f"{folder} is ours alone and writable")
    yield _space(folder)


def _space(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    said = f"{free // MIB} MiB free at {folder}"
    cure = "free some space, shorten retention, or move data to a larger disk"
    if free < NO_SPACE:
        return Check("disk space", Level.FAIL, said, cure)
    if free < LITTLE_SPACE:
        return Check("disk space", Level.WARN, said, cure)
    return Check("disk space", Level.OK, said)


def database(settings: Settings) -> Check:
    """It opens, it is ours, and its schema is one that this program knows."""
    import apsw

    from textgate.store.migrate import NEWEST

    name, file = "database", settings.database
    if not file.exists():
        return Check(name, Level.OK, f"{file} does not exist yet; the first start creates it")
    try:
        opened = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        with contextlib.closing(opened):
            opened.set_busy_timeout(2000)
            schema = int(opened.pragma("user_version"))
            tables = opened.pragma("schema_version")
    except apsw.Error as wrong:
        cure = "restore it from a backup" if isinstance(wrong, apsw.NotADBError) else ""
        cure = cure or "see that the file belongs to the user who runs textgate, and is writable"
        return Check(name, Level.FAIL, f"{file} does not open: {wrong}", cure)
    if schema > NEWEST:
        said = f"{file} has schema {schema}, this program knows up to {NEWEST}"
        return Check(name, Level.FAIL, said, "start the newer program that wrote it")
    if schema == 0 and tables:
        said = f"{file} was not made by Textgate"
        return Check(name, Level.FAIL, said, "set database_url to another file")
    if schema < NEWEST:
        said = f"{file} has schema {schema}; the next start brings it to {NEWEST}"
        return Check(name, Level.WARN, said, "make a backup, then start textgate serve")
    return Check(name, Level.OK, f"{file} opens, schema {schema} is current")


def master_key(settings: Settings) -> Check:
    """It is there for nobody else, and opens what is sealed in the database."""
    from textgate.store import seals
    from textgate.store.sqlite_file import ask_file
    from textgate.store.vault import Vault, WrongKey

    name, kept, file = "master key", kept_file(settings, "master_key"), settings.database
    is_set = settings.master_key is not None
    if not is_set and not kept.exists():
        if ask_file(file, seals.sealed_with):
            said = f"{kept} is gone, and the secrets in {file} are sealed with it"
            return Check(name, Level.FAIL, said, _RIGHT_KEY)
        return Check(name, Level.OK, f"{kept} does not exist yet; the first start makes it")
    if not is_set and (mode := stat.S_IMODE(kept.stat().st_mode)) & 0o077:
        said = f"{kept} has mode {mode:04o}: others can read it"
        return Check(name, Level.FAIL, said, f"chmod 600 {kept}")
    try:
        vault = Vault(kept_secret(settings, "master_key"))
        sealed_with = ask_file(file, lambda ask: seals.check(ask, vault))
    except (SettingError, WrongKey) as wrong:
        return Check(name, Level.FAIL, wrong.message, _RIGHT_KEY)
    said = "it is set" if is_set else f"it is in {kept}"
    if set(sealed_with) - {vault.sealing}:
        said += f", and {file} is still sealed with another too"
        return Check(name, Level.WARN, said, "restart textgate serve: it seals with the first one")
    return Check(name, Level.OK, said)


_RIGHT_KEY = "set master_key to the right one, or put its file back (docs/security.md)"


def server(settings: Settings) -> Check:
    """Whether a server works on the database now. There can be one only."""
    from textgate.store.sqlite_file import is_served

    name, file = "server", settings.database
    try:
        served = is_served(file)
    except OSError as wrong:
        cure = "run textgate doctor as the user who runs the server"
        return Check(name, Level.WARN, f"cannot tell whether one serves {file}: {wrong}", cure)
    said = f"a server works on {file} now" if served else f"no server works on {file}"
    return Check(name, Level.OK, said)


def clock(settings: Settings) -> Check:
    """The clock was set, and is not behind what has been written already."""
    name, now = "clock", time.time()
    cure = "set the clock, and keep it set (chrony, systemd-timesyncd)"
    if now < NOT_BEFORE_S:
        return Check(name, Level.FAIL, "it is before 2026", cure)
    with contextlib.suppress(OSError):
        ahead = settings.database.stat().st_mtime - now
        if ahead > CLOCK_SLACK_S:
            return Check(
                name, Level.FAIL, f"the database was written {ahead:.0f} s ahead of it", cure
            )
    return Check(name, Level.OK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


async def port(settings: Settings) -> Check:
    """The port is free, or it is Textgate that has it."""
    name, where = "port", f"{settings.host}:{settings.port}"
    try:
        infos = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        for family, _, _, _, address in infos:
            socket.create_server(address[:2], family=family).close()
    except socket.gaierror as wrong:
        return Check(name, Level.FAIL, f"{settings.host}: {wrong.strerror}", "set another host")
    except OSError as wrong:
        if wrong.errno != errno.EADDRINUSE:
            cure = "set a host of this machine and a port from 1024 (or allow a lower one)"
            return Check(name, Level.FAIL, f"{where}: {wrong.strerror}", cure)
        return await _who_has_it(settings, where)
    return Check(name, Level.OK, f"{where} is free")


async def _who_has_it(settings: Settings, where: str) -> Check:
    """Ask whoever has the port for its health, as Textgate would be asked."""
    from textgate.outbound.guard import Guard
    from textgate.outbound.http import Failure, FailureKind, HttpClient

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    netloc = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.tls_cert else "http"
    url = f"{scheme}://{netloc}:{settings.port}/health"
    # Its certificate may be one that only this installation knows.
    guard = Guard(allow=[host], allow_loopback=True)
    http = HttpClient(guard, user_agent="textgate doctor", ca_file=settings.tls_cert)
    try:
        reply = await http.request("GET", url, timeout=HEALTH_TIMEOUT_S)
    finally:
        await http.close()
    if isinstance(reply, Failure):
        found = reply.kind is FailureKind.TLS
        said = f"something answers on {where}, but: {reply.detail}"
        cure = "see that it is Textgate, and that the certificate fits" if found else _OTHER_PORT
        return Check("port", Level.WARN if found else Level.FAIL, said, cure)
    with contextlib.suppress(msgspec.DecodeError):
        health = msgspec.json.decode(reply.body)
        if isinstance(health, dict) and {"status", "releaseId"} <= health.keys():
            if reply.status < 400:
                return Check("port", Level.OK, f"a Textgate answers on {where}, and is well")
            cure = "look at its log"
            return Check("port", Level.FAIL, f"a Textgate on {where} is not well", cure)
    return Check("port", Level.FAIL, f"{where} is taken by something else", _OTHER_PORT)


_OTHER_PORT = "stop the other program, or set another port"


def reach(settings: Settings) -> Iterator[Check]:
    """How others come to it: openly, over TLS, under which address."""
    secured = settings.tls_cert is not None or bool(settings.trusted_proxies)
    if settings.listens_on_loopback_only:
        yield Check("exposure", Level.OK, "only this machine can reach it")
    elif secured:
        yield Check("exposure", Level.OK, f"it listens on {settings.host}, behind TLS or a proxy")
    else:
        said = f"it listens on {settings.host} without TLS: passwords cross the network in clear"
        cure = "set tls_cert and tls_key, or host = 127.0.0.1 behind a proxy"
        yield Check("exposure", Level.WARN, said, cure)
    if settings.public_url is None:
        if not settings.listens_on_loopback_only:
            cure = "set public_url to the address that others use"
            yield Check("public_url", Level.WARN, "not set: callbacks and links cannot be", cure)
        return
    yield _public_url(settings.public_url)


def _public_url(url: str) -> Check:
    name, parts = "public_url", urlsplit(url)
    private = parts.hostname == "localhost"
    with contextlib.suppress(ValueError):
        private = not ipaddress.ip_address(parts.hostname or "").is_global
    if private:
        cure = "set the name or address that others use, if they shall reach it"
        return Check(name, Level.WARN, f"{url} has a meaning on this network only", cure)
    if parts.scheme == "http":
        cure = "use https://: phones and most callers insist on it"
        return Check(name, Level.WARN, f"{url} is not encrypted", cure)
    return Check(name, Level.OK, url)


async def scripts(settings: Settings) -> Check:
    """Deno runs here; without it there are no script channels, and all else works."""
    from textgate.domain.errors import Unavailable
    from textgate.outbound.script.deno import Deno

    try:
        version = await Deno(settings.deno).version()
    except Unavailable as missing:
        why, _, cure = missing.message.partition(": ")
        return Check("scripts", Level.WARN, why, cure or "install a newer Deno")
    return Check("scripts", Level.OK, f"Deno {version} runs custom scripts")


def certificate(settings: Settings) -> Check:
    """The certificate has not run out, and names the public address."""
    from textgate.cli.handshake import examine

    name, host = "certificate", urlsplit(settings.public_url or "").hostname
    found = examine(settings, host)
    cure = "renew it, and restart Textgate"
    if found.refusal:
        return Check(name, Level.FAIL, f"{settings.tls_cert}: {found.refusal}", cure)
    days = int((found.ends_s - time.time()) // 86400)
    said = f"{settings.tls_cert} ends in {days} days"
    return Check(name, Level.WARN if days < 14 else Level.OK, said, cure if days < 14 else "")
