"""Waking phones that have no event stream open, by way of a push relay (A §2.8, §3.10).

The only relay that reaches the original app takes five requests a minute from an address, each for
many phones. Whatever is dropped here costs time and never a message: phones poll.
"""

import asyncio
from collections.abc import Sequence

import structlog

from textgate import telemetry
from textgate.domain.device import Nudge
from textgate.domain.push import Push, body
from textgate.domain.times import Clock, Milliseconds
from textgate.outbound.http import Failure, HttpClient, Reply
from textgate.store.base import Store, Tx

GATHER_MS = 1_000
"""What happens within this time goes out together."""
EVERY_MS = 12_000
"""At least so long between an answer and the next request."""
LONGEST_MS = 300_000
"""Between two tries at a relay that fails."""
STALE_MS = 900_000
"""By then the phone has polled."""
AT_ONCE = 500
"""Pushes in one request."""
WAITING_MOST = 10_000
OTHERS_MOST = 5_000
"""What waits when no more is taken of others: our own phones keep their room."""
TIMEOUT_S = 10.0

log = structlog.get_logger("textgate.push")


class PushRelay:
    """A bounded queue before somebody else's relay, each push in it once."""

    def __init__(self, store: Store, clock: Clock, http: HttpClient, url: str) -> None:
        self._store, self._clock, self._http, self._url = store, clock, http, url
        self._waiting: dict[Nudge | Push, Milliseconds] = {}
        """What is to be told, and since when."""
        self._filled = asyncio.Event()
        self._failures = 0

    def nudge(self, nudge: Nudge) -> None:
        """Tell a phone of ours, if it has a push token; dropped when the queue is full."""
        self._put(nudge, self._clock.now())

    def forward(self, pushes: Sequence[Push]) -> bool:
        """Tell the phones of somebody else, after ours; False: there is no room for all of it."""
        if len(self._waiting) + len(pushes) > OTHERS_MOST:
            return False
        for push in pushes:
            self._put(push, self._clock.now())
        return True

    def _put(self, what: Nudge | Push, since: Milliseconds) -> None:
        if len(self._waiting) < WAITING_MOST:
            self._waiting.setdefault(what, since)
            self._filled.set()

    async def push_for_ever(self) -> None:
        while True:
            await self._filled.wait()
            await self._clock.sleep(GATHER_MS)
            try:
                wait = await self._push()
            except Exception:  # the next phone is to be woken all the same
                log.exception("pushing failed")
                wait = EVERY_MS
            if wait:
                await self._clock.sleep(wait)

    async def _push(self) -> Milliseconds:
        """Send what waits in one request; return how long to keep quiet then."""
        taken = self._take()
        pushes = await self._store.read(lambda tx: self._addressed(tx, taken))
        if not pushes:
            return 0
        answer = await self._http.request(
            "POST",
            self._url,
            headers=[("Content-Type", "application/json")],
            body=body(push for push, _ in pushes),
            timeout=TIMEOUT_S,
        )
        if isinstance(answer, Reply) and 200 <= answer.status < 300:
            self._failures = 0
            for _, what in pushes:
                if isinstance(what, Nudge):
                    telemetry.PHONE_EVENTS.inc(what.event, "push")
            return EVERY_MS
        return self._refused(answer, {what: taken[what] for _, what in pushes})

    def _take(self) -> dict[Nudge | Push, Milliseconds]:
        """Remove what goes into the next request, and what is too old: ours before that of others,
        the oldest first."""
        late = self._clock.now() - STALE_MS
        some: dict[Nudge | Push, Milliseconds] = {}
        for what in sorted(self._waiting, key=lambda one: isinstance(one, Push)):
            if len(some) == AT_ONCE:
                break
            since = self._waiting.pop(what)
            if since > late:
                some[what] = since
        if not self._waiting:
            self._filled.clear()
        return some

    def _addressed(
        self, tx: Tx, taken: dict[Nudge | Push, Milliseconds]
    ) -> list[tuple[Push, Nudge | Push]]:
        """Return each with its token; a phone that listens by now has heard of all (A §3.3)."""
        found: list[tuple[Push, Nudge | Push]] = []
        for what in taken:
            if isinstance(what, Push):
                found.append((what, what))
            elif not self._store.heard(what.device_id):
                device = tx.devices.get(what.account_id, what.device_id)
                if device is not None and device.push_token:
                    found.append((Push(device.push_token, what.event, what.data), what))
        return found

    def _refused(
        self, answer: Reply | Failure, sent: dict[Nudge | Push, Milliseconds]
    ) -> Milliseconds:
        """Keep what may be taken later; return how long to keep quiet."""
        status = answer.status if isinstance(answer, Reply) else None
        told = answer.detail if isinstance(answer, Failure) else None
        if status is not None and status != 429 and status < 500:
            log.warning("the push relay refuses", status=status, dropped=len(sent))
            return EVERY_MS
        self._failures += 1
        wait = min(EVERY_MS << min(self._failures, 10), LONGEST_MS)
        if isinstance(answer, Reply) and answer.retry_after:
            wait = max(EVERY_MS, min(answer.retry_after * 1000, STALE_MS))
        log.warning("the push relay cannot", status=status, problem=told, again_in_ms=wait)
        for what, since in sent.items():
            self._put(what, since)
        return wait
