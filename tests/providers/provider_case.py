"""The kit of the provider tests: a message, a case, and what it takes to run one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from textgate.domain.message import Receipt
from textgate.domain.outcome import Accepted, Outcome, Reason
from textgate.outbound.guard import Guard
from textgate.outbound.http import HttpClient
from textgate.outbound.script.workers import Workers
from textgate.providers.base import OpenChannel, Provider, Sms, Tools
from textgate.testing.clock import FakeClock
from textgate.testing.raw_far_side import Answer, RawFarSide

CHANNEL_ID = "channel-1"
NUMBER = "+4915112345678"
CODE = "731904"
TEXT = f"{CODE} is your code for the Harbour Shop\n"


def an_sms(**changes: Any) -> Sms:
    """A message with a one-time code, changed as the test needs it."""
    members: dict[str, Any] = {
        "account_id": "account-1",
        "message_id": "order-17",
        "id": "order-17-0",
        "to": NUMBER,
        "text": TEXT,
        "data": None,
        "port": None,
        "encrypted": False,
        "sim_number": None,
        "priority": 0,
        "delivery_report": True,
        "attempt": 1,
        "deadline": 1_767_229_200_000,
        "context": {},
    }
    return Sms(**{**members, **changes})


WEBHOOK_KEY = "kT9_zQ4wLm2XvB7nRc5HyP8dJf3GsA1e"


def webhook_settings(url: str) -> dict[str, Any]:
    """Settings of a webhook channel; the key is that of the published test vectors."""
    return {"url": url, "signature_key": WEBHOOK_KEY, "timeout": 1}


def kind(outcome: Outcome) -> tuple[type, Reason | None]:
    """An outcome without its words."""
    return type(outcome), None if isinstance(outcome, Accepted) else outcome.reason


@dataclass(frozen=True)
class Sample:
    """What the contract suite needs to know of a provider; each table of tests has one."""

    settings: Callable[[str], dict[str, Any]]
    """Good settings, with every secret and the shortest time limit, for a far side at this URL."""
    calls_http: bool
    """Whether sending makes an HTTP request to that URL."""


@dataclass(frozen=True)
class SendCase:
    """What the far side says, and the outcome."""

    name: str
    answer: Answer
    wants: Outcome

    def __str__(self) -> str:
        return self.name


@dataclass
class Bench:
    """The tools that channels get, and the channels that were opened with them."""

    http: HttpClient
    guard: Guard
    far: RawFarSide
    scripts: Workers
    clock: FakeClock = field(default_factory=FakeClock)
    receipts: list[Receipt] = field(default_factory=list)
    refuse_receipts: int = 0
    """So many receipts are turned away before one is taken."""
    opened: list[OpenChannel] = field(default_factory=list)

    def open(
        self, provider: Provider[Any], settings: Mapping[str, Any], channel_id: str = CHANNEL_ID
    ) -> OpenChannel:
        """Open a channel as the engine does."""
        tools = Tools(
            http=self.http,
            guard=self.guard,
            clock=self.clock,
            scripts=self.scripts,
            channel_id=channel_id,
            report=self._report,
        )
        channel = provider.open(provider.parse(dict(settings)), tools)
        self.opened.append(channel)
        return channel

    async def outcome_of(self, provider: Provider[Any], said: Answer, **changes: Any) -> Outcome:
        """Send a message through a webhook to a far side that says this, once."""
        self.far.script(said)
        channel = self.open(provider, webhook_settings(self.far.url) | changes)
        outcome = await channel.send(an_sms())
        assert len(self.far.requests) == 1
        return outcome

    async def _report(self, receipt: Receipt) -> None:
        if self.refuse_receipts:
            self.refuse_receipts -= 1
            raise ConnectionError("the store is busy")
        self.receipts.append(receipt)
