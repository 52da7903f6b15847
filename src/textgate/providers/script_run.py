"""What a run of a script means, and what its attempt's record keeps of it.

B §5.9, and beyond it: a failure that does not say its kind is judged by the script's requests, as
those alone tell whether the message may be out. docs/providers/script.md has the tables.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from textgate.domain.authgear import Answer, read_answer
from textgate.domain.masking import mask_echo
from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.domain.redaction import Redaction
from textgate.outbound.script.run import Ended, EndReason, Fetch, Line, Returned, Run, Threw
from textgate.providers.answers import (
    ANY_OTHER,
    CODES,
    by_line,
    by_status,
    explained,
    told,
    worded,
)
from textgate.providers.base import Sms

MAX_TOLD = 1_000
"""Characters, of which a detail is made."""
UNSENT: Outcome = Rejected(Reason.PROVIDER_ERROR)
"""The script failed and had made no request."""

# The trace, in bytes of JSON; all of it is at most 16 KiB. A letter may be written with two.
MAX_RETURNED = 1_500
MAX_MESSAGE = 500
MAX_LINE = 500
MAX_URL = 300
MAX_FETCHES = 5_000
MAX_CONSOLE = 6_000


def judge(run: Run, sms: Sms, secrets: Redaction) -> Outcome:
    """Return what came of it, with the trace."""
    redact = secrets.of(told(sms))
    outcome = _meant(run, sms, redact)
    return msgspec.structs.replace(outcome, trace={"script": trace(run, redact)})


def _meant(run: Run, sms: Sms, redact: Redaction) -> Outcome:
    match run.end:
        case Returned(value=value):
            return _returned(value, run.fetches, sms, redact)
        case Threw(message=message, line=line):
            place = f"in line {line}" if line else "an error"
            said = _masked(message, sms, redact)
            return _explained(
                by_fetches(run.fetches),
                Answer(),
                run.fetches,
                sms,
                f"the script threw {place}: {said}",
                redact,
            )
        case Ended(reason=reason, detail=detail):
            return worded(_ended(reason, run.fetches), _masked(detail, sms, redact))


def _returned(
    value: bytes | None, fetches: Sequence[Fetch], sms: Sms, redact: Redaction
) -> Outcome:
    # Null is success here and a failure of a webhook: Authgear's own asymmetry.
    answer = None if value in (None, b"null") else read_answer(value or b"")
    known = CODES["ok"] if answer is None else CODES.get(answer.code)
    if answer is None or isinstance(known, Accepted):
        return Accepted()
    heard = "the script returned" if answer.code else "the script returned an object without a code"
    return _explained(known or by_fetches(fetches), answer, fetches, sms, heard, redact)


def _explained(
    meant: Outcome,
    answer: Answer,
    fetches: Sequence[Fetch],
    sms: Sms,
    heard: str,
    redact: Redaction,
) -> Outcome:
    waits = [fetch.retry_after for fetch in fetches if fetch.status is not None]
    after = waits[-1] if waits else None
    return explained(
        worded(meant, ""),
        answer,
        sms,
        heard=heard,
        retry_after=after,
        hide=lambda text: redact.without_secrets(text, MAX_TOLD),
    )


def _masked(text: str, sms: Sms, redact: Redaction) -> str:
    return mask_echo(redact.without_secrets(text, MAX_TOLD), told(sms))


def by_fetches(fetches: Sequence[Fetch]) -> Outcome:
    """Return what a failure means that does not say its kind."""
    statuses = [fetch.status for fetch in fetches if fetch.status is not None]
    lost = [fetch for fetch in fetches if fetch.status is None and fetch.sent]
    if lost:
        return by_line(lost[-1].failure, True)
    if any(status < 300 for status in statuses):
        return ANY_OTHER  # somebody may have taken the message before the script failed
    if statuses:
        return by_status(statuses[-1])
    return by_line(fetches[-1].failure, False) if fetches else UNSENT


def _ended(reason: EndReason, fetches: Sequence[Fetch]) -> Outcome:
    match reason:
        case EndReason.UNAVAILABLE:
            return Deferred(Reason.UNREACHABLE)
        case EndReason.NOT_LOADED:
            return UNSENT
        case EndReason.TIMEOUT:
            meant = Reason.TIMEOUT
        case EndReason.MEMORY | EndReason.CRASH:
            meant = Reason.PROVIDER_ERROR
    out = any(fetch.sent or fetch.status is not None for fetch in fetches)
    return Unknown(meant) if out else Rejected(meant)


# The trace.


def trace(run: Run, redact: Redaction) -> dict[str, Any]:
    """Return what people may read of a run, of at most 16 KiB as JSON."""
    console, console_cut = _fitting([_line(line, redact) for line in run.console], MAX_CONSOLE)
    fetches, fetches_cut = _fitting([_fetch(fetch, redact) for fetch in run.fetches], MAX_FETCHES)
    return {
        **_end(run.end, redact),
        "elapsed_ms": round(run.elapsed_ms, 3),
        "fetches": fetches,
        "fetches_cut": fetches_cut,
        "console": console,
        "console_cut": console_cut or run.console_cut,
    }


def _end(end: Returned | Threw | Ended, redact: Redaction) -> dict[str, Any]:
    match end:
        case Returned(value=value):
            text = None if value is None else value.decode("utf-8", "replace")
            return {"returned": None if text is None else redact(text, MAX_RETURNED)}
        case Threw(message=message, line=line, column=column):
            said = redact(message, MAX_MESSAGE)
            return {"threw": {"message": said, "line": line, "column": column}}
        case Ended(reason=reason, detail=detail):
            return {"ended": {"reason": str(reason), "detail": redact(detail, MAX_MESSAGE)}}


def _line(line: Line, redact: Redaction) -> dict[str, Any]:
    return {"level": line.level, "text": redact(line.text, MAX_LINE)}


def _fetch(fetch: Fetch, redact: Redaction) -> dict[str, Any]:
    return {
        "method": redact(fetch.method, 20),
        "url": redact(_bare_url(fetch.url), MAX_URL),
        "status": fetch.status,
        "ms": round(fetch.elapsed_ms, 3),
        "detail": redact(fetch.detail, MAX_MESSAGE) if fetch.detail else None,
    }


def _bare_url(url: str) -> str:
    """Return a URL without its user, the values of its query, and its fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    names = "&".join(f"{pair.partition('=')[0]}=…" for pair in parts.query.split("&") if pair)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + (f"?{names}" if names else "")


def _fitting(items: list[dict[str, Any]], limit: int) -> tuple[list[dict[str, Any]], bool]:
    """Return the first items that fit into ``limit`` bytes, and whether some do not."""
    room = limit
    for n, item in enumerate(items):
        room -= len(msgspec.json.encode(item)) + 1
        if room < 0:
            return items[:n], True
    return items, False
