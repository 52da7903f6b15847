"""A phone with SMS Gateway for Android: it fetches its messages and reports what became of them."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from textgate.domain.outcome import Outcome, Reason, Rejected
from textgate.providers.base import Provider, Sms, Tools, setting


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of its queue (A §7.4); 0 is no limit."""

    max_pending: Annotated[int, Meta(ge=0, le=1_000_000)] = setting(
        "Most waiting messages",
        help="A phone with so many messages that it has not reported on gets no more; 0: no limit.",
        default=0,
    )
    max_pending_age_s: Annotated[int, Meta(ge=0, le=30 * 86_400)] = setting(
        "Oldest waiting message",
        help="If its oldest such message waits for longer (seconds), it gets no more; 0: no limit.",
        default=0,
    )
    max_failed: Annotated[int, Meta(ge=0, le=1_000)] = setting(
        "Most failures in a row",
        help="A phone whose last so many messages all failed gets no more; 0: no limit.",
        default=0,
    )
    max_failed_age_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] = setting(
        "How long failures count",
        help="Failures older than this (seconds) are forgotten.",
        default=3_600,
    )


class Phone:
    """The channel. Nothing is sent to it: what it carries waits in the store for the phone."""

    async def send(self, sms: Sms) -> Outcome:
        return Rejected(Reason.UNSUPPORTED, "a phone fetches its messages itself")

    async def close(self) -> None: ...


def _open(settings: Settings, tools: Tools) -> Phone:
    return Phone()


PROVIDER = Provider(
    kind="phone",
    title="Phone",
    settings=Settings,
    open=_open,
    pulled=True,
    carries_data=True,
    carries_encrypted=True,
    receipts=True,
)
