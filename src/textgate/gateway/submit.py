"""Accepting a message: the checks, then one write that holds all of it."""

import base64
import binascii

import msgspec

from textgate.domain.account import Channel
from textgate.domain.device import DeviceEvent
from textgate.domain.errors import Conflict, Invalid
from textgate.domain.lifecycle import State
from textgate.domain.message import (
    PRIORITY_HEAD_START_MS,
    Message,
    Recipient,
    SendJob,
    Submission,
)
from textgate.domain.outcome import BLAMES_THE_CHANNEL, Reason
from textgate.domain.phone import parse_phone
from textgate.domain.phone_choice import move_on_at
from textgate.domain.segment import segments
from textgate.domain.signing import fingerprint
from textgate.domain.times import Milliseconds
from textgate.gateway.nudges import nudge
from textgate.gateway.route import choose_route, policy_of, pulled
from textgate.store.base import LEASE_MS, Tx

MAX_NUMBERS = 100
MAX_NUMBER_LENGTH = 128
MAX_TEXT = 65_535
MIN_TTL_MS = 5_000
MAX_TTL_MS = 3650 * 86_400_000
"""Ten years: far beyond any use, and far from where times overflow."""
MAX_ID_LENGTH = 36
MAX_REPEATS = 1000
"""Of a message that fails each time; its last failure is told from then on."""

_encode = msgspec.json.Encoder().encode


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Where the doors are not equally strict (A §2.1, §2.10)."""

    most_numbers: int = MAX_NUMBERS
    longest_number: int = MAX_NUMBER_LENGTH
    least_ttl_ms: Milliseconds = MIN_TTL_MS
    most_sims: int = 3
    least_port: int = 1
    outlives_schedule: bool = True
    """Whether a message must be valid until the time for which it is scheduled."""


_SERVER = Rules()
ON_PHONE = Rules(
    most_numbers=1_000,
    longest_number=1_024,
    least_ttl_ms=1_000,
    most_sims=2**31 - 1,
    least_port=0,
    outlives_schedule=False,
)
"""Of a phone's own API, which has no limits of numbers at all; these keep one write short."""
CHECKED_BY_PHONE = "validateNumbers"
"""In a message's context: the phone is to check the numbers, when it sends (A §2.10)."""


class Checked(msgspec.Struct, frozen=True, gc=False):
    """A submission that keeps the rules; ``numbers`` are in the form that is stored."""

    wanted: Submission
    numbers: tuple[str, ...]
    parts: int
    fingerprint: str
    rules: Rules = _SERVER


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """What is on disk now; ``created`` is False for a repeat of a known id."""

    message: Message
    recipients: list[Recipient]
    created: bool


def check(wanted: Submission, *, default_region: str | None, rules: Rules = _SERVER) -> Checked:
    """Apply the rules that need neither the clock nor the store (A §2.1). Raises ``Invalid``."""
    if wanted.id is not None and ("|" in wanted.id or len(wanted.id) > MAX_ID_LENGTH):
        raise Invalid("an id has at most 36 characters and no |", field="id")
    if wanted.id is not None and not wanted.id.isprintable():
        raise Invalid("an id has printable characters only", field="id")
    _check_content(wanted, rules)
    if wanted.ttl_ms is not None and wanted.valid_until is not None:
        raise Invalid("conflict fields: ttl and validUntil", field="ttl")
    if wanted.ttl_ms is not None and wanted.ttl_ms < rules.least_ttl_ms:
        raise Invalid(f"ttl must be at least {rules.least_ttl_ms // 1000} seconds", field="ttl")
    if wanted.ttl_ms is not None and wanted.ttl_ms > MAX_TTL_MS:
        raise Invalid("ttl must be at most ten years", field="ttl")
    if not -128 <= wanted.priority <= 127:
        raise Invalid("priority must be from -128 to 127", field="priority")
    if wanted.sim_number is not None and not 1 <= wanted.sim_number <= rules.most_sims:
        raise Invalid(f"simNumber must be from 1 to {rules.most_sims}", field="simNumber")
    return Checked(
        wanted=wanted,
        numbers=_numbers(wanted, default_region, rules),
        parts=_parts(wanted),
        fingerprint=fingerprint(_encode(msgspec.structs.replace(wanted, id=None))),
        rules=rules,
    )


def _check_content(wanted: Submission, rules: Rules) -> None:
    if (wanted.text is None) == (wanted.data is None):
        raise Invalid("must specify exactly one of: textMessage or dataMessage", field="message")
    if wanted.text is not None and not 1 <= len(wanted.text) <= MAX_TEXT:
        raise Invalid("text must have from 1 to 65535 characters", field="textMessage.text")
    if wanted.data is not None:
        if not 4 <= len(wanted.data) <= MAX_TEXT:
            raise Invalid("data must have from 4 to 65535 characters", field="dataMessage.data")
        if wanted.port is None or not rules.least_port <= wanted.port <= 65_535:
            rule = f"port must be from {rules.least_port} to 65535"
            raise Invalid(rule, field="dataMessage.port")
        if not wanted.encrypted:
            try:
                base64.b64decode(wanted.data, validate=True)
            except (binascii.Error, ValueError):
                raise Invalid("data must be standard base64", field="dataMessage.data") from None


def _numbers(wanted: Submission, default_region: str | None, rules: Rules) -> tuple[str, ...]:
    most, longest = rules.most_numbers, rules.longest_number
    if not 1 <= len(wanted.numbers) <= most:
        raise Invalid(f"from 1 to {most} phone numbers are needed", field="phoneNumbers")
    if any(not 1 <= len(number) <= longest for number in wanted.numbers):
        rule = f"a phone number has from 1 to {longest} characters"
        raise Invalid(rule, field="phoneNumbers")
    numbers = wanted.numbers
    if not (wanted.encrypted or wanted.skip_validation):
        numbers = tuple(parse_phone(n, default_region=default_region).e164 for n in numbers)
    # What nobody read as a number: a line feed would end a header or a command further on.
    if not all(number.isprintable() for number in numbers):
        raise Invalid("a phone number has printable characters only", field="phoneNumbers")
    if len(numbers) > 1 and len(set(numbers)) != len(numbers):
        raise Invalid("phone numbers must be unique", field="phoneNumbers")
    return numbers


def _parts(wanted: Submission) -> int:
    if wanted.encrypted:
        return -1
    return segments(wanted.text).parts if wanted.text is not None else 1


def submit(
    tx: Tx,
    account_id: str,
    checked: Checked,
    *,
    validity_ms: Milliseconds,
    created_at: Milliseconds | None = None,
) -> Submitted:
    """Store the message, its recipients and the work of sending, leased to this process.

    ``created_at``: when it was made elsewhere, if not now; it says who is older, nothing else.
    A repeat of a known id with the same content returns what became of it; with other content it
    raises ``Conflict``. Raises ``Invalid`` when nothing can carry the message, ``Unavailable`` when
    the queues of all phones that could are full.
    """
    wanted = checked.wanted
    if wanted.id is not None:
        known = repeat_of(tx, account_id, wanted.id, checked.fingerprint)
        if known is not None:
            return known
    _check_times(wanted, checked.rules, tx.now)
    message_id = wanted.id or tx.new_id()
    route = choose_route(tx, account_id, message_id, wanted)
    message = Message(
        account_id=account_id,
        id=message_id,
        created_at=created_at or tx.now,
        state=State.PENDING,
        text=wanted.text,
        data=wanted.data,
        port=wanted.port,
        encrypted=wanted.encrypted,
        sim_number=wanted.sim_number,
        delivery_report=wanted.delivery_report,
        priority=wanted.priority,
        valid_until=wanted.valid_until if wanted.ttl_ms is None else tx.now + wanted.ttl_ms,
        schedule_at=wanted.schedule_at,
        device_id=route[0].id,
        fingerprint=checked.fingerprint,
        recipient_count=len(checked.numbers),
        parts=checked.parts,
        context=_encode(wanted.context).decode() if wanted.context else None,
    )
    tx.messages.add(message)
    recipients = [
        _add_recipient(tx, message, n, number, route, validity_ms)
        for n, number in enumerate(checked.numbers)
    ]
    if pulled(route[0]):
        nudge(tx, account_id, route[0].id, DeviceEvent.MESSAGE_ENQUEUED)
    return Submitted(message, recipients, created=True)


def repeat_of(tx: Tx, account_id: str, message_id: str, fingerprint: str) -> Submitted | None:
    """Return what became of the message of this id, or None. Raises ``Conflict`` if it is another
    one: ``fingerprint`` says what is asked now."""
    message = tx.messages.get(account_id, message_id)
    if message is None:
        return None
    if message.fingerprint != fingerprint:
        raise Conflict("message with the same ID already exists", field="id")
    return Submitted(message, tx.recipients.of(account_id, message_id), created=False)


def name_of_repeat(tx: Tx, account_id: str, message_id: str) -> str:
    """Return the id under which a message stands that its caller repeats under ``message_id``.

    It is that id, but for one that surely did not go out, for a reason that may be over by now:
    a repeat of it is tried anew, under the next id.
    """
    name = message_id
    for n in range(1, MAX_REPEATS):
        recipients = tx.recipients.of(account_id, name)
        if not recipients or not all(map(_may_go_out_yet, recipients)):
            break
        name = f"{message_id}.{n}"
    return name


def _may_go_out_yet(recipient: Recipient) -> bool:
    passing = recipient.reason in BLAMES_THE_CHANNEL | {Reason.EXPIRED}
    return recipient.state is State.FAILED and passing and not recipient.uncertain


def _check_times(wanted: Submission, rules: Rules, now: Milliseconds) -> None:
    if wanted.schedule_at is None:
        return
    if wanted.schedule_at <= now:
        raise Invalid("scheduleAt must be in the future", field="scheduleAt")
    until = wanted.valid_until if wanted.ttl_ms is None else now + wanted.ttl_ms
    if rules.outlives_schedule and until is not None and wanted.schedule_at > until:
        raise Invalid("scheduleAt must not be after the end of validity", field="scheduleAt")


def _add_recipient(
    tx: Tx,
    message: Message,
    n: int,
    number: str,
    route: tuple[Channel, ...],
    validity_ms: Milliseconds,
) -> Recipient:
    lane = route[0].id
    start = message.schedule_at or tx.now
    deadline = message.valid_until or start + validity_ms
    waits = pulled(route[0])
    leased = not waits and message.schedule_at is None and tx.lease(SendJob, lane)
    due_at = message.schedule_at or tx.now - message.priority * PRIORITY_HEAD_START_MS
    if waits:  # until its phone fetches it
        policy = policy_of(tx, message.account_id)
        until = move_on_at(policy, offered_at=tx.now, schedule_at=message.schedule_at, rounds=0)
        due_at = start = min(until, deadline)
    recipient = Recipient(
        account_id=message.account_id,
        message_id=message.id,
        n=n,
        number=number,
        state=State.PENDING,
        lane=lane,
        route=" ".join(channel.id for channel in route[1:]),
        attempt=1 if leased else 0,
        base=0,
        due_at=tx.now + LEASE_MS if leased else min(due_at, start),
        deadline=deadline,
        holder=tx.holder if leased else None,
        updated_at=tx.now,
    )
    tx.recipients.add(recipient)
    if leased:
        tx.hand_over(SendJob(message, recipient))
    else:
        tx.due(start)
    return recipient
