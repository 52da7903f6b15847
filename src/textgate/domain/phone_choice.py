"""Which phone carries a message, how long it waits there, and in which order a phone gets what
waits: rules over values, without clock or store."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal

import msgspec

from textgate.domain.device import PhonePolicy
from textgate.domain.message import Message
from textgate.domain.times import Milliseconds

MOST_PHONES = 8
"""So many phones of an account take part in one message; its recipients keep their ids."""


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A phone that may carry a message."""

    id: str
    last_seen: Milliseconds
    has_sim: bool = True
    """It has the SIM that is asked for, or is not known to lack it."""
    unfinished: int = 0
    """Numbers that it has still to reach, as far as they were counted."""


def heard_since(policy: PhonePolicy, now: Milliseconds) -> Milliseconds:
    """Return since when a phone must have been heard of not to count as silent."""
    return now - policy.offline_after_s * 1000


def ranked(
    phones: Iterable[Candidate], message_id: str, *, heard_since: Milliseconds
) -> list[Candidate]:
    """Return the phones in the order of trying.

    Those with the SIM first; among them those not silent, the least burdened first, and of equals
    one or the other by the message's id; then the silent ones, the last heard of first.
    """

    def key(phone: Candidate) -> tuple[bool, Milliseconds, int, bytes]:
        silence = -phone.last_seen if phone.last_seen < heard_since else _NONE
        return (not phone.has_sim, silence, phone.unfinished, _draw(message_id, phone))

    return sorted(phones, key=key)


_NONE = -(2**63)


def _draw(message_id: str, phone: Candidate) -> bytes:
    return blake2b(f"{message_id}|{phone.id}".encode(), digest_size=8).digest()


def move_on_at(
    policy: PhonePolicy,
    *,
    offered_at: Milliseconds,
    schedule_at: Milliseconds | None,
    rounds: int,
) -> Milliseconds:
    """Return until when a message waits for a phone to fetch it.

    ``rounds``: how often it has been at all of its phones. After the first round each has the time
    in which a living one is heard of, be it one that only looks every 15 minutes.
    """
    wait_s = policy.move_on_after_s
    if rounds > 0:
        wait_s = max(wait_s, policy.offline_after_s)
    return max(offered_at + wait_s * 1000, schedule_at or 0)


class Burden(msgspec.Struct, frozen=True, gc=False):
    """A phone as far as it matters for moving on."""

    last_seen: Milliseconds
    in_hand: int
    unfinished: int
    most: int
    """So many messages it may have in hand."""


def is_busy(phone: Burden, policy: PhonePolicy, now: Milliseconds) -> bool:
    """Whether the phone is there and has its hands full, so that what waits for it just waits."""
    return phone.in_hand >= phone.most and phone.last_seen >= now - policy.move_on_after_s * 1000


def takes_over(
    other: Burden | None, policy: PhonePolicy, now: Milliseconds, *, from_busy: bool
) -> bool:
    """Whether what nobody fetched goes to ``other``; None is a channel that is no phone.

    From a busy phone it goes only to another phone that is idle.
    """
    if other is None:
        return not from_busy
    if other.last_seen < heard_since(policy, now):
        return False
    return not from_busy or other.unfinished < other.most


def in_turn(messages: Iterable[Message], order: Literal["lifo", "fifo"]) -> list[Message]:
    """Return messages as a phone gets them (A §3.6): not scheduled, then the earliest; then the
    highest priority; then the newest (``lifo``) or the oldest."""
    by_age = sorted(messages, key=lambda m: (m.created_at, m.id), reverse=order == "lifo")
    return sorted(by_age, key=lambda m: (m.schedule_at or 0, -m.priority))
