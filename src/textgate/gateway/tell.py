"""What follows from a call of a webhook: one write, fenced by the take that it belongs to."""

import msgspec

from textgate.domain.calling import Again, Dead, Disable, Told, Verdict
from textgate.domain.event import CallAttempt, CallJob, DeliveryState, Webhook
from textgate.domain.times import Milliseconds, milliseconds
from textgate.gateway.webhooks import set_enabled
from textgate.store.base import Tx


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call as the engine saw it."""

    verdict: Verdict
    started_at: Milliseconds
    elapsed_ms: float
    status: int | None
    detail: str | None


def settle_call(tx: Tx, job: CallJob, webhook: Webhook, call: Call) -> bool:
    """Store the call and what follows from it; False if the work was no longer ours."""
    event = job.event
    verdict = call.verdict
    match verdict:
        case Told():
            mine = tx.deliveries.end(job, DeliveryState.DELIVERED, None, tx.now)
        case Again(wait=wait):
            due_at = tx.now + milliseconds(wait)
            mine = tx.deliveries.end(job, DeliveryState.PENDING, due_at, None)
            tx.due(due_at)
        case Dead():
            mine = tx.deliveries.end(job, DeliveryState.DEAD, None, tx.now)
        case Disable():
            mine = tx.deliveries.end(job, DeliveryState.HELD, None, None)
    if not mine:
        return False
    tx.deliveries.add_attempt(
        CallAttempt(
            account_id=event.account_id,
            event_id=event.id,
            lane=job.lane,
            attempt=job.delivery.attempt,
            started_at=call.started_at,
            elapsed_ms=call.elapsed_ms,
            status=call.status,
            ok=isinstance(verdict, Told),
            detail=call.detail,
        )
    )
    context: dict[str, object] = {"webhook": webhook.id, "event": event.id}
    if isinstance(verdict, Disable):
        set_enabled(tx, event.account_id, webhook.id, False, reason="the receiver answered 410")
        tx.logs.add(
            event.account_id, "WARN", "webhooks", "disabled: the receiver answered 410", context
        )
    elif isinstance(verdict, Dead):
        tx.logs.add(
            event.account_id,
            "ERROR",
            "webhooks",
            f"gave up after {job.delivery.attempt - job.delivery.base} calls; can be replayed",
            context,
        )
    return True
