"""What watches the server: health, metrics, the catalogue of APIs (A §2.8); without login."""

import asyncio
import resource
import sys
from typing import Any, Literal

import msgspec
import structlog

from textgate import __version__
from textgate.api.operation import Answer, Call, Content, Headers, Operation
from textgate.telemetry import CONTENT_TYPE

RELEASE_ID = 1
"""An integer, as the original's clients want it."""
log = structlog.get_logger("textgate.api")

PING_TIMEOUT_S = 2.0
_NO_STORE: Headers = (("Cache-Control", "no-store"),)


class HealthCheck(msgspec.Struct, rename="camel"):
    """One thing that was looked at."""

    description: str
    observed_unit: str
    observed_value: int
    status: Literal["pass", "warn", "fail"]


class Health(msgspec.Struct, rename="camel", omit_defaults=True):
    """The state of this process."""

    status: Literal["pass", "warn", "fail"]
    version: str
    release_id: int
    checks: dict[str, HealthCheck] = {}


async def startup(call: Call[None, None]) -> Answer:
    """Started: this answer is the proof."""
    return Answer(200, Health("pass", __version__, RELEASE_ID), _NO_STORE)


async def ready(call: Call[None, None]) -> Answer:
    """Able to work: the database answers, and takes writes."""
    failed = 0 if await _database_answers(call) else 1
    status: Literal["pass", "fail"] = "fail" if failed else "pass"
    ping = HealthCheck("Database ping", "failed pings", failed, status)
    health = Health(status, __version__, RELEASE_ID, {"db:ping": ping})
    return Answer(503 if failed else 200, health, _NO_STORE)


async def _database_answers(call: Call[None, None]) -> bool:
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            await call.services.store.read(lambda tx: tx.one("SELECT 1"))
            await call.services.store.write(lambda tx: None)  # empty: the disk is not waited for
            return True
    except Exception as error:  # a probe asks only whether; the log says why
        log.warning("the database does not answer", error=type(error).__name__)
        return False


async def live(call: Call[None, None]) -> Answer:
    """Alive: the event loop turns. The peak of memory is told, not judged."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024  # KiB on Linux, bytes on macOS
    memory = HealthCheck("Peak memory use", "MiB", peak // unit, "pass")
    return Answer(
        200, Health("pass", __version__, RELEASE_ID, {"system:memory": memory}), _NO_STORE
    )


async def metrics(call: Call[None, None]) -> Content:
    """In a thread: each phone has a histogram of its own, and thousands take a second to write."""
    shown = await asyncio.to_thread(call.services.exposition)
    return Content(shown, CONTENT_TYPE, headers=_NO_STORE)


async def catalog(call: Call[None, None]) -> Content:
    """The API catalogue of RFC 9727, as a link set (RFC 9264)."""
    base = call.services.settings.public_url or ""
    described = {
        "service-desc": [{"href": f"{base}/openapi.json", "type": "application/json"}],
        "service-doc": [{"href": f"{base}/docs", "type": "text/html"}],
        "status": [{"href": f"{base}/health", "type": "application/json"}],
    }
    linkset = [{"anchor": f"{base}{path}", **described} for path in ("/3rdparty/v1", "/v1")]
    return Content(
        msgspec.json.encode({"linkset": linkset}),
        "application/linkset+json",
        headers=(("Cache-Control", "public, max-age=3600"),),
    )


_FAILED = {503: "the database does not answer, or takes no writes"}

HEALTH = tuple(
    Operation(
        "GET", path, summary, "health", None, handler, answer=Health, errors=errors, public=True
    )
    for path, summary, handler, errors in (
        ("/health", "Is it able to work?", ready, _FAILED),
        ("/health/ready", "Is it able to work?", ready, _FAILED),
        ("/health/startup", "Has it started?", startup, {}),
        ("/health/live", "Is it alive?", live, {}),
    )
)
"""Served at the root and beside the dialect."""

ROOT = (
    *HEALTH,
    Operation(
        "GET",
        "/metrics",
        "Metrics in the Prometheus text format",
        "health",
        None,
        metrics,
        answer=str,
        answer_type="text/plain",
        public=True,
    ),
    Operation(
        "GET",
        "/.well-known/api-catalog",
        "Where the APIs of this server are described",
        "health",
        None,
        catalog,
        answer=dict[str, list[dict[str, Any]]],
        answer_type="application/linkset+json",
        public=True,
    ),
)
