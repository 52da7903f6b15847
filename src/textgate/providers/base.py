"""What every provider owes: settings as data, and ``send``."""

from collections.abc import Awaitable, Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

import msgspec

from textgate.domain.errors import Invalid
from textgate.domain.message import Receipt
from textgate.domain.outcome import Outcome
from textgate.domain.times import Clock, Milliseconds
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient

S = TypeVar("S")
MASK = "********"


def setting(
    label: str,
    *,
    help: str = "",  # noqa: A002
    default: Any = MISSING,
    secret: bool = False,
    multiline: bool = False,
) -> Any:
    """Declare one setting of a provider; forms, checks, masking and docs are made from it."""
    metadata = {"label": label, "help": help, "secret": secret, "multiline": multiline}
    if default is MISSING:
        return field(metadata=metadata)
    if isinstance(default, list | dict):
        return field(metadata=metadata, default_factory=lambda: type(default)(default))
    return field(metadata=metadata, default=default)


@dataclass(frozen=True, slots=True)
class Sms:
    """One message to one number, as a channel is asked to send it."""

    account_id: str
    message_id: str
    id: str
    """Names this message to this number: the same on every retry, so a provider that drops
    repeats can tell one."""
    to: str
    """E.164, unless validation was skipped or the message is encrypted."""
    text: str | None
    data: str | None
    port: int | None
    encrypted: bool
    sim_number: int | None
    priority: int
    delivery_report: bool
    attempt: int
    deadline: Milliseconds
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tools:
    """What a channel may use; nothing else is in its reach."""

    http: HttpClient
    guard: Guard
    clock: Clock
    channel_id: str
    report: Callable[[Receipt], Awaitable[None]]
    """Hand over a receipt; returns once it is on disk."""


class OpenChannel(Protocol):
    """A provider opened with settings."""

    async def send(self, sms: Sms) -> Outcome:
        """Try once. Whatever goes wrong is an ``Outcome``; bounded in time by its own limit."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Provider(Generic[S]):
    """One kind of far side."""

    kind: str
    title: str
    settings: type[S]
    open: Callable[[S, Tools], OpenChannel]
    check: Callable[[S, Guard], None] = lambda settings, guard: None
    """Raise ``Invalid`` for settings that types alone cannot refuse."""
    carries_data: bool = False
    carries_encrypted: bool = False
    receipts: bool = False
    """Whether later receipts may come, matched by ``Accepted.ref``."""
    resend: Callable[[S], bool] = lambda settings: False
    """Whether a message whose outcome is unknown may be sent again."""
    max_attempt_s: Callable[[S], float] = lambda settings: 60.0
    """The longest a ``send`` may take."""

    def parse(self, given: dict[str, Any]) -> S:
        """Return checked settings. Raises ``Invalid`` with the member's name."""
        known = {f.name for f in fields(self.settings)}  # type: ignore[arg-type]
        for name in given:
            if name not in known:
                raise Invalid(
                    f"{self.title} has no setting {name}; it has {', '.join(sorted(known))}",
                    field=f"settings.{name}",
                )
        for f in fields(self.settings):  # type: ignore[arg-type]
            required = f.default is MISSING and f.default_factory is MISSING
            if required and given.get(f.name) in (None, ""):
                raise Invalid(f"{f.metadata['label']} is required", field=f"settings.{f.name}")
        try:
            return msgspec.convert(given, self.settings)
        except msgspec.ValidationError as problem:
            reason, _, place = str(problem).partition(" - at `$.")
            name = place.rstrip("`")
            raise Invalid(reason, field=f"settings.{name}" if name else "settings") from None

    def masked(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return settings for showing: defaults filled in, secrets hidden."""
        shown = msgspec.to_builtins(self.parse(given))
        for f in fields(self.settings):  # type: ignore[arg-type]
            if f.metadata["secret"] and shown.get(f.name):
                shown[f.name] = MASK
        result: dict[str, Any] = shown
        return result

    def merged(self, stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Return ``stored`` changed by ``given``; a secret sent back masked keeps its value."""
        secrets = {f.name for f in fields(self.settings) if f.metadata["secret"]}  # type: ignore[arg-type]
        kept = {k: v for k, v in given.items() if not (k in secrets and v == MASK)}
        return {**stored, **kept}

    def describe(self) -> list[dict[str, Any]]:
        """Return the settings as data: name, label, help, type, default, limits, secret or not."""
        hints = get_type_hints(self.settings, include_extras=True)
        return [
            {
                "name": f.name,
                "label": f.metadata["label"],
                "help": f.metadata["help"],
                "secret": f.metadata["secret"],
                "multiline": f.metadata["multiline"],
                "required": f.default is MISSING and f.default_factory is MISSING,
                "default": None
                if f.default is MISSING or f.metadata["secret"]
                else msgspec.to_builtins(f.default),
                "schema": _schema(hints[f.name]),
            }
            for f in fields(self.settings)  # type: ignore[arg-type]
        ]


def _schema(hint: Any) -> dict[str, Any]:
    return msgspec.json.schema(hint)
