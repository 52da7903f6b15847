"""What a phone makes of a message at its turn: readable text, numbers, a SIM, or why not
(A §7.3)."""

import re
from random import Random

import msgspec

from textgate.domain.device import SimCard
from textgate.domain.encryption import decrypt
from textgate.domain.errors import Invalid
from textgate.domain.message import Message, Recipient
from textgate.domain.phone import mask, parse_phone
from textgate.domain.segment import segments
from textgate.domain.times import Milliseconds
from textgate.gateway.submit import CHECKED_BY_PHONE
from textgate.phone.behaviour import Behaviour
from textgate.phone.habits import Habits
from textgate.phone.happening import Happening, Kind

_NOT_DIALLED = re.compile(r"[^0-9+*#]")


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """One number that a message is handed over for."""

    message: Message
    number: str
    """As it is stored: of an encrypted message, the ciphertext."""
    sim: SimCard | None
    """None: what the system takes by default, which nobody tells us."""
    parts: int

    def happening(self, at: Milliseconds, kind: Kind, text: str) -> Happening:
        """Return what is told of it; ``text`` goes before the number."""
        number = mask(self.number)
        return Happening(
            at=at,
            kind=kind,
            text=f"{text} {number}",
            message_id=self.message.id,
            fields={"number": number},
        )


class Unsendable(Exception):
    """Nothing of the message can go out; says why in the words of the app."""


def choose_sim(
    wanted: int | None, behaviour: Behaviour, habits: Habits, turn: int, dice: Random
) -> SimCard | None:
    """Return the SIM for the ``turn``-th message. Raises ``Unsendable`` for an empty slot."""
    sims = behaviour.sims
    if wanted is not None:
        found = next((sim for sim in sims if sim.slot_index == wanted - 1), None)
        if found is None:
            raise Unsendable(f"SIM {wanted} not found")
        return found
    match habits.sim_mode:
        case "RoundRobin" if sims:
            return sims[turn % len(sims)]
        case "Random" if sims:
            return dice.choice(sims)
        case _:
            return None


def read(
    message: Message, recipients: list[Recipient], passphrase: str | None, behaviour: Behaviour
) -> tuple[int, dict[str, str]]:
    """Return the number of parts, and the numbers that cannot be dialled, each with its reason.

    Encrypted ones take a tenth of a second and more: call it in a thread. Raises ``Unsendable``.
    """
    text = message.text
    if message.encrypted:
        try:
            if not passphrase:
                raise Invalid("Passphrase is not set")
            opened = decrypt(message.text or message.data or "", passphrase)
        except Invalid as error:
            raise Unsendable(f"Can't send message: {error.message}") from None
        text = opened if message.text is not None else None
    context = msgspec.json.decode(message.context or "{}")
    failed = {}
    for recipient in recipients:
        try:
            number = recipient.number
            if message.encrypted:
                number = decrypt(number, passphrase or "")
            _dialled(number, behaviour, checked=bool(context.get(CHECKED_BY_PHONE)))
        except Invalid as error:
            failed[recipient.number] = f"sendSMS: {error.message}"
    return (segments(text).parts if text is not None else 1), failed


def _dialled(number: str, behaviour: Behaviour, *, checked: bool) -> str:
    """Return the number that is dialled. Raises ``Invalid``."""
    if checked:
        return parse_phone(number, default_region=behaviour.region).e164
    dialled = _NOT_DIALLED.sub("", number)
    if not dialled:
        raise Invalid("Invalid phone number")
    return dialled
