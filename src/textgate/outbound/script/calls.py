"""One call of a script, across the processes that it may take."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping

import msgspec

from textgate.outbound.http import Http
from textgate.outbound.script.fetching import Answer, Refusal, Request, perform
from textgate.outbound.script.frames import Failed, Unloaded, Wanted, frame
from textgate.outbound.script.modules import REFUSED
from textgate.outbound.script.run import Ended, EndReason, Fetch, Line, Returned, Run, Threw

MOST_FETCHES = 50
MOST_AT_ONCE = 16
_MOST_LINES = 500
_MOST_CHARACTERS = 65_536
_SHOWN_MESSAGE = 2_000
"""Characters."""

_HALF_A_PAIR = re.compile(rb"(?<!\\)((?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

_TOOK_ANOTHER_WAY = (
    "the script was interrupted when its process ended, and did not make the same requests again"
    " when it was run once more"
)

Deliver = Callable[[Answer | Refusal], None]


class Exchange:
    """A request of a call and what comes of it, however often the call is run."""

    def __init__(self, request: Request, task: "asyncio.Task[Answer | Refusal]") -> None:
        self.request = request
        self.task = task
        self.is_taken = False
        """The present run of the call has made this request."""


class Interrupted(msgspec.Struct, frozen=True):
    """The process ended under a call that may not be to blame."""

    reason: EndReason
    detail: str
    is_suspect: bool = False
    """Its code ran last."""


class Call:
    """What one call of the default export has and has done. Close it in the end."""

    def __init__(
        self, payload: bytes, secrets: Mapping[str, str], http: Http, deadline: float
    ) -> None:
        """``deadline`` is of the event loop's clock."""
        self.payload, self.secrets = payload, secrets
        self._http, self._deadline = http, deadline
        self.patience = (deadline - asyncio.get_running_loop().time()) / 4
        """Seconds for which it can wait for its neighbours and still have time for itself."""
        self.is_waiting = True
        """It is in no process, or in one that does not come to it, or came to it too late."""
        self.has_lost_time = False
        """A process has ended under it, and it was not the suspect."""
        self._started = time.perf_counter()
        self._lines: list[Line] = []
        self._characters = 0
        self._cut = False
        self._fetches: list[Fetch] = []
        self._exchanges: list[Exchange] = []
        self.outcome: asyncio.Future[Returned | Threw | Ended | Interrupted]
        self.begin()

    def begin(self) -> None:
        """Run, for the first time or once more: what was printed is printed again."""
        self.outcome = asyncio.get_running_loop().create_future()
        self.is_waiting = True
        self._lines.clear()
        self._characters, self._cut = 0, False
        for exchange in self._exchanges:
            exchange.is_taken = False

    def settle(self, outcome: Returned | Threw | Ended | Interrupted) -> None:
        """End this run of it; only the first word counts."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def print(self, level: str, text: str) -> None:
        """Keep a line, if there is room. The runner keeps to the same limits by itself."""
        self._characters += len(text)
        if len(self._lines) >= _MOST_LINES or self._characters > _MOST_CHARACTERS:
            self._cut = True
        else:
            self._lines.append(Line(level, without_addresses(text)))

    @property
    def has_sent(self) -> bool:
        """A byte of a request may have left."""
        return any(fetch.sent for fetch in self._fetches)

    def cut(self) -> None:
        """More was printed than is kept."""
        self._cut = True

    def fetch(self, request: Request, deliver: Deliver) -> Exchange | None:
        """Make a request, or take the answer of the same one if it was made before.

        A run that takes another way than the one before it ends here, because what that one sent
        has gone out. None: there is nothing to wait for.
        """
        if self.outcome.done():
            return None
        earlier = [exchange for exchange in self._exchanges if not exchange.is_taken]
        for exchange in earlier:
            if exchange.request == request:
                return self._take(exchange, deliver)
        if earlier:
            self.settle(Ended(EndReason.CRASH, _TOOK_ANOTHER_WAY))
            return None
        if len(self._exchanges) >= MOST_FETCHES:
            deliver(Refusal(f"a script may make {MOST_FETCHES} requests in one call"))
            return None
        if sum(not exchange.task.done() for exchange in self._exchanges) >= MOST_AT_ONCE:
            deliver(Refusal(f"a script may make {MOST_AT_ONCE} requests at the same time"))
            return None
        work = perform(self._http, request, self._deadline, self._note)
        exchange = Exchange(request, asyncio.ensure_future(work))
        self._exchanges.append(exchange)
        return self._take(exchange, deliver)

    def _take(self, exchange: Exchange, deliver: Deliver) -> Exchange:
        exchange.is_taken = True

        def done(task: "asyncio.Task[Answer | Refusal]") -> None:
            # One that was given up is not answered: the script knows.
            if not task.cancelled():
                deliver(task.result())

        exchange.task.add_done_callback(done)
        return exchange

    def _note(self, begun: Fetch) -> Callable[[Fetch], None]:
        place = len(self._fetches)
        self._fetches.append(begun)

        def done(fetch: Fetch) -> None:
            self._fetches[place] = fetch

        return done

    def close(self) -> None:
        """Give up the requests that are still under way."""
        self.outcome.cancel()
        for exchange in self._exchanges:
            exchange.task.cancel()

    def run(self, end: Returned | Threw | Ended) -> Run:
        """Return what is told of it."""
        return Run(
            end,
            tuple(self._lines),
            self._cut,
            tuple(self._fetches),
            (time.perf_counter() - self._started) * 1000,
        )


def answered(wanted: Wanted, answer: Answer | Refusal) -> bytes:
    """Return the frame that brings what came of a request."""
    about: dict[str, object] = {"id": wanted.id, "fetch": wanted.fetch}
    if isinstance(answer, Refusal):
        return frame({"t": "failed", **about, "message": answer.message})
    head = {
        "t": "answer",
        **about,
        "status": answer.status,
        "phrase": answer.phrase,
        "url": answer.url,
        "redirected": answer.redirected,
        "truncated": answer.truncated,
        "headers": answer.headers,
    }
    return frame(head, answer.body)


def returned(text: bytes) -> Returned | Threw:
    """Make sure that what is said to be JSON is JSON; half of a surrogate pair becomes U+FFFD."""
    # JSON.stringify escapes these alone; whoever reads them strictly would refuse all of it.
    for json in (text, _HALF_A_PAIR.sub(rb"\1\\ufffd", text)):
        try:
            msgspec.json.decode(json)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        return Returned(None if json == b"null" else json)
    return Threw("the script returned what cannot be written as JSON", None, None)


# What a script says of its errors, put into words that its author knows.

_PLACE = re.compile(r"\bblob:null/[0-9a-f-]{36}(?::(\d{1,6}):(\d{1,6}))?")
_STORED = re.compile(r"\bdata:application/(?:java|type)script;base64,[\w+/=]*")
_OURS = re.compile(
    r"(?m)(?:\n|\A) {1,20}at (?!.*(?:blob:null|data:))(?:.*[( ])?(?:ext:|node:|file:///).*$"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EXPLAINED = (
    (
        re.compile(rf'Unsupported scheme .* for module "{REFUSED}([\w:/]{{1,80}})'),
        r"\1 is not offered to scripts",
    ),
    (re.compile(r"--no-npm"), "npm: modules are not offered"),
    (re.compile(r"^(?:TypeError: )?JSR "), "jsr: modules are not offered"),
    (
        re.compile(r"--allow-import|--no-remote"),
        "a module that was not stored with the script cannot be imported",
    ),
    (re.compile(r"--allow-read"), "files cannot be imported"),
    (
        re.compile(r"not in import map"),
        "a module is imported by its whole address, which begins with https://",
    ),
)


def without_addresses(text: str) -> str:
    """Return what a script printed, without the addresses under which it is run."""
    text = _OURS.sub("", text)
    text = _STORED.sub("a stored module", text)
    return _PLACE.sub(lambda at: f"script.ts:{at[1]}:{at[2]}" if at[1] else "script.ts", text)


def threw(problem: Failed) -> Threw:
    """Return what a script threw, with the place in its source."""
    line, column = _place(problem)
    return Threw(_words(problem.message), line, column)


def not_loaded(problem: Unloaded) -> Ended:
    """Return why a script is none."""
    line, column = _place(problem)
    words = _words(problem.message)
    place = f"line {line}, column {column}: " if line else ""
    return Ended(EndReason.NOT_LOADED, place + words)


def _place(problem: Failed | Unloaded) -> tuple[int | None, int | None]:
    plain = _COLOUR.sub("", f"{problem.stack}\n{problem.message}")
    for found in _PLACE.finditer(plain):
        if found[1]:
            return int(found[1]), int(found[2])
    return None, None


def _words(message: str) -> str:
    plain = _COLOUR.sub("", message)
    for pattern, meaning in _EXPLAINED:
        if found := pattern.search(plain):
            return found.expand(meaning)
    # Deno puts the source and the address below its own messages.
    plain = re.split(r"\n[ \t]+(?:\||at |hint:)|\n\d+ \|| at blob:null/", plain, maxsplit=1)[0]
    plain = plain.removeprefix("TypeError: SyntaxError:").strip() or "no message"
    return without_addresses(plain)[:_SHOWN_MESSAGE]
