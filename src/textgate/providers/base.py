"""What every provider owes: settings as data, and ``send``."""

from collections.abc import Awaitable, Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Generic, NoReturn, Protocol, TypeVar, get_type_hints

import msgspec

from textgate.domain.errors import Invalid
from textgate.domain.message import Receipt, carries_code
from textgate.domain.outcome import Outcome
from textgate.domain.phone import mask
from textgate.domain.times import Clock, Milliseconds
from textgate.outbound.guard import Guard
from textgate.outbound.http import Http
from textgate.outbound.script.desk import Desk
from textgate.outbound.script.workers import Workers

S = TypeVar("S")
MASK = "********"


def setting(
    label: str,
    *,
    help: str = "",  # noqa: A002
    default: Any = MISSING,
    secret: bool = False,
    multiline: bool = False,
    hidden: bool = False,
) -> Any:
    """Declare one setting of a provider; forms, checks, masking and docs are made from it.

    Without ``default`` it is required, and must not be empty. A secret is left out when the
    settings are printed. What is hidden is kept with the settings, and neither shown with them nor
    taken from callers: the house itself writes it.
    """
    metadata = {
        "label": label,
        "help": help,
        "secret": secret,
        "multiline": multiline,
        "hidden": hidden,
    }
    if default is MISSING:
        return field(metadata=metadata, repr=not secret)
    if isinstance(default, list | dict):
        return field(
            metadata=metadata,
            repr=not secret,
            default_factory=lambda: type(default)(default),
        )
    return field(metadata=metadata, repr=not secret, default=default)


# A Struct and not a dataclass: one is made for each attempt, at a tenth of the time.
class Sms(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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

    @property
    def one_time(self) -> bool:
        """Whether it carries a one-time code: a second copy of it does no harm, and a code that is
        lost does."""
        return carries_code(self.context)

    def __repr__(self) -> str:
        return f"Sms(id={self.id!r}, to={mask(self.to)!r}, attempt={self.attempt})"


@dataclass(frozen=True, slots=True)
class Tools:
    """What a channel may use; nothing else is in its reach."""

    http: Http
    guard: Guard
    clock: Clock
    scripts: Workers
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
    pulled: bool = False
    """The far side fetches its messages and reports on them: nothing is sent, and its channels are
    made by its registering. What waits for it stays due until then (``gateway/phone_queue``)."""
    simulated: bool = False
    """Sends nothing: it serves only where no channel of another kind can."""
    carries_data: bool = False
    carries_encrypted: bool = False
    receipts: bool = False
    """Whether later receipts may come, matched by ``Accepted.ref``."""
    resend: Callable[[S, Sms], bool] = lambda settings, sms: False
    """Whether a message whose outcome is unknown may be sent again."""
    max_attempt_s: Callable[[S], float] = lambda settings: 60.0
    """The longest a ``send`` may take."""
    prepare: Callable[[S, Desk], Awaitable[dict[str, Any]]] | None = None
    """What saving owes and what takes its time: returns hidden settings. Raises ``Invalid``."""
    prepared_from: tuple[str, ...] = ()
    """The settings that ``prepare`` reads: it runs when one of them changes."""
    scripted: bool = False
    """Its settings are a script: ``source``, and hidden ``modules`` and ``secrets``. Every version
    of it is kept."""

    def parse(self, given: dict[str, Any]) -> S:
        """Return checked settings. Raises ``Invalid`` with the member's name."""
        members = self._members()
        for name in given:
            if name not in members:
                self._refuse(name)
        for name, member in members.items():
            if _required(member) and given.get(name) in (None, ""):
                raise Invalid(f"{member.metadata['label']} is required", field=f"settings.{name}")
        try:
            return msgspec.convert(given, self.settings)
        except msgspec.ValidationError as problem:
            reason, _, place = str(problem).partition(" - at `$.")
            name = place.rstrip("`").partition(".")[0].partition("[")[0]
            label = f"{members[name].metadata['label']}: " if name in members else ""
            raise Invalid(
                label + reason, field=f"settings.{name}" if name else "settings"
            ) from None

    def masked(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return settings for showing: defaults filled in, secrets hidden.

        Takes what is stored as it is: what a later version would refuse must still be shown.
        """
        shown: dict[str, Any] = {}
        for name, member in self._open_members().items():
            value = given[name] if name in given else _default(member)
            shown[name] = MASK if member.metadata["secret"] and value else value
        return shown

    def merged(self, stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Return ``stored`` changed by ``given``; a secret sent back masked keeps its value.

        What is stored and is no setting any more is dropped. Raises ``Invalid`` for a hidden one.
        """
        members = self._members()
        for name in given:
            if name in members and members[name].metadata["hidden"]:
                self._refuse(name)
        secrets = {name for name, member in members.items() if member.metadata["secret"]}
        kept = {name: value for name, value in stored.items() if name in members}
        new = {k: v for k, v in given.items() if not (k in secrets and v == MASK)}
        return kept | new

    def describe(self) -> list[dict[str, Any]]:
        """Return the settings as data: name, label, help, type, default, limits, secret or not."""
        hints = get_type_hints(self.settings, include_extras=True)
        return [
            {
                "name": name,
                "label": member.metadata["label"],
                "help": member.metadata["help"],
                "secret": member.metadata["secret"],
                "multiline": member.metadata["multiline"],
                "required": _required(member),
                "default": None if member.metadata["secret"] else _default(member),
                "schema": msgspec.json.schema(hints[name]),
            }
            for name, member in self._open_members().items()
        ]

    def _refuse(self, name: str) -> NoReturn:
        known = ", ".join(sorted(self._open_members()))
        raise Invalid(
            f"{self.title} has no setting {name}; it has {known}", field=f"settings.{name}"
        )

    def _open_members(self) -> dict[str, Field[Any]]:
        return {n: m for n, m in self._members().items() if not m.metadata["hidden"]}

    def _members(self) -> dict[str, Field[Any]]:
        return {member.name: member for member in fields(self.settings)}  # type: ignore[arg-type]


def _required(member: Field[Any]) -> bool:
    return member.default is MISSING and member.default_factory is MISSING


def _default(member: Field[Any]) -> Any:
    """Return the default as JSON has it; None for a required setting."""
    if member.default_factory is not MISSING:
        return msgspec.to_builtins(member.default_factory())
    return None if member.default is MISSING else msgspec.to_builtins(member.default)
