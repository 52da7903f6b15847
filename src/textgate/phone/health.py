"""The health of a phone, as ``system:ping`` and its own API show it (A §2.10)."""

from collections.abc import Iterable
from typing import Literal

from textgate.api.probes import RELEASE_ID, Health, HealthCheck
from textgate.domain.lifecycle import State
from textgate.domain.times import Milliseconds
from textgate.phone.behaviour import Behaviour
from textgate.store.base import Tx

HOUR_MS = 3_600_000
LOW, EMPTY = 25, 10
"""Percent of the battery below which the app warns, and fails."""
Verdict = Literal["pass", "warn", "fail"]
_TRANSPORT = {"none": 1, "cellular": 2, "wifi": 4}
_CHARGED_BY = 4
"""The flag of USB."""


def health_of(tx: Tx, account_id: str, behaviour: Behaviour, now: Milliseconds) -> Health:
    """Look at the phone as it is now."""
    failed, _ = tx.messages.reached_since(account_id, State.FAILED, now - HOUR_MS)
    sent, _ = tx.messages.reached_since(account_id, State.SENT, now - HOUR_MS)
    online = behaviour.connection != "none"
    checks = {
        "messages:failed": HealthCheck(
            "Failed messages for last hour", "messages", failed, _failures(failed, sent)
        ),
        "connection:status": HealthCheck(
            "Internet connection status", "boolean", int(online), "pass" if online else "fail"
        ),
        "connection:transport": HealthCheck(
            "Network transport type", "flags", _TRANSPORT[behaviour.connection], "pass"
        ),
        "connection:cellular": HealthCheck("Cellular network type", "index", 0, "pass"),
        "battery:level": HealthCheck(
            "Battery level in percent", "percent", behaviour.battery, _charge(behaviour.battery)
        ),
        "battery:charging": HealthCheck(
            "Is the phone charging?", "flags", _CHARGED_BY if behaviour.charging else 0, "pass"
        ),
    }
    worst = _worst(check.status for check in checks.values())
    return Health(worst, behaviour.version, RELEASE_ID, checks)


def _failures(failed: int, sent: int) -> Verdict:
    if failed == 0:
        return "pass"
    return "warn" if sent else "fail"


def _charge(percent: int) -> Verdict:
    if percent < EMPTY:
        return "fail"
    return "warn" if percent < LOW else "pass"


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    return max(verdicts, key=("pass", "warn", "fail").index)
