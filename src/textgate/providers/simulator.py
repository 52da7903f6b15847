"""Behaves like a provider, reaches nobody: what happens is told by the number's last digit.

``#simulate=NAME`` in a text (``slow``, ``unreachable``) chooses any behaviour for any number, and
wins over the digit. docs/providers/simulator.md lists them all.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import structlog
from msgspec import Meta

from textgate.domain.lifecycle import State
from textgate.domain.message import Receipt
from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.domain.times import Milliseconds
from textgate.providers.base import Provider, Sms, Tools, setting


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the simulator does with a message."""

    title: str
    first: Outcome | None = None
    """The answer to the first attempt; a repeat, known by its id, is accepted."""
    always: Outcome | None = None
    """The answer to each attempt, in place of accepting."""
    receipt: State | None = State.DELIVERED
    """What a receipt says, once the message is accepted."""
    late: bool = False
    """The receipt comes after ``late_s``, else at once."""
    early: bool = False
    """The receipt comes before the answer."""
    slow: bool = False
    """The answer comes after ``slow_s``."""


SIMULATED = "simulated"

BEHAVIOURS: Mapping[str, Behaviour] = {
    "delivered": Behaviour("delivered at once"),
    "delivered_late": Behaviour("delivered late", late=True),
    "no_receipt": Behaviour("accepted, then no receipt: stays Sent", receipt=None),
    "failed_receipt": Behaviour("accepted, then a receipt says failed", receipt=State.FAILED),
    "receipt_first": Behaviour("the receipt comes before the answer", early=True),
    "slow": Behaviour("a slow answer, then delivered", slow=True),
    "broken_line": Behaviour(
        "the line breaks before the first answer; the repeat is recognised",
        first=Unknown(Reason.UNREACHABLE, "simulated: the line broke"),
    ),
    "rate_limited_once": Behaviour(
        "the first attempt is too fast; delivered after a second",
        first=Deferred(Reason.RATE_LIMITED, SIMULATED, after=timedelta(seconds=1)),
    ),
    **{
        refusal.reason.value: Behaviour(title, always=refusal)
        for title, refusal in (
            ("refused: no such number", Rejected(Reason.INVALID_NUMBER, SIMULATED)),
            ("refused: for good", Rejected(Reason.DELIVERY_REJECTED, SIMULATED)),
            ("refused: wrong credentials", Rejected(Reason.AUTHENTICATION_FAILED, SIMULATED)),
            ("refused: this kind of message", Rejected(Reason.UNSUPPORTED, SIMULATED)),
            ("refused: the address is private", Rejected(Reason.ADDRESS_REFUSED, SIMULATED)),
            ("not now: too fast, always", Deferred(Reason.RATE_LIMITED, SIMULATED)),
            ("not now: out of reach, always", Deferred(Reason.UNREACHABLE, SIMULATED)),
            ("not now: the provider's fault", Deferred(Reason.PROVIDER_ERROR, SIMULATED)),
            ("in doubt: no answer in time, always", Unknown(Reason.TIMEOUT, SIMULATED)),
            ("in doubt: no idea, always", Unknown(Reason.UNKNOWN, SIMULATED)),
        )
    },
}
"""By name. Reasons that only Textgate itself can give (expired, cancelled, no channel) are none."""

MISSPELT = Behaviour(
    "",
    always=Rejected(
        Reason.UNSUPPORTED,
        "the text asks for a behaviour that the simulator does not know;"
        " docs/providers/simulator.md lists them",
    ),
)

DIGITS = (
    "delivered",
    "delivered",
    "delivered_late",
    "no_receipt",
    "invalid_number",
    "delivery_rejected",
    "rate_limited_once",
    "slow",
    "broken_line",
    "receipt_first",
)
"""What a number's last digit means, from 0 to 9."""

_MARK = re.compile(r"#simulate=(\w+)")
_MOST_OWED = 10_000
"""Receipts at a time; more messages are put off, as a busy provider would."""
_MOST_REMEMBERED = 10_000
"""Messages whose first attempt was turned away; the oldest are forgotten."""
_FIRST_WAIT_MS, _LONGEST_WAIT_MS = 100, 5_000
_EARLY_SECONDS, _CLOSE_SECONDS = 2.0, 1.0
_BUSY = Deferred(Reason.RATE_LIMITED, "too many receipts are owed", after=timedelta(seconds=1))

log = structlog.get_logger("textgate.simulator")


@dataclass(frozen=True, slots=True)
class Settings:
    late_s: Annotated[float, Meta(ge=0, le=86_400)] = setting(
        "Late receipt", help="Seconds until a late receipt comes.", default=3.0
    )
    slow_s: Annotated[float, Meta(ge=0, le=60)] = setting(
        "Slow answer", help="Seconds until a slow answer comes.", default=2.0
    )


class Simulator:
    """The channel. What it still owes when it is closed is forgotten."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._late_ms, self._slow_ms = int(settings.late_s * 1000), int(settings.slow_s * 1000)
        self._tools = tools
        self._turned_away: dict[str, None] = {}
        self._owed: set[asyncio.Task[None]] = set()
        self._asleep: set[asyncio.Task[None]] = set()
        """Those of the owed receipts that wait for their time."""
        self._closed = False

    async def send(self, sms: Sms) -> Outcome:
        behaviour = behaviour_of(sms)
        if behaviour.always is not None:
            return behaviour.always
        if behaviour.first is not None and self._is_new(sms.id):
            return behaviour.first
        if len(self._owed) >= _MOST_OWED:
            return _BUSY
        if behaviour.slow:
            await self._tools.clock.sleep(self._slow_ms)
        if behaviour.receipt is not None and sms.delivery_report and not self._closed:
            receipt = asyncio.create_task(self._give(behaviour, behaviour.receipt, sms.id))
            self._owed.add(receipt)
            receipt.add_done_callback(self._owed.discard)
            if behaviour.early:
                await asyncio.wait((receipt,), timeout=_EARLY_SECONDS)
        return Accepted(ref=sms.id)

    async def close(self) -> None:
        """Drop the receipts that are not due; those on their way have a second to arrive."""
        self._closed = True
        for task in self._asleep:
            task.cancel()
        if self._owed:
            _, stuck = await asyncio.wait(self._owed, timeout=_CLOSE_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)

    def _is_new(self, sms_id: str) -> bool:
        if sms_id in self._turned_away:
            return False
        if len(self._turned_away) >= _MOST_REMEMBERED:
            del self._turned_away[next(iter(self._turned_away))]
        self._turned_away[sms_id] = None
        return True

    async def _give(self, behaviour: Behaviour, state: State, ref: str) -> None:
        """Report a receipt until it is taken."""
        if behaviour.late:
            await self._sleep(self._late_ms)
        receipt = Receipt(
            channel_id=self._tools.channel_id,
            ref=ref,
            state=state,
            at=self._tools.clock.now(),
            reason=Reason.DELIVERY_REJECTED if state is State.FAILED else None,
            detail=SIMULATED if state is State.FAILED else None,
        )
        wait_ms = _FIRST_WAIT_MS
        while not self._closed:
            try:
                await self._tools.report(receipt)
            except Exception as problem:  # whatever it was, it is not on disk
                log.warning(
                    "receipt not taken", channel=receipt.channel_id, why=type(problem).__name__
                )
            else:
                return
            await self._sleep(wait_ms)
            wait_ms = min(2 * wait_ms, _LONGEST_WAIT_MS)

    async def _sleep(self, ms: Milliseconds) -> None:
        """Sleep so that closing the channel ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._asleep.add(task)
        try:
            await self._tools.clock.sleep(ms)
        finally:
            self._asleep.discard(task)


def behaviour_of(sms: Sms) -> Behaviour:
    """Return what is to happen to a message."""
    if sms.encrypted:  # neither its number nor its text can be read
        return BEHAVIOURS["delivered"]
    if sms.text and (mark := _MARK.search(sms.text)):
        return BEHAVIOURS.get(mark[1], MISSPELT)
    last = sms.to[-1:]
    return BEHAVIOURS[DIGITS[int(last)] if last.isdecimal() else "delivered"]


PROVIDER = Provider(
    kind="simulator",
    title="Simulator",
    settings=Settings,
    open=Simulator,
    simulated=True,
    carries_data=True,
    carries_encrypted=True,
    receipts=True,
    resend=lambda settings, sms: True,
    max_attempt_s=lambda settings: settings.slow_s + _EARLY_SECONDS + 1,
)
