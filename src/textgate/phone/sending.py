"""The sending loop of the app (A §7.1–7.3): one message after another, at its pace."""

import asyncio
from collections.abc import Callable

from textgate.domain.account import Account
from textgate.domain.device import Device, SimCard
from textgate.domain.event import EventType
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient
from textgate.domain.times import Milliseconds
from textgate.gateway import phone_queue
from textgate.gateway.phone_queue import NumberReport, Queued, Report
from textgate.phone.air import Air, Spawn
from textgate.phone.behaviour import Behaviour
from textgate.phone.habits import URGENT, Habits, habits_of
from textgate.phone.happening import Happening, Kind
from textgate.phone.own import Own, fire
from textgate.phone.pace import Pace, limit_wait
from textgate.phone.payloads import Words
from textgate.phone.plan import Departure, Unsendable, choose_sim, read
from textgate.phone.radio import Radio
from textgate.store.base import Tx

EXPIRED = "TTL expired"
IN_THE_AIR = 1_000
"""Messages that a phone that starts again remembers to have handed over."""


class Sender:
    """Sends what is in the queue of one phone."""

    def __init__(
        self, own: Own, behaviour: Behaviour, spawn: Spawn, tell: Callable[[Happening], None]
    ) -> None:
        """``spawn`` runs what goes on beside the loop: messages in the air."""
        self._own, self._behaviour, self._tell = own, behaviour, tell
        self._radio, self._words = Radio(behaviour), Words(behaviour)
        self._air = Air(own, self._words, spawn, tell)
        self._queue: list[Queued] = []
        self._stale = True
        self._turns = 0

    def look_again(self) -> None:
        """There may be something new in the queue."""
        self._stale = True

    async def resume(self) -> None:
        """What was in the air when the phone ended is in the air again: the system has it."""
        for message, recipients in await self._own.read(_in_the_air):
            for r in recipients:
                if r.state is State.PROCESSED and r.lane == self._own.device_id:
                    parts = message.parts
                    self._launch(Departure(message=message, number=r.number, sim=None, parts=parts))

    async def send_all(self) -> Milliseconds | None:
        """Send until nothing is left; return when the next message may go, None: when one comes."""
        pace = Pace()
        while True:
            habits = await self.habits()
            queued, wake = await self._next(habits)
            if queued is None:
                return wake
            priority = queued.message.priority
            if pace.is_limited(priority):
                await self._keep_limit(habits)
            if not await self._send(queued, habits):
                continue
            if pace.sent(priority) and habits.interval_s is not None:
                await self._own.clock.sleep(1_000 * self._radio.dice.randint(*habits.interval_s))

    async def habits(self) -> Habits:
        """Return the settings as they are now."""

        def look(tx: Tx, account: Account, device: Device) -> Habits:
            return habits_of(account.settings, tx.vault.open)

        return await self._own.read(look)

    async def _next(self, habits: Habits) -> tuple[Queued | None, Milliseconds | None]:
        """Return the message whose turn it is, or when there will be one."""
        now, hours = self._own.clock.now(), habits.work_hours
        opens = now + (hours.wait(now, self._behaviour.offset_minutes) if hours else 0)
        due, later = list[Queued](), list[Milliseconds]()
        for queued in await self._waiting(habits):
            message = queued.message
            at = max(message.schedule_at or now, now if message.priority >= URGENT else opens)
            if at <= now:
                due.append(queued)
            else:
                later.append(at)
        if not due:
            return None, min(later, default=None)
        direction = -1 if habits.newest_first else 1
        # Of those of the same millisecond the first: the queue has them in order.
        first = min(due, key=lambda q: (-q.message.priority, direction * q.message.created_at))
        return first, None

    async def _waiting(self, habits: Habits) -> list[Queued]:
        if self._stale:
            self._stale = False  # before the look: what comes meanwhile makes it look again
            order: phone_queue.Order = "lifo" if habits.newest_first else "fifo"
            found = await self._own.read(
                lambda tx, account, device: phone_queue.waiting(tx, device, order=order)
            )
            self._queue = [queued for queued in found if queued.state is State.PENDING]
        return self._queue

    async def _keep_limit(self, habits: Habits) -> None:
        if habits.limit is None:
            return
        clock, since = self._own.clock, self._own.clock.now() - habits.limit[1]
        count, last = await self._own.read(
            lambda tx, account, device: tx.messages.reached_since(
                account.id, State.PROCESSED, since
            )
        )
        wait = limit_wait(habits, clock.now(), count, last)
        if wait > 0:
            self._say("waiting", f"the limit is reached: on in {wait // 1000} s")
            await clock.sleep(wait)

    async def _send(self, queued: Queued, habits: Habits) -> bool:
        """Hand a message over; False: it was cancelled, is too late, or cannot be sent."""
        self._queue.remove(queued)
        self._stale |= not self._queue
        message, clock = queued.message, self._own.clock
        sim, parts, numbers = None, message.parts, [r.number for r in queued.recipients]
        try:
            if message.valid_until is not None and message.valid_until <= clock.now():
                raise Unsendable(EXPIRED)
            sim = self._choose_sim(message, habits)
            parts, failed = await self._read(queued, habits)
            await clock.sleep(self._radio.hand_over_ms())
        except Unsendable as problem:
            failed = dict.fromkeys(numbers, str(problem))
        departures = [
            Departure(message=message, number=number, sim=sim, parts=parts) for number in numbers
        ]
        return await self._hand_over(queued, departures, failed)

    def _choose_sim(self, message: Message, habits: Habits) -> SimCard | None:
        turn, self._turns = self._turns, self._turns + 1
        return choose_sim(message.sim_number, self._behaviour, habits, turn, self._radio.dice)

    async def _read(self, queued: Queued, habits: Habits) -> tuple[int, dict[str, str]]:
        message, recipients = queued.message, queued.recipients
        secret = habits.passphrase or self._behaviour.passphrase
        if message.encrypted:
            return await asyncio.to_thread(read, message, recipients, secret, self._behaviour)
        return read(message, recipients, secret, self._behaviour)

    async def _hand_over(
        self, queued: Queued, departures: list[Departure], failed: dict[str, str]
    ) -> bool:
        message = queued.message

        def work(tx: Tx, account: Account, device: Device) -> bool:
            if not phone_queue.take(tx, device, [queued]):
                return False  # cancelled meanwhile
            good = [
                NumberReport(number=d.number, state=State.PROCESSED)
                for d in departures
                if d.number not in failed
            ]
            if good:
                report = Report(message_id=message.id, numbers=good, at={State.PROCESSED: tx.now})
                phone_queue.report(tx, device, [report])
            for d in departures:
                if d.number in failed:
                    said = self._words.failed(d, tx.now, failed[d.number])
                    fire(tx, account, device, EventType.SMS_FAILED, said)
            return True

        if not await self._own.write(work):
            return False
        for departure in departures:
            if departure.number in failed:
                self._say("failed", f"{failed[departure.number]}:", departure)
            else:
                self._say("processed", "sending to", departure)
                self._launch(departure)
        return len(failed) < len(departures)

    def _launch(self, departure: Departure) -> None:
        asked = departure.message.delivery_report
        self._air.launch(departure, self._radio.flight(departure.parts, report=asked))

    def _say(self, kind: Kind, text: str, departure: Departure | None = None) -> None:
        at = self._own.clock.now()
        if departure is None:
            return self._tell(Happening(at=at, kind=kind, text=text))
        return self._tell(departure.happening(at, kind, text))


def _in_the_air(tx: Tx, account: Account, device: Device) -> list[tuple[Message, list[Recipient]]]:
    found, _ = tx.messages.page(
        account.id, since=0, until=tx.now + 1, state=State.PROCESSED, limit=IN_THE_AIR, offset=0
    )
    return [(message, tx.recipients.of(account.id, message.id)) for message in found]
