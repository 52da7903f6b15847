"""What came in: kept once, and counted in the conversation with its sender."""

from collections.abc import Sequence
from itertools import count

from msgspec.structs import replace

from textgate.domain.inbound import Attachment, Inbound
from textgate.domain.phone import canonical
from textgate.store.base import Tx


def keep(
    tx: Tx,
    inbound: Inbound,
    attachments: Sequence[Attachment] = (),
    *,
    default_region: str | None = None,
) -> None:
    """Put a message into the inbox, unless it is there.

    A phone's id is a hash of 32 bits, or the number of a row in its own store (A §4.3), so another
    message may have it already: then this one gets a number behind its id, and the attachments
    follow. ``default_region`` is where a sender without ``+`` is taken to be from.
    """
    kept = replace(inbound, number=canonical(inbound.sender, default_region), kept_at=tx.now)
    for n in count(2):
        if tx.inbox.add(kept):
            break
        known = tx.inbox.get(kept.account_id, kept.id)
        if known is None or _said(known) == _said(kept):
            return
        kept = replace(kept, id=f"{inbound.id}.{n}")
    for attachment in attachments:
        tx.inbox.add_attachment(replace(attachment, inbound_id=kept.id))
    tx.conversations.count(kept.account_id, kept.number, kept.created_at)


def _said(inbound: Inbound) -> tuple[object, ...]:
    """What two tellings of one message have in common."""
    return (
        inbound.device_id,
        inbound.type,
        inbound.sender,
        inbound.content,
        inbound.created_at,
    )
