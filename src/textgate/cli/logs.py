"""Logs on standard error: one wide line of JSON for each event, or text on a terminal."""

import asyncio
import atexit
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import structlog

from textgate.config import Settings
from textgate.domain.times import rfc3339

if TYPE_CHECKING:
    from structlog.typing import Processor

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def set_up(settings: Settings) -> None:
    """Configure structlog, and send what libraries log with ``logging`` the same way."""
    level = _LEVELS[settings.log_level]
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    render: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="time")]
        if as_text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json_bytes)]
    )
    structlog.configure(
        processors=[*shared, *render] if as_text else [_json_line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_TextLog if as_text else _JsonLog,
        cache_logger_on_first_use=True,
    )
    _set_up_libraries(level, shared, render)
    atexit.register(_JsonLog._flush)


class _TextLog(structlog.WriteLogger):
    """Writes text to standard error; ``name`` is the room that speaks."""

    def __init__(self, name: str = "textgate") -> None:
        super().__init__(sys.stderr)
        self.name = name


FLUSH_S = 0.02
"""So long may a line wait for others: a write for each would cost as much as making it."""


class _JsonLog:
    """Writes bytes to standard error, what is logged within a moment in one go."""

    _pending: ClassVar[list[bytes]] = []

    def __init__(self, name: str = "textgate") -> None:
        self.name = name

    def msg(self, line: bytes) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread, or no loop yet
            _write([line])
            return
        if not self._pending:
            loop.call_later(FLUSH_S, self._flush)
        self._pending.append(line)

    debug = info = warning = error = critical = exception = msg

    @classmethod
    def _flush(cls) -> None:
        if lines := cls._pending[:]:
            cls._pending.clear()
            _write(lines)


def _write(lines: list[bytes]) -> None:
    sys.stderr.buffer.write(b"\n".join(lines) + b"\n")
    sys.stderr.buffer.flush()


def _set_up_libraries(level: int, shared: "list[Processor]", render: "list[Processor]") -> None:
    """The root logger: what uvicorn and asyncio have to say, from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *render,
                _as_text,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


def _json_line(logger: Any, method: str, event: Any) -> bytes:
    """All of the steps above in one: two such lines are written for every message."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, method, event)
    event["logger"] = logger.name
    event["level"] = "error" if method == "exception" else method
    event["time"] = rfc3339(time.time_ns() // 1_000_000)
    return _encode(event)


def _json_bytes(event: Any, **_: Any) -> bytes:
    return _encode(event)


def _as_text(_: Any, __: str, line: Any) -> Any:
    """``logging`` writes text; the JSON above is bytes."""
    return line.decode() if isinstance(line, bytes) else line
