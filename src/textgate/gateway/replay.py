"""Telling webhooks again: what was given up, held or delivered becomes due from the start."""

from dataclasses import dataclass

from textgate.domain.errors import Conflict, NotFound
from textgate.domain.event import Delivery, DeliveryState
from textgate.domain.identity import ENTROPY_BYTES, make_id
from textgate.domain.times import Milliseconds
from textgate.gateway.webhooks import enabled_webhook
from textgate.store.base import Store, Tx

CHUNK = 200
"""Deliveries of one write, each a statement: it keeps the event loop for some 15 ms."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries of a webhook are to be made again: those of events in [since, until)."""

    states: tuple[DeliveryState, ...] = (DeliveryState.DEAD,)
    since: Milliseconds = 0
    until: Milliseconds | None = None


def replay(
    tx: Tx, account_id: str, webhook_id: str, wanted: Wanted, *, before: str | None = None
) -> tuple[int, str | None]:
    """Make up to ``CHUNK`` of the wanted deliveries due again, the newest first.

    Returns how many, and ``before`` for the next call, or None when nothing is left. The cursor
    is what keeps a loop over calls from replaying what it has just had delivered. Raises
    ``NotFound``, or ``Conflict`` while the webhook is disabled.
    """
    webhook = enabled_webhook(tx, account_id, webhook_id)
    if before is None and wanted.until is not None:
        before = _first_id_at(wanted.until)
    page = tx.deliveries.page(
        account_id, webhook.key, before=before, states=wanted.states, limit=CHUNK
    )
    first = _first_id_at(wanted.since)
    chosen = [delivery for delivery in page if delivery.event_id >= first]
    count = sum(_again(tx, delivery) for delivery in chosen)
    more = len(chosen) == CHUNK
    return count, chosen[-1].event_id if more else None


async def replay_all(store: Store, account_id: str, webhook_id: str, wanted: Wanted) -> int:
    """Make all wanted deliveries due again, in short writes; return how many."""
    before: str | None = None

    def chunk(tx: Tx) -> tuple[int, str | None]:
        return replay(tx, account_id, webhook_id, wanted, before=before)

    total, before = await store.write(chunk)
    while before is not None:
        count, before = await store.write(chunk)
        total += count
    return total


def replay_one(tx: Tx, account_id: str, webhook_id: str, event_id: str) -> Delivery:
    """Make one delivery due now, from the start of its schedule, whatever became of it.

    Raises ``NotFound``, or ``Conflict`` while it is being made or the webhook is disabled.
    """
    webhook = enabled_webhook(tx, account_id, webhook_id)
    delivery = tx.deliveries.get(account_id, webhook.key, event_id)
    if delivery is None:
        raise NotFound("this webhook has no delivery of that event")
    if delivery.holder is not None:
        raise Conflict("this delivery is under way")
    _again(tx, delivery)
    return tx.deliveries.get(account_id, webhook.key, event_id) or delivery


def _again(tx: Tx, delivery: Delivery) -> int:
    return tx.deliveries.replay(
        delivery.account_id, delivery.lane, event_id=delivery.event_id, states=(delivery.state,)
    )


def _first_id_at(at: Milliseconds) -> str:
    """The smallest id that can be made at this time: ids sort by time."""
    return make_id(max(0, at), bytes(ENTROPY_BYTES))
