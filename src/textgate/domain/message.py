"""What a caller asked to send, and what became of it."""

from typing import Any

import msgspec

from textgate.domain.lifecycle import State
from textgate.domain.times import Milliseconds


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One request to send, read from any dialect; nothing is checked beyond its shape."""

    numbers: tuple[str, ...]
    text: str | None = None
    data: str | None = None
    """Base64 of a binary SMS, sent to ``port``."""
    port: int | None = None
    id: str | None = None
    device_id: str | None = None
    """A phone or a channel that must carry it; None lets the route decide."""
    encrypted: bool = False
    sim_number: int | None = None
    delivery_report: bool = True
    priority: int = 0
    ttl_ms: int | None = None
    valid_until: Milliseconds | None = None
    schedule_at: Milliseconds | None = None
    skip_validation: bool = False
    active_within_hours: int = 0
    context: dict[str, Any] | None = None
    """What travels with the message for routing and channels (template name, language, …)."""


def carries_code(context: dict[str, Any]) -> bool:
    """Whether a message of this context carries a one-time code: a second copy of it does no harm,
    and a code that is lost does."""
    variables = context.get("template_variables")
    return isinstance(variables, dict) and bool(variables.get("code"))


class Message(msgspec.Struct, kw_only=True, gc=False):
    """A message as stored. Times are milliseconds, UTC; a state not reached has no time."""

    account_id: str
    id: str
    created_at: Milliseconds
    state: State
    text: str | None
    data: str | None
    port: int | None
    encrypted: bool
    sim_number: int | None
    delivery_report: bool
    priority: int
    valid_until: Milliseconds | None
    """What the caller asked for; the effective deadline is the recipient's."""
    schedule_at: Milliseconds | None
    device_id: str
    """The phone or channel that carries it; dialects show it. Of several numbers that are carried
    by different ones: that which had all of them last."""
    fingerprint: str
    """Digest of what was asked: a repeat of the same id is judged by it."""
    recipient_count: int
    parts: int
    """SMS parts of the text for each recipient; -1 unknown."""
    context: str | None
    """JSON of ``Submission.context``."""
    processed_at: Milliseconds | None = None
    sent_at: Milliseconds | None = None
    delivered_at: Milliseconds | None = None
    failed_at: Milliseconds | None = None
    cancelling_at: Milliseconds | None = None
    cancelled_at: Milliseconds | None = None

    @property
    def one_time(self) -> bool:
        """Whether it carries a one-time code, see ``carries_code``."""
        return self.context is not None and carries_code(msgspec.json.decode(self.context))

    def reached(self) -> dict[State, Milliseconds]:
        """Return when each state was first reached, in the order of a message's life."""
        times = {
            State.PENDING: self.created_at,
            State.PROCESSED: self.processed_at,
            State.CANCELLING: self.cancelling_at,
            State.SENT: self.sent_at,
            State.DELIVERED: self.delivered_at,
            State.FAILED: self.failed_at,
            State.CANCELLED: self.cancelled_at,
        }
        return {state: at for state, at in times.items() if at is not None}


class Recipient(msgspec.Struct, kw_only=True, gc=False):
    """One number of a message, and the durable work of reaching it.

    ``due_at`` is when anybody may next take the work: the next attempt, or the end of the lease
    of whoever has it now. None: nothing is owed. ``attempt`` counts takes and fences results.
    """

    account_id: str
    message_id: str
    n: int
    """Position in the request, from 0."""
    number: str
    state: State
    lane: str
    """The channel that has it now."""
    route: str
    """Ids of the channels still to try, joined by blanks."""
    attempt: int
    base: int
    """``attempt`` when the present channel got it; the retry policy counts from there."""
    due_at: Milliseconds | None
    deadline: Milliseconds
    uncertain: bool = False
    """An attempt through this lane may have gone out. Then no other lane may take over, and it is
    never called cancelled."""
    holder: str | None = None
    """The process whose lease ``due_at`` ends; None while nobody has it in hand."""
    provider_ref: str | None = None
    reason: str | None = None
    error: str | None = None
    updated_at: Milliseconds = 0


class SendJob(msgspec.Struct, frozen=True, gc=False):
    """Work in hand: reach ``recipient`` with ``message``."""

    message: Message
    recipient: Recipient

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.recipient.account_id, self.recipient.message_id, self.recipient.n)

    @property
    def lane(self) -> str:
        return self.recipient.lane

    @property
    def priority(self) -> int:
        return self.message.priority

    @property
    def lease_until(self) -> Milliseconds:
        return self.recipient.due_at or 0


class SendAttempt(msgspec.Struct, kw_only=True, gc=False):
    """One try of a channel, append-only."""

    account_id: str
    message_id: str
    n: int
    attempt: int
    channel_id: str
    started_at: Milliseconds
    elapsed_ms: float | None
    """None while it runs, and for ever if the process died in it."""
    outcome: str | None
    reason: str | None = None
    code: str | None = None
    detail: str | None = None
    trace: dict[str, Any] | None = None
    """What the provider kept of it for people."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's later word on a message it accepted. Repeats and disorder are normal."""

    channel_id: str
    ref: str
    state: State
    at: Milliseconds
    reason: str | None = None
    detail: str | None = None


PRIORITY_HEAD_START_MS = 60_000
"""In a queue that is not empty, a point of priority is worth a minute of waiting: urgent messages
overtake, and bulk still gets out."""
