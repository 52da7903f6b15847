"""What operators watch: metrics for Prometheus.

The counters are plain numbers, changed on the event loop alone, because eight of them move for
every message; ``prometheus_client`` reads them when somebody asks and writes its text format. That
may be done in another thread: what is read is a copy, made in one step.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REGISTRY = CollectorRegistry()
_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
_AGES = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

_COUNTED: list[tuple[tuple[str, ...], dict[tuple[str, ...], Any]]] = []
"""Of each counter and histogram: the names of its labels, and what it found by their values."""


class Counter(Collector):
    """Counts, by the values of its labels."""

    def __init__(self, name: str, documentation: str, labels: Iterable[str] = ()) -> None:
        self._about = (name, documentation, tuple(labels))
        self._counts: dict[tuple[str, ...], int] = {}
        _COUNTED.append((self._about[2], self._counts))
        _REGISTRY.register(self)

    def inc(self, *labels: str) -> None:
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def collect(self) -> Iterator[Metric]:
        name, documentation, labels = self._about
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, count in list(self._counts.items()):
            family.add_metric(values, count)
        yield family


class Gauge(Collector):
    """A number that goes up and down, by the values of its labels."""

    def __init__(self, name: str, documentation: str, labels: Iterable[str] = ()) -> None:
        self._about = (name, documentation, tuple(labels))
        self._values: dict[tuple[str, ...], float] = {}
        _REGISTRY.register(self)

    def set(self, value: float, *labels: str) -> None:
        self._values[labels] = value

    def collect(self) -> Iterator[Metric]:
        name, documentation, labels = self._about
        family = GaugeMetricFamily(name, documentation, labels=labels)
        for values, value in list(self._values.items()):
            family.add_metric(values, value)
        yield family


class Histogram(Collector):
    """How often a value fell into each bucket, by the values of its labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Iterable[str] = (),
        *,
        buckets: tuple[float, ...] = _SECONDS,
    ) -> None:
        self._about = (name, documentation, tuple(labels))
        self._bounds = buckets
        self._found: dict[
            tuple[str, ...], list[float]
        ] = {}  # a count for each bucket, then the sum
        _COUNTED.append((self._about[2], self._found))
        _REGISTRY.register(self)

    def observe(self, value: float, *labels: str) -> None:
        found = self._found.get(labels)
        if found is None:
            found = self._found[labels] = [0.0] * (len(self._bounds) + 2)
        found[bisect_left(self._bounds, value)] += 1
        found[-1] += value

    def collect(self) -> Iterator[Metric]:
        name, documentation, labels = self._about
        family = HistogramMetricFamily(name, documentation, labels=labels)
        for values, found in list(self._found.items()):
            total, buckets = 0.0, []
            for bound, count in zip((*map(str, self._bounds), "+Inf"), found, strict=False):
                total += count
                buckets.append((bound, total))
            family.add_metric(values, buckets, found[-1])
        yield family


ACCEPTED = Counter("textgate_messages_accepted", "Messages accepted, safe on disk.", ["door"])
RECIPIENTS = Counter(
    "textgate_recipients",
    "Recipients that reached a state, by channel; failed ones by reason.",
    ["state", "reason", "channel"],
)
SEND_ATTEMPTS = Counter(
    "textgate_send_attempts", "Attempts to send, by channel and outcome.", ["channel", "outcome"]
)
SEND_SECONDS = Histogram("textgate_send_seconds", "Duration of an attempt to send.", ["channel"])
TIME_TO_SENT = Histogram(
    "textgate_time_to_sent_seconds",
    "From accepting a message to handing it to the carrier.",
    buckets=_AGES,
)
TIME_TO_PHONE = Histogram(
    "textgate_time_to_phone_seconds",
    "From giving a message to a phone to its being fetched by it.",
    ["channel"],
    buckets=_AGES,
)
CALLS = Counter(
    "textgate_webhook_calls",
    "Calls of webhooks, by outcome (ok, retried, dead, disabled).",
    ["outcome"],
)
CALL_SECONDS = Histogram("textgate_webhook_call_seconds", "Duration of a call of a webhook.")
TIME_TO_TOLD = Histogram(
    "textgate_time_to_told_seconds", "From an event to the webhook's 2xx.", buckets=_AGES
)
IN_MEMORY = Gauge(
    "textgate_work_in_memory", "Work held by this process, begun or about to be.", ["work"]
)
RESTING = Gauge(
    "textgate_lanes_resting", "Lanes that failed so often that they are left alone.", ["work"]
)
QUEUE = Gauge(
    "textgate_queue_depth", "Recipients and deliveries to which something is owed.", ["work"]
)
OLDEST = Gauge(
    "textgate_oldest_unfinished_seconds",
    "Age of the oldest message to which something is owed.",
)
LATE_RESULTS = Counter(
    "textgate_late_results",
    "Results that came after their lease had ended and so changed nothing.",
    ["work"],
)
PHONES = Gauge("textgate_phones", "Phones, by whether they were heard of lately.", ["state"])
PHONE_STREAMS = Gauge("textgate_phone_streams", "Event streams that phones have open here.")
PHONE_EVENTS = Counter(
    "textgate_phone_events_sent",
    "What phones were told, by event and way (stream, push).",
    ["event", "way"],
)
SCRIPT_PROCESSES = Gauge("textgate_script_processes", "Processes that run scripts.")
SCRIPT_ENDS = Counter(
    "textgate_script_ends",
    "Processes that ended under a script's calls, by reason (timeout, memory, crash).",
    ["reason"],
)


def values(label: str) -> set[str]:
    """Return the values of a label for which something was counted."""
    return {
        key[labels.index(label)] for labels, found in _COUNTED if label in labels for key in found
    }


def forget(label: str, value: str) -> None:
    """Drop what was counted for this value of a label: the thing it names is no more."""
    for labels, found in _COUNTED:
        if label in labels:
            place = labels.index(label)
            for key in [key for key in found if key[place] == value]:
                del found[key]


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(_REGISTRY)
