"""What operators watch: metrics for Prometheus, and one wide line of log per attempt."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REGISTRY = CollectorRegistry()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_AGES = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)

ACCEPTED = Counter(
    "textgate_messages_accepted_total",
    "Messages accepted, safe on disk.",
    ["door"],
    registry=REGISTRY,
)
RECIPIENTS = Counter(
    "textgate_recipients_total",
    "Recipients that reached a state, by channel; failed ones by reason.",
    ["state", "reason", "channel"],
    registry=REGISTRY,
)
SEND_ATTEMPTS = Counter(
    "textgate_send_attempts_total",
    "Attempts to send, by channel and outcome.",
    ["channel", "outcome"],
    registry=REGISTRY,
)
SEND_SECONDS = Histogram(
    "textgate_send_seconds",
    "Duration of an attempt to send.",
    ["channel"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
TIME_TO_SENT = Histogram(
    "textgate_time_to_sent_seconds",
    "From accepting a message to handing it to the carrier.",
    buckets=_AGES,
    registry=REGISTRY,
)
CALLS = Counter(
    "textgate_webhook_calls_total",
    "Calls of webhooks, by outcome (ok, refused, retried, dead, disabled).",
    ["outcome"],
    registry=REGISTRY,
)
CALL_SECONDS = Histogram(
    "textgate_webhook_call_seconds",
    "Duration of a call of a webhook.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
TIME_TO_TOLD = Histogram(
    "textgate_time_to_told_seconds",
    "From an event to the webhook's 2xx.",
    buckets=_AGES,
    registry=REGISTRY,
)
IN_MEMORY = Gauge(
    "textgate_work_in_memory",
    "Work held by this process, begun or about to be.",
    ["work"],
    registry=REGISTRY,
)
RESTING = Gauge(
    "textgate_lanes_resting",
    "Channels and webhooks that failed so often that they are left alone for a while.",
    ["work"],
    registry=REGISTRY,
)
QUEUE = Gauge(
    "textgate_queue_depth",
    "Recipients and deliveries to which something is owed.",
    ["work"],
    registry=REGISTRY,
)
OLDEST = Gauge(
    "textgate_oldest_unfinished_seconds",
    "Age of the oldest message to which something is owed.",
    registry=REGISTRY,
)
LATE_RESULTS = Counter(
    "textgate_late_results_total",
    "Results that came after their lease had ended and so changed nothing.",
    ["work"],
    registry=REGISTRY,
)


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)
