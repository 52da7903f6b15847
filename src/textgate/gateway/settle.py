"""What follows from an attempt: one write, fenced by the take that it belongs to."""

from enum import Enum

import msgspec

from textgate.domain.decision import Decision, Finish, Reroute, Retry, decide
from textgate.domain.lifecycle import Signal, State, advance
from textgate.domain.message import Message, Recipient, SendAttempt, SendJob
from textgate.domain.outcome import Accepted, Outcome, Reason, Unknown
from textgate.domain.retry import RetryPolicy
from textgate.domain.times import Milliseconds, milliseconds
from textgate.gateway.receive import receive
from textgate.gateway.transition import record
from textgate.store.base import LEASE_MS, Tx

MAX_DETAIL = 256
ERROR_TEXT = {
    Reason.EXPIRED: "TTL expired",
    Reason.CANCELLED: "Cancelled",
    Reason.NO_CHANNEL: "the channel is gone or disabled, and there is no other",
    Reason.UNKNOWN: "an attempt may have gone out, and its result never came",
}
PERHAPS_OUT = Finish(Signal.FAILED, Reason.UNKNOWN)


class Report(msgspec.Struct, frozen=True, gc=False):
    """One attempt as the engine saw it."""

    outcome: Outcome
    started_at: Milliseconds
    elapsed_ms: float
    dice: float
    policy: RetryPolicy
    resend: bool
    begun: bool
    """Whether ``begin`` wrote the attempt down before."""
    receipts: bool
    """Whether the provider sends receipts, some perhaps before its answer."""


class Leave(Enum):
    """Whether a careful attempt may begin."""

    GO = "go"
    LOST = "lost"
    DIED = "died"


def begin(tx: Tx, job: SendJob, started_at: Milliseconds) -> Leave:
    """Write down that an attempt begins, for channels where a second copy would do harm.

    LOST: the work is not ours any more. DIED: an earlier attempt began and never reported.
    """
    r = job.recipient
    now = tx.recipients.one(r.account_id, r.message_id, r.n)
    if now is None or now.attempt != r.attempt or now.due_at is None:
        return Leave.LOST
    if tx.recipients.began(r):
        return Leave.DIED
    tx.recipients.begin_attempt(r, started_at)
    return Leave.GO


def settle(tx: Tx, job: SendJob, report: Report) -> Decision | None:
    """Store the outcome and what follows from it; None if the work was no longer ours."""
    old = job.recipient
    decision = decide(
        report.outcome,
        report.policy,
        attempt=old.attempt - old.base,
        dice=report.dice,
        resend=report.resend,
        others=_may_reroute(old),
    )
    moved = _move(tx, job, decision, report)
    if moved is None:
        return None
    attempt = _attempt(old, report)
    if report.begun:
        tx.recipients.end_attempt(attempt)
    else:
        tx.recipients.add_attempt(attempt)
    ref = moved.provider_ref
    if report.receipts and ref and isinstance(report.outcome, Accepted):
        for receipt in tx.recipients.early(moved.lane, ref):
            receive(tx, receipt)
    return decision


def expire(tx: Tx, job: SendJob) -> bool:
    """The deadline has passed: no further attempt. False if the work has moved on meanwhile."""
    late = Finish(Signal.EXPIRED, Reason.EXPIRED)
    return _move(tx, job, PERHAPS_OUT if _began(tx, job) else late, None) is not None


def call_off(tx: Tx, job: SendJob) -> None:
    """Cancelling was asked for, and whoever had the work then has not reported: end it untried.

    Where an attempt is known to have begun it may be out, so it is not called cancelled.
    """
    old, decision = job.recipient, Finish(Signal.CANCELLED, Reason.CANCELLED)
    if tx.recipients.began(old):
        old, decision = msgspec.structs.replace(old, uncertain=True), PERHAPS_OUT
    _move(tx, SendJob(job.message, old), decision, None)


def give_up(tx: Tx, job: SendJob, reason: Reason) -> None:
    """End or reroute work without an attempt: its channel cannot be used.

    What an attempt had begun of it may be out: such as what a phone had that was removed.
    """
    if _may_reroute(job.recipient):
        _move(tx, job, Reroute(reason), None)
    else:
        began = _began(tx, job)
        _move(tx, job, PERHAPS_OUT if began else Finish(Signal.FAILED, reason), None)


def _began(tx: Tx, job: SendJob) -> bool:
    """Whether an attempt is known to have begun that never told its end."""
    return job.recipient.uncertain and tx.recipients.began(job.recipient)


def postpone(tx: Tx, job: SendJob, until: Milliseconds) -> None:
    """Give taken work back untried, due at ``until``: its channel rests."""
    if _may_reroute(job.recipient):
        _move(tx, job, Reroute(Reason.UNREACHABLE), None)
        return
    old = job.recipient
    due_at = min(until, old.deadline)
    new = msgspec.structs.replace(old, attempt=old.attempt - 1, due_at=due_at, holder=None)
    if tx.recipients.move(old, new):
        tx.due(due_at)
    else:
        call_off(tx, job)


def _may_reroute(recipient: Recipient) -> bool:
    """Another channel cannot tell a repeat of what may have gone out through this one."""
    return bool(recipient.route) and not recipient.uncertain


def _move(tx: Tx, job: SendJob, decision: Decision, report: Report | None) -> Recipient | None:
    """Move the recipient as decided; None if the take that this belongs to is over."""
    old = job.recipient
    while True:
        new = _next(tx, job.message, old, decision, report)
        if tx.recipients.move(old, new):
            break
        fresh = tx.recipients.one(old.account_id, old.message_id, old.n)
        if fresh is None or fresh.attempt != old.attempt or fresh.due_at is None:
            return None
        old = fresh  # cancelled meanwhile: decide again from there
    record(tx, job.message, new, was=old.state, taken_at=report.started_at if report else None)
    if new.lane != old.lane:
        tx.messages.carried_by(new.account_id, new.message_id, new.lane)
    start(tx, job.message, new)
    return new


def start(tx: Tx, message: Message, recipient: Recipient) -> None:
    """Have this process's engine go on with what was just stored, now or when its time comes."""
    if recipient.holder is not None:
        tx.hand_over(SendJob(message, recipient))
    elif recipient.due_at is not None:
        tx.due(recipient.due_at)


def passed_on(tx: Tx, message: Message, old: Recipient, lane: str, route: str) -> Recipient:
    """Return the recipient as another channel gets it: at once, or when it is scheduled for, which
    a phone may have known before."""
    later = message.schedule_at is not None and message.schedule_at > tx.now
    leased = not later and tx.lease(SendJob, lane)
    return msgspec.structs.replace(
        old,
        lane=lane,
        route=route,
        base=old.attempt,
        attempt=old.attempt + 1 if leased else old.attempt,
        due_at=tx.now + LEASE_MS if leased else max(tx.now, message.schedule_at or 0),
        holder=tx.holder if leased else None,
        provider_ref=None,
    )


def _next(
    tx: Tx, message: Message, old: Recipient, decision: Decision, report: Report | None
) -> Recipient:
    uncertain = old.uncertain or (report is not None and isinstance(report.outcome, Unknown))
    final = isinstance(decision, Finish)
    if old.state is State.CANCELLING and (report is None or not final):
        out = uncertain or (final and decision.reason is Reason.UNKNOWN)
        decision = PERHAPS_OUT if out else Finish(Signal.CANCELLED, Reason.CANCELLED)
    match decision:
        case Finish():
            return finished(old, decision, report)
        case Retry(wait=wait, reason=reason):
            return msgspec.structs.replace(
                old,
                state=advance(old.state, Signal.TAKEN),
                due_at=min(tx.now + milliseconds(wait), old.deadline),
                uncertain=uncertain,
                holder=None,
                reason=reason,
                error=_error(reason, report),
            )
        case Reroute(reason=reason):
            lane, *rest = old.route.split()
            return msgspec.structs.replace(
                passed_on(tx, message, old, lane, " ".join(rest)),
                state=advance(old.state, Signal.TAKEN),
                reason=reason,
                error=_error(reason, report),
            )


def finished(old: Recipient, decision: Finish, report: Report | None = None) -> Recipient:
    """Return the recipient as its sending ends."""
    state, reason = advance(old.state, decision.signal), decision.reason
    doubt = report is not None and isinstance(report.outcome, Unknown)
    ref = old.provider_ref
    if report is not None and isinstance(report.outcome, Accepted):
        ref = report.outcome.ref
    return msgspec.structs.replace(
        old,
        state=state,
        due_at=None,
        uncertain=old.uncertain or doubt,
        holder=None,
        provider_ref=ref,
        reason=reason,
        error=_error(reason, report) if reason else None,
    )


def _error(reason: Reason, report: Report | None) -> str:
    if report is None or reason is Reason.CANCELLED:
        return ERROR_TEXT.get(reason, reason)
    outcome = report.outcome
    code = "" if isinstance(outcome, Accepted) or not outcome.code else f" ({outcome.code})"
    detail = f": {outcome.detail}" if outcome.detail else ""
    return f"{reason}{code}{detail}"[:MAX_DETAIL]


def _attempt(recipient: Recipient, report: Report) -> SendAttempt:
    outcome = report.outcome
    reason, code = (None, None) if isinstance(outcome, Accepted) else (outcome.reason, outcome.code)
    return SendAttempt(
        account_id=recipient.account_id,
        message_id=recipient.message_id,
        n=recipient.n,
        attempt=recipient.attempt,
        channel_id=recipient.lane,
        started_at=report.started_at,
        elapsed_ms=report.elapsed_ms,
        outcome=type(outcome).__name__.lower(),
        reason=reason,
        code=code,
        detail=outcome.detail[:MAX_DETAIL] or None,
        trace=outcome.trace,
    )
