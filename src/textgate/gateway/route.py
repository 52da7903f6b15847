"""Which channels may carry a message, in which order; the phones of an account are one of them."""

import msgspec

from textgate.domain.account import Channel
from textgate.domain.device import PhonePolicy
from textgate.domain.errors import Invalid, Unavailable
from textgate.domain.lifecycle import State
from textgate.domain.message import Submission
from textgate.domain.phone_choice import MOST_PHONES, Candidate, heard_since, ranked
from textgate.domain.times import rfc3339
from textgate.providers import phone
from textgate.providers.discovery import discover
from textgate.store.base import Tx

PHONES_LOOKED_AT = 64
"""Of an account, those heard of last; a message is not spread further."""
UNFINISHED_COUNTED = 1_000
"""Phones with more to do are equally burdened."""
HOUR_MS = 3_600_000


class Ways(msgspec.Struct, frozen=True, gc=False):
    """The enabled channels of an account, in their order; its phones stand together."""

    before: tuple[Channel, ...]
    phones: dict[str, Channel]
    after: tuple[Channel, ...]

    def carrying(self, wanted: Submission) -> "Ways":
        """Return those that can carry this kind of message; phones can carry all."""
        return Ways(
            tuple(c for c in self.before if carries(c, wanted)),
            self.phones,
            tuple(c for c in self.after if carries(c, wanted)),
        )


def choose_route(
    tx: Tx, account_id: str, message_id: str, wanted: Submission
) -> tuple[Channel, ...]:
    """Return the channels that may carry the message, in order.

    The phones stand at the place of the first of them. Raises ``Invalid`` if no channel can, and
    ``Unavailable`` if only phones could and the queues of all of them are full (A §7.4).
    """
    if wanted.device_id is None:
        # A simulator that took over for a channel in trouble would call sent what nobody sent.
        enabled = tx.memo("channel", f"ways of {account_id}", lambda: _ways(tx, account_id))
    else:
        named = tx.channels.get(account_id, wanted.device_id)
        if named is None or not named.enabled:
            raise Invalid("No active device with such ID found", field="deviceId")
        enabled = _in_order((named,))
    if not (enabled.before or enabled.phones):
        raise Invalid(
            "this account has no phone and no enabled channel; add one, for example with"
            ' POST /v1/channels {"provider": "simulator", "name": "sim", "settings": {}}'
        )
    able = enabled.carrying(wanted)
    if able.phones:
        return _with_phones(tx, account_id, message_id, wanted, able)
    if not able.before:
        kind = "encrypted messages" if wanted.encrypted else "data messages"
        names = ", ".join(c.name for c in enabled.before)
        raise Invalid(f"none of the channels ({names}) can carry {kind}")
    return able.before


def _ways(tx: Tx, account_id: str) -> Ways:
    enabled = tuple(c for c in tx.channels.all(account_id) if c.enabled)
    return _in_order(tuple(c for c in enabled if not _simulated(c)) or enabled)


def _in_order(channels: tuple[Channel, ...]) -> Ways:
    phones = {c.id: c for c in channels if pulled(c)}
    first = next((n for n, c in enumerate(channels) if c.id in phones), len(channels))
    after = tuple(c for c in channels[first:] if c.id not in phones)
    return Ways(channels[:first], phones, after)


def _simulated(channel: Channel) -> bool:
    provider = discover().get(channel.provider)
    return provider is not None and provider.simulated


def pulled(channel: Channel) -> bool:
    """Whether the far side is a phone, which fetches its messages itself."""
    provider = discover().get(channel.provider)
    return provider is not None and provider.pulled


def carries(channel: Channel, wanted: Submission) -> bool:
    """Whether the channel's provider can take this kind of message."""
    provider = discover().get(channel.provider)
    if provider is None:  # of a package that is not installed here any more
        return False
    if wanted.encrypted and not provider.carries_encrypted:
        return False
    return wanted.data is None or provider.carries_data


def policy_of(tx: Tx, account_id: str) -> PhonePolicy:
    """Return what the account wants of its phones."""
    account = tx.accounts.get(account_id)
    return account.phones if account else PhonePolicy()


def _with_phones(
    tx: Tx, account_id: str, message_id: str, wanted: Submission, able: Ways
) -> tuple[Channel, ...]:
    candidates = _candidates(tx, account_id, wanted, able.phones)
    policy = policy_of(tx, account_id)
    chosen, full = _with_room(tx, able.phones, candidates, message_id, policy)
    route = (*able.before, *(able.phones[phone.id] for phone in chosen), *able.after)
    if not route and full is not None:
        raise Unavailable(f"failed to enqueue message: queue limits exceeded: {full}")
    if not route:
        raise Invalid("failed to select device: record not found")
    return route


def _candidates(
    tx: Tx, account_id: str, wanted: Submission, phones: dict[str, Channel]
) -> list[Candidate]:
    """Return the phones that were heard of lately enough."""
    heard = tx.phone_queues.recent(account_id, PHONES_LOOKED_AT)
    if wanted.device_id is not None and (device := tx.devices.get(account_id, wanted.device_id)):
        heard = [(device.id, device.last_seen)]
    within = wanted.active_within_hours
    since = tx.now - within * HOUR_MS if within else 0
    return [
        Candidate(id_, last_seen, _has_sim(tx, account_id, id_, wanted.sim_number))
        for id_, last_seen in heard
        if id_ in phones and last_seen >= since
    ]


def _has_sim(tx: Tx, account_id: str, device_id: str, sim_number: int | None) -> bool:
    """A phone that did not say which SIMs it has is taken to have it."""
    if sim_number is None:
        return True
    device = tx.devices.get(account_id, device_id)
    if device is None or not device.sim_cards:
        return True
    return any(card.sim_number == sim_number for card in device.sim_cards)


def _with_room(
    tx: Tx,
    phones: dict[str, Channel],
    candidates: list[Candidate],
    message_id: str,
    policy: PhonePolicy,
) -> tuple[list[Candidate], str | None]:
    """Return those whose queues have room, in order, and why the first of the others has none."""
    since = heard_since(policy, tx.now)
    chosen, full = list[Candidate](), None
    for candidate in ranked(candidates, message_id, heard_since=since):
        why = over_limit(tx, phones[candidate.id])
        if why is None:
            chosen.append(candidate)
        full = full or why
        if len(chosen) == MOST_PHONES:
            break
    if len(chosen) > 1:
        chosen = [
            msgspec.structs.replace(
                c, unfinished=tx.phone_queues.unfinished(c.id, UNFINISHED_COUNTED)
            )
            for c in chosen
        ]
        chosen = ranked(chosen, message_id, heard_since=since)
    return chosen, full


def over_limit(tx: Tx, channel: Channel) -> str | None:
    """Return why a phone's queue takes no more, in the words of A §7.4; None if it does."""
    if not channel.settings:
        return None
    limits = phone.PROVIDER.parse(channel.settings)
    queues = tx.phone_queues
    if limits.max_pending:
        pending = queues.pending(channel.id, limits.max_pending + UNFINISHED_COUNTED)
        if pending >= limits.max_pending:
            return f"too many pending messages: {pending} / {limits.max_pending}"
    if limits.max_pending_age_s:
        oldest = queues.oldest_pending(channel.id)
        if oldest is not None and oldest < tx.now - limits.max_pending_age_s * 1000:
            return f"too old pending message: {rfc3339(oldest)}"
    if limits.max_failed:
        since = tx.now - limits.max_failed_age_s * 1000
        ends = queues.last_ends(channel.id, since, limits.max_failed)
        if len(ends) == limits.max_failed and set(ends) == {State.FAILED}:
            return "too many failed messages"
    return None
