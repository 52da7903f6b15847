"""The queue of a phone: what it may fetch, what it says became of it, and what moves on when it is
silent (A §3.6, §3.7).

What waits for a phone stands in its lane like the work of any channel. Its life there::

    offered ── fetch ──> in hand ── report ──> Sent, Failed, Cancelled
       │                    │
       └─ due: moves on     └─ due: a one-time code may move on; else it ends in doubt
"""

from textgate.gateway.phone_queue.fetching import take, waiting
from textgate.gateway.phone_queue.moving import due
from textgate.gateway.phone_queue.reporting import deliver, report, reported_recipient
from textgate.gateway.phone_queue.shapes import MOST, NumberReport, Order, Queued, Report

__all__ = (
    "MOST",
    "NumberReport",
    "Order",
    "Queued",
    "Report",
    "deliver",
    "due",
    "report",
    "reported_recipient",
    "take",
    "waiting",
)
