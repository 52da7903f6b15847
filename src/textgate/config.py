"""Settings: ``defaults.toml``, then a file, then ``TEXTGATE_*``, then flags; the later one wins.

A wrong setting is a :class:`SettingError` that says the name as it was spelt there, the value
(secrets masked) and the rule. Nothing here looks at the process' own environment: it is handed in.
"""

import ipaddress
import os
import secrets
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from textgate.domain.errors import Invalid
from textgate.domain.retry import MESSAGE_POLICY
from textgate.reading import READERS

PREFIX = "TEXTGATE_"
OTHER_NAMES = frozenset(
    PREFIX + name for name in ("CONFIG", "SERVER", "LOGIN", "PASSWORD", "WEBHOOK_SECRET")
)
"""Variables that the command line reads and that are not settings of the server."""

SECRETS = frozenset({"private_token", "jwt_secret", "master_key"})
Kept = Literal["jwt_secret", "master_key"]
"""Settings that Textgate makes for itself, and keeps in the data folder, if they are not set."""
_MASK = "•••"


class SettingError(Invalid):
    """A setting that breaks its rule; ``message`` is one line for the person who set it."""

    def __init__(self, name: str, rule: str, *, shown: str | None = None) -> None:
        value = "" if shown is None else f" = {shown}"
        super().__init__(f"wrong setting: {name}{value}: {rule}", field=name)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, read and checked. ``defaults.toml`` says what each is for."""

    host: str = "127.0.0.1"
    port: int = 8080
    data: Path = Path("textgate-data")
    database_url: str = ""
    """Empty only until ``__post_init__`` has derived it from ``data``."""
    mode: Literal["private", "public"] = "private"
    private_token: str | None = None
    public_url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    body_limit: int = 4 * 1024 * 1024
    """Bytes."""
    jwt_secret: str | None = None
    jwt_issuer: str = "textgate"
    access_token_ttl: timedelta = timedelta(minutes=15)
    refresh_token_ttl: timedelta = timedelta(hours=720)
    phone_code_ttl: timedelta = timedelta(minutes=5)
    phone_keep_alive: timedelta = timedelta(seconds=15)
    """Between two signs of life on an event stream; 0 is none."""
    streams_per_phone: int = 3
    push_relay_url: str | None = None
    push_relay_open: bool = False
    default_region: str | None = None
    message_validity: timedelta = timedelta(days=3)
    retention: timedelta = timedelta(days=30)
    channel_concurrency: int = 64
    channel_rate: float = 0.0
    """Messages a second; 0 is no limit."""
    channel_retry_waits: tuple[timedelta, ...] = MESSAGE_POLICY.waits
    webhook_concurrency: int = 64
    webhook_concurrency_total: int = 512
    webhook_jitter: float = 0.0
    """Share of a wait, either way."""
    allow_addresses: tuple[str, ...] = ()
    ca_file: Path | None = None
    master_key: str | None = None
    deno: Path | None = None
    script_workers: int = 32
    script_memory: int = 256
    """MiB."""
    script_hosts: tuple[str, ...] = (
        "deno.land",
        "esm.sh",
        "cdn.jsdelivr.net",
        "unpkg.com",
        "raw.githubusercontent.com",
    )
    template_language: str = "en"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    stop_timeout: timedelta = timedelta(seconds=20)

    def __post_init__(self) -> None:
        if not self.database_url:
            derived = f"sqlite:///{self.data / 'textgate.db'}"
            msgspec.structs.force_setattr(self, "database_url", derived)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def listens_on_loopback_only(self) -> bool:
        """Whether nobody but this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower().rstrip(".") == "localhost"

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(name, getattr(self, name))}" for name in self.__struct_fields__)
        return f"Settings({', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # Rich would otherwise read the fields
        return [(name, _masked(name, getattr(self, name))) for name in self.__struct_fields__]


@dataclass(frozen=True, slots=True)
class _Given:
    """One value and the name under which its source knows it."""

    name: str
    value: object


def load(*, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """Gather the settings, weakest source first, and check them; SettingError if one is wrong.

    ``file`` is the one asked for by flag; without it ``TEXTGATE_CONFIG``, then ``textgate.toml``
    in the working folder if there is one. A flag that is None was not given, and so is an empty
    variable (compose files write those).
    """
    given: dict[str, _Given] = {}
    for name, value in _documented_defaults().items():
        given[name] = _Given(name, value)
    given |= _from_file(_file(file, environ))
    given |= _from_environment(environ)
    for name, value in flags.items():
        if value is not None:
            given[name] = _Given("--" + name.replace("_", "-"), value)
    values: dict[str, Any] = {name: _read(name, found) for name, found in given.items()}
    settings = Settings(**values)
    _check_together(settings, given)
    return settings


def defaults_text() -> str:
    """The shipped ``defaults.toml``."""
    return files("textgate").joinpath("defaults.toml").read_text("utf-8")


@cache
def _documented_defaults() -> dict[str, Any]:
    return tomllib.loads(defaults_text())


def _file(asked: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read, or None; SettingError if one was asked for and is not there."""
    name, path = "--config", asked
    if path is None and environ.get(PREFIX + "CONFIG"):
        name, path = PREFIX + "CONFIG", Path(environ[PREFIX + "CONFIG"])
    if path is None:
        usual = Path("textgate.toml")
        return usual if usual.is_file() else None
    if not path.is_file():
        raise SettingError(name, "must be a file that exists", shown=repr(str(path)))
    return path


def _from_file(path: Path | None) -> dict[str, _Given]:
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as wrong:
        raise SettingError(str(path), f"cannot be read ({wrong.strerror})") from None
    except UnicodeDecodeError:
        raise SettingError(str(path), "must be UTF-8 text") from None
    except tomllib.TOMLDecodeError as wrong:  # it names the line and the key, never the value
        raise SettingError(str(path), f"is not valid TOML: {wrong}") from None
    for name in content:
        if name not in READERS:
            raise SettingError(f"{name} in {path.name}", _unknown(name, READERS))
    return {name: _Given(f"{name} in {path.name}", value) for name, value in content.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    names = {PREFIX + name.upper(): name for name in READERS}
    given = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in OTHER_NAMES:
            continue
        if variable not in names:
            raise SettingError(variable, _unknown(variable, [*names, *OTHER_NAMES]))
        if value:
            given[names[variable]] = _Given(variable, value)
    return given


def _unknown(name: str, known: Iterable[str]) -> str:
    # The prefix is the same in all, so it says nothing about which one was meant.
    bare = {other.removeprefix(PREFIX): other for other in known}
    close = get_close_matches(name.removeprefix(PREFIX), bare, n=1)
    return "there is no such setting" + (f"; did you mean {bare[close[0]]}?" if close else "")


def _read(name: str, given: _Given) -> object:
    try:
        return READERS[name](given.value)
    except ValueError as wrong:
        raise SettingError(given.name, str(wrong), shown=_shown(name, given.value)) from None


def _shown(name: str, value: object) -> str:
    """The value for a message or a repr, masked if it is secret."""
    found = _masked(name, value)
    return str(found) if found == _MASK else repr(str(found) if isinstance(found, Path) else found)


def _masked(name: str, value: object) -> object:
    if name in SECRETS and value is not None:
        return _MASK
    if isinstance(value, str) and "://" in value and "@" in value:  # a URL with a password
        scheme, _, rest = value.partition("://")
        return f"{scheme}://{_MASK}@{rest.rpartition('@')[2]}"
    return value


def _check_together(settings: Settings, given: Mapping[str, _Given]) -> None:
    """The rules that need more than one setting."""
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if getattr(settings, one) and not getattr(settings, other):
            raise _wrong(given, one, f"needs {other} too: HTTPS takes both")
    if settings.tls_cert:
        _check_pair(settings, given)
    if settings.refresh_token_ttl <= settings.access_token_ttl:
        raise _wrong(given, "refresh_token_ttl", "must be longer than access_token_ttl")
    if settings.push_relay_open and not settings.push_relay_url:
        raise _wrong(given, "push_relay_open", "needs push_relay_url: that is where it hands on")
    if settings.webhook_concurrency > settings.webhook_concurrency_total:
        rule = "must not exceed webhook_concurrency_total"
        raise _wrong(given, "webhook_concurrency", rule)


def _check_pair(settings: Settings, given: Mapping[str, _Given]) -> None:
    import ssl

    assert settings.tls_cert is not None
    try:
        # An empty password instead of a prompt: a locked key stops the start, it does not wait.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_cert, settings.tls_key, password=""
        )
    except (ssl.SSLError, ValueError) as wrong:
        rule = f"must be a PEM certificate that belongs to tls_key, without password ({wrong})"
        raise _wrong(given, "tls_cert", rule) from None


def _wrong(given: Mapping[str, _Given], name: str, rule: str) -> SettingError:
    found = given[name]
    return SettingError(found.name, rule, shown=_shown(name, found.value))


def kept_secret(settings: Settings, name: Kept) -> str:
    """The secret that is set, else the one kept for it in the data folder (mode 0600).

    Makes it on the first call. Two processes that start together end up with the same one. Raises
    SettingError if what the file holds is not what the setting could be.
    """
    if (found := getattr(settings, name)) is not None:
        return str(found)
    kept = kept_file(settings, name)
    if not kept.exists():
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=settings.data)  # mode 0600
        with os.fdopen(handle, "w") as writing:
            writing.write(secrets.token_urlsafe(48))
            writing.flush()
            os.fsync(writing.fileno())
        try:
            os.link(fresh, kept)  # whole or not at all, and never over another's
        except FileExistsError:
            pass
        finally:
            Path(fresh).unlink()
    try:
        return str(READERS[name](kept.read_text("utf-8").strip()))
    except OSError as wrong:
        raise SettingError(str(kept), f"cannot be read ({wrong.strerror})") from None
    except ValueError as wrong:
        raise SettingError(str(kept), str(wrong)) from None


def kept_file(settings: Settings, name: Kept) -> Path:
    """Where the secret is kept if it is not set."""
    return settings.data / name.replace("_", "-")
