"""What became of messages is told to the server, until it has acknowledged it (A §3.7)."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from random import Random

import msgspec

from textgate.domain.errors import Unavailable
from textgate.domain.lifecycle import State
from textgate.domain.signing import fingerprint
from textgate.domain.times import Clock, Milliseconds
from textgate.phone.chore import RETRIES, is_set_within, wait_after
from textgate.phone.mobile_api import NotDone, NumberState, QueueItem, StatePatch
from textgate.phone.network import Network
from textgate.phone.payloads import local_time
from textgate.store.base import Store, Tx

LONGEST_ERROR = 256
SHUFFLE_MS = 3_000
"""A report that is to come out of order waits for so long at most."""
LOOK_BACK_MS = 7 * 86_400_000
"""Of messages older than this nothing is told anew after a start."""
_PAGE = 500
_TOLD = "told"
_encode = msgspec.json.Encoder().encode


class ReportTrouble(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with reports on their way."""

    duplicates: float = 0.0
    """Share of the reports that are sent twice."""
    shuffled: bool = False
    """Each is sent some time later, as things were when it was made: they overtake each other."""


Send = Callable[[StatePatch], Awaitable[None]]


class Reports:
    """The reports of one phone. ``send`` raises ``NotDone``.

    Usually a report says what is so when it is sent; one at a time of each message.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        network: Network,
        account_id: str,
        device_id: str,
        send: Send,
        *,
        offset_minutes: int,
        trouble: ReportTrouble,
        dice: Random,
    ) -> None:
        self._store, self._clock, self._network = store, clock, network
        self._account_id, self._device_id = account_id, device_id
        self._send, self._offset, self._trouble, self._dice = send, offset_minutes, trouble, dice
        self._moved: dict[str, asyncio.Event] = {}
        """Messages that are being reported on; set: there is news of it."""
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        return not self._jobs

    async def run(self) -> None:
        """Report on what nobody has acknowledged, then on all that moves, until cancelled."""
        with self._store.follow(self._account_id) as moves:
            try:
                for message_id in await self._store.read(self._unacknowledged):
                    self.want(message_id)
                while True:
                    await moves.filled.wait()
                    for message_id in moves.take():
                        self.want(message_id)
            finally:
                for job in self._jobs:
                    job.cancel()
                await asyncio.gather(*self._jobs, return_exceptions=True)

    def want(self, message_id: str) -> None:
        """Report on a message soon."""
        if self._trouble.shuffled:
            self._begin(self._later(message_id))
        elif message_id in self._moved:
            self._moved[message_id].set()
        else:
            self._moved[message_id] = asyncio.Event()
            self._begin(self._until_told(message_id))

    def _begin(self, work: Awaitable[None]) -> None:
        job = asyncio.ensure_future(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _until_told(self, message_id: str) -> None:
        """Report as long as there is news; give up after the app's retries until there is more."""
        moved, failures = self._moved[message_id], 0
        try:
            while failures <= RETRIES:
                await self._network.up.wait()
                moved.clear()
                patch = await self._read(message_id)
                if patch is None or await self._done(patch):
                    if not moved.is_set():
                        return
                    failures = 0
                elif self._network.up.is_set():
                    failures += 1
                    if await is_set_within(moved, self._clock, wait_after(failures)):
                        failures = 0
        finally:
            del self._moved[message_id]

    async def _later(self, message_id: str) -> None:
        patch = await self._read(message_id)
        if patch is None:
            return
        await self._clock.sleep(self._dice.randint(0, SHUFFLE_MS))
        for failures in range(1, RETRIES + 2):
            await self._network.up.wait()
            if await self._done(patch):
                return
            await self._clock.sleep(wait_after(failures))

    async def _done(self, patch: StatePatch) -> bool:
        """Send a report, and keep that it was acknowledged; False if it was not."""
        twice = self._dice.random() < self._trouble.duplicates
        try:
            for _ in range(2 if twice else 1):
                await self._send(patch)
        except NotDone:
            return False
        fact = f"{_TOLD}:{_what(patch)}"
        with contextlib.suppress(Unavailable):  # then it is told once more after the next start
            await self._store.write(
                lambda tx: tx.devices.add_fact(self._account_id, self._device_id, fact)
            )
        return True

    async def _read(self, message_id: str) -> StatePatch | None:
        return await self._store.read(lambda tx: self._patch(tx, message_id))

    def _patch(self, tx: Tx, message_id: str) -> StatePatch | None:
        """What is to be told of a message now; None: the phone has nothing to say of it."""
        message = tx.messages.get(self._account_id, message_id)
        if message is None or message.device_id != self._device_id:
            return None
        if (
            message.state is State.CANCELLING
        ):  # the app knows no such state; a moment later it is over
            return None
        recipients = [
            NumberState(r.number, r.state, r.error[:LONGEST_ERROR] if r.error else None)
            for r in tx.recipients.of(self._account_id, message_id)
        ]
        states = {
            str(state): local_time(at, self._offset)
            for state, at in message.reached().items()
            if state is not State.CANCELLING
        }
        return StatePatch(message_id, message.state, recipients, states)

    def _unacknowledged(self, tx: Tx) -> list[str]:
        """Return the messages, oldest first, whose present state nobody has acknowledged."""
        told = tx.devices.facts(self._account_id, self._device_id, _TOLD)
        since, cursor, found = tx.now - LOOK_BACK_MS, None, list[str]()
        while page := tx.messages.after(self._account_id, cursor, _PAGE):
            recent = [message for message in page if message.created_at >= since]
            for message in recent:
                patch = self._patch(tx, message.id)
                if patch is not None and _what(patch) not in told:
                    found.append(message.id)
            if len(recent) < len(page):
                break
            cursor = (page[-1].created_at, page[-1].id)
        return found[::-1]


def cancelled(item: QueueItem, at: Milliseconds, offset_minutes: int) -> StatePatch:
    """The report on a message that was cancelled before the phone ever heard of it (A §3.6)."""
    recipients = [NumberState(number, State.CANCELLED) for number in item.phone_numbers]
    stamp = local_time(at, offset_minutes)
    return StatePatch(item.id, State.CANCELLED, recipients, {State.CANCELLED: stamp})


def _what(patch: StatePatch) -> str:
    """What a report says, without its times."""
    return fingerprint(_encode([patch.id, patch.recipients]))
