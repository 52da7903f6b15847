"""One process that runs one version of a script, and the calls that are in it."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress

import structlog

from textgate.domain.errors import Unavailable
from textgate.domain.script import Program
from textgate.outbound.script import frames
from textgate.outbound.script.calls import (
    Call,
    Exchange,
    Interrupted,
    answered,
    not_loaded,
    returned,
    threw,
)
from textgate.outbound.script.deno import INSTALL, Deno
from textgate.outbound.script.fetching import Answer, Refusal, Request
from textgate.outbound.script.process import Process
from textgate.outbound.script.run import Ended, EndReason, Returned, Threw
from textgate.outbound.script.watch import Watch

_START_SECONDS = 20.0
_BEAT_SECONDS = 0.25
_LONGEST_PATIENCE = 10.0
"""Seconds: of a call that is the only one in its process."""
_LATE_SECONDS = 0.5
"""A process that has not answered for so long gets no new calls."""
_PROOF_SECONDS = 0.1
_IDLE_BEAT_SECONDS = 1.0
"""How often an idle process is looked at."""
_MOST_STRAY_FRAMES = 10_000
"""Frames about calls that have ended: a few are on their way when a call is ended from here."""
_OUT_OF_MEMORY = re.compile(r"(?i)out of memory|heap limit|allocation failed")

log = structlog.get_logger("textgate.script")


class Worker:
    """Start it, then ``run`` calls in it, at the same time. It ends by itself when it must.

    ``gone`` is called once, when the process has ended; ``free`` whenever no call is in it.
    """

    def __init__(
        self,
        *,
        memory_mb: int,
        most_calls: int,
        idle_seconds: float,
        gone: Callable[["Worker"], None],
        free: Callable[["Worker"], None],
    ) -> None:
        self._memory_mb, self._most_calls, self._idle_seconds = memory_mb, most_calls, idle_seconds
        self._gone, self._free = gone, free
        self._process = Process(self._hear, self._on_end)
        self._watch = Watch(self._process, self._ping, memory_mb=memory_mb)
        secret = frames.new_secret()
        self._secret = secret
        self._reader = frames.Reader(secret.encode("ascii"))
        self._ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._calls: dict[int, Call] = {}
        self._fetches: dict[tuple[int, int], Exchange] = {}
        self._last_fetch = 0
        self._count = 0
        self._stray = 0
        self._has_loaded = False
        self._entered = 0
        """The call whose code it said last to be running; it says so if there are several."""
        self._is_doubtful = False
        """A call was ended from here; whether that call has let go of the process is not known."""
        self._proven = asyncio.Event()
        self._busy = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._why: Interrupted | None = None
        self._hurt: EndReason | None = None
        self.is_alone = False
        """It is for one call: whatever happens to it, that call has done it."""
        self.is_retired = False
        """It takes no new calls, and ends when those in it have."""

    async def start(self, deno: Deno, program: Program) -> None:
        """Start the process; nothing of the script has run yet. Raises Unavailable."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                path, internal = await deno.program(), await deno.internal_modules()
                await self._process.start(path, program, internal, memory_mb=self._memory_mb)
                self._tell({"t": "load", "secret": self._secret}, program.source.encode())
                if not await self._ready:
                    raise OSError("it ended at once")
        except (OSError, TimeoutError) as error:
            self._give_up()
            log.error("Deno does not start", error=str(error), said=self._process.last_words())
            raise Unavailable(
                f"Deno does not start on this machine (the log says why): {INSTALL}"
            ) from None
        except BaseException:
            self._give_up()
            raise
        self._process.tidy()
        self._process.limit_memory(self._memory_mb)
        self._watching = asyncio.ensure_future(self._keep_watch())

    def _give_up(self) -> None:
        self.close()
        self._process.abandon()

    @property
    def is_usable(self) -> bool:
        """Whether it takes another call."""
        if self._why is not None or self.is_retired or self._is_doubtful:
            return False
        return self._count < self._most_calls

    async def prove(self) -> None:
        """Wait a moment if it is not known whether it still answers: mostly it does at once."""
        if self._is_doubtful:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROOF_SECONDS):
                    await self._proven.wait()

    @property
    def is_idle(self) -> bool:
        """Whether it runs, and nobody waits for it."""
        return self._watching is not None and self._why is None and not self._calls

    @property
    def ended_for(self) -> EndReason | None:
        """Why it was ended while it had calls; None if nobody was hurt."""
        return self._hurt

    @property
    def ended(self) -> asyncio.Event:
        """Set when the process is no more."""
        return self._process.ended

    async def run(self, call: Call) -> Returned | Threw | Ended | Interrupted:
        """Call the script, once; ends with the call's outcome. Cancelling it ends the call."""
        if self._why is not None:
            return self._why
        self._count += 1
        number = self._count
        if len(self._calls) < 2:
            self._entered = next(iter(self._calls), number)
        if self._calls:
            self._watch.ask()  # so that it is known, in the end, whether it came to this one
        self._calls[number] = call
        call.is_waiting = call.has_lost_time and not self.is_alone
        self._busy.set()
        self._tell(
            {"t": "call", "id": number, "fetch": 0, "secrets": dict(call.secrets)}, call.payload
        )
        try:
            return await call.outcome
        finally:
            self._forget(number)

    def _forget(self, number: int) -> None:
        is_suspect = self._suspect() == number
        call = self._calls.pop(number)
        late = min(_LATE_SECONDS, call.patience)
        call.is_waiting |= self._watch.waited >= late and not is_suspect
        for key in [key for key in self._fetches if key[0] == number]:
            del self._fetches[key]
        if call.outcome.cancelled() and self._why is None:
            self._tell({"t": "end", "id": number, "fetch": 0})
            self._is_doubtful = True
            self._proven.clear()
            self._watch.ask()
            if number == 1 and not self._has_loaded:
                # The script is loaded on behalf of the first call. It has not come to an end, and
                # those who wait for it here would wait in vain.
                self.fail(EndReason.TIMEOUT, "the script did not finish loading in time")
        self._rest()

    def _rest(self) -> None:
        """If no call is in it: wait for the next one, or end."""
        if self._calls or self._why is not None:
            return
        if self.is_retired or self._count >= self._most_calls:
            self.close()
        elif not self._is_doubtful:
            self._busy.clear()
            self._free(self)

    def retire(self) -> None:
        """Take no more calls; end when there are none."""
        self.is_retired = True
        if not self._calls:
            self.close()

    def close(self) -> None:
        """End it now; calls in it come back as interrupted."""
        self.fail(EndReason.UNAVAILABLE, "the script's process was closed")

    def fail(self, reason: EndReason, detail: str) -> None:
        """End it now; ``reason`` and ``detail`` are what its calls are told."""
        if self._why is None:
            self._why = Interrupted(reason, detail)
            if self._calls:
                self._hurt = reason
                log.warning(
                    "a script's process is ended", reason=str(reason), detail=detail,
                    calls=len(self._calls),
                )  # fmt: skip
        self._process.kill()
        if self._watching is not None and self._watching is not asyncio.current_task():
            self._watching.cancel()
        # The suspect comes last: where there is no room for two processes, it waits for the others.
        suspect = self._suspect()
        for number in sorted(self._calls, key=lambda number: number == suspect):
            self._calls[number].settle(
                Interrupted(self._why.reason, self._why.detail, number == suspect)
            )

    def _suspect(self) -> int | None:
        """The call whose code ran last, as far as that is known."""
        if self._is_doubtful:
            return None  # it may be one that is not here any more
        if len(self._calls) == 1:
            return next(iter(self._calls))
        return self._entered if self._entered in self._calls else None

    def _on_end(self) -> None:
        said = self._process.last_words()
        if self._why is None and _OUT_OF_MEMORY.search(said):
            self.fail(EndReason.MEMORY, "the script used more memory than it may")
        elif self._why is None:
            self.fail(EndReason.CRASH, "the script's process ended")
        if not self._ready.done():
            self._ready.set_result(False)
        self._gone(self)

    # --- what the process says ---

    def _tell(self, head: dict[str, object], body: bytes = b"") -> None:
        self._process.write(frames.frame(head, body))

    def _hear(self, data: bytes) -> None:
        if self._why is not None:
            return
        try:
            for told, body in self._reader.feed(data):
                self._take(told, body)
        except frames.BadFrame as error:
            log.warning("a script's process said what it must not say", detail=str(error))
            self.fail(EndReason.CRASH, "the script's process said what it must not say")

    def _take(self, told: frames.Told, body: bytes) -> None:
        if isinstance(told, frames.Ready):
            if self._ready.done():
                raise frames.BadFrame("ready a second time")
            self._ready.set_result(True)
        elif isinstance(told, frames.Pong):
            self._watch.answered()
            self._is_doubtful = False
            self._proven.set()
            self._rest()
        elif (call := self._calls.get(told.id)) is not None:
            self._take_for(call, told, body)
        else:
            self._stray += 1
            if told.id > self._count or self._stray > _MOST_STRAY_FRAMES:
                raise frames.BadFrame("a frame about a call that there is not")

    def _take_for(self, call: Call, told: frames.Told, body: bytes) -> None:
        match told:
            case frames.Entered():
                self._entered = told.id
            case frames.Printed():
                call.print(told.level, told.text)
            case frames.Cut():
                call.cut()
            case frames.Wanted():
                self._fetch(call, told, body)
            case frames.Abort():
                if (exchange := self._fetches.pop((told.id, told.fetch), None)) is not None:
                    exchange.task.cancel()
            case frames.Unloaded():
                # It may be better the next time: what it needed at its start may be there then.
                self._has_loaded = self.is_retired = True
                call.settle(not_loaded(told))
            case frames.Failed():
                self._has_loaded = True
                call.settle(threw(told))
            case frames.Nothing():
                self._has_loaded = True
                call.settle(Returned(None))
            case frames.Value():
                self._has_loaded = True
                call.settle(returned(body))

    def _fetch(self, call: Call, told: frames.Wanted, body: bytes) -> None:
        if told.fetch <= self._last_fetch:
            raise frames.BadFrame("a second request of the same number")
        self._last_fetch = told.fetch
        key = (told.id, told.fetch)
        request = Request(told.method, told.url, told.redirect, told.headers, body)

        def deliver(answer: Answer | Refusal) -> None:
            if self._calls.get(told.id) is call:
                self._fetches.pop(key, None)
                self._process.write(answered(told, answer))

        exchange = call.fetch(request, deliver)
        if exchange is not None:
            self._fetches[key] = exchange

    # --- how it fares ---

    def _ping(self) -> None:
        self._tell({"t": "ping", "id": 0, "fetch": 0, "n": 0})

    async def _keep_watch(self) -> None:
        while self._why is None:
            if self._busy.is_set():
                await asyncio.sleep(min(_BEAT_SECONDS, self._patience() / 3))
                self._look()
            else:
                await self._keep_idle()

    async def _keep_idle(self) -> None:
        """Wait for a call; close the process if it is not needed, or not fit to wait."""
        self._watch.ask()
        idle = 0.0
        while not self._busy.is_set():
            beat = min(_IDLE_BEAT_SECONDS, self._idle_seconds - idle)
            before = self._process.cpu()
            try:
                async with asyncio.timeout(beat):
                    await self._busy.wait()
            except TimeoutError:
                pass
            else:
                return
            idle += beat
            why = self._watch.unfitness(before, beat)
            if why is not None:
                log.warning("a script's process is ended while it is idle", reason=why)
            if why is not None or idle >= self._idle_seconds:
                self.close()
                return

    def _patience(self) -> float:
        """Seconds for which its calls can wait for each other and still have time for their own."""
        if len(self._calls) < 2:
            return _LONGEST_PATIENCE
        return min(call.patience for call in self._calls.values())

    def _look(self) -> None:
        """See whether it takes too much memory, and whether it still answers."""
        if self._watch.is_larger_than(1):
            self.fail(EndReason.MEMORY, "the script used more memory than it may")
        elif self.is_alone and self._calls:
            return  # there is nobody here whom it could keep waiting
        elif self._watch.hangs(self._patience()):
            self.fail(
                EndReason.TIMEOUT, "the script kept its process busy and did not let go of it"
            )
        else:
            self.is_retired |= self._watch.waited >= _LATE_SECONDS
            self._watch.ask()
