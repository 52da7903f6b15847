"""What the app on a phone knows of, by its version (A §4.1, column "since").

The app reads the name of an event through an enum: a name that it does not know makes its whole
list of webhooks fail, again and again (A §2.7). So it is told only what its version knows.
"""

import re
from collections.abc import Mapping

from textgate.domain.event import EventType

Version = tuple[int, int]

SINCE: Mapping[EventType, Version] = {
    EventType.SMS_RECEIVED: (1, 15),
    EventType.SYSTEM_PING: (1, 16),
    EventType.SMS_SENT: (1, 18),
    EventType.SMS_DELIVERED: (1, 19),
    EventType.SMS_FAILED: (1, 19),
    EventType.SMS_DATA_RECEIVED: (1, 40),
    EventType.MMS_RECEIVED: (1, 47),
    EventType.MMS_DOWNLOADED: (1, 56),
    EventType.APP_STARTED: (1, 66),
    EventType.SMS_CANCELLED: (1, 68),
}
"""Batch events are in no release of the app, and of ``device:*`` no phone knows at all."""

CLASSIC = frozenset(
    {
        EventType.SMS_RECEIVED,
        EventType.SMS_SENT,
        EventType.SMS_DELIVERED,
        EventType.SMS_FAILED,
        EventType.SYSTEM_PING,
    }
)
"""What is told to an app that did not say its version."""

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})(?![\d])")


def read_version(text: str | None) -> Version | None:
    """Return the first two numbers of a version such as ``1.68.0``; None if it is none."""
    found = _VERSION.match(text or "")
    return (int(found[1]), int(found[2])) if found else None


def knows(app_version: str | None, event: str) -> bool:
    """Whether an app of this version can be told of ``event``."""
    version = read_version(app_version)
    if version is None:
        return event in CLASSIC
    return any(known == event and version >= since for known, since in SINCE.items())
