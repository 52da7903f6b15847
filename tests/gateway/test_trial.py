"""A test send through any provider: every way to end is a result."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from textgate.domain.lifecycle import State
from textgate.domain.message import Receipt
from textgate.domain.outcome import Accepted, Outcome, Reason, Rejected, Unknown
from textgate.gateway import trial
from textgate.gateway.trial import Grounds, secrets_of, trial_sms, try_out
from textgate.outbound.guard import Guard
from textgate.outbound.http import FailureKind, HttpClient
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.workers import Workers
from textgate.providers.base import Provider, Sms, Tools, setting
from textgate.providers.discovery import find
from textgate.testing.clock import FakeClock

SMS = trial_sms("account-1", "+41790000001", trial.TEXT, {}, 0)


@pytest.fixture
async def grounds() -> AsyncIterator[Grounds]:
    """With a guard that allows no address of this machine."""
    guard = Guard()
    http = HttpClient(guard, user_agent="Textgate/test")
    workers = Workers(Deno(), total=1, memory_mb=256)
    yield Grounds(http, guard, FakeClock(), workers)
    await workers.close()
    await http.close()


@dataclass(frozen=True, slots=True)
class Settings:
    key: str = setting("Key", secret=True)
    pairs: Mapping[str, str] = setting("Pairs", default={}, secret=True, hidden=True)
    open: str = setting("Open", default="to be read")


Send = Callable[[Sms, Tools], Awaitable[Outcome]]


class Channel:
    """A channel that does as it is told."""

    closed: list[str]

    def __init__(self, send: Send, tools: Tools, closed: list[str]) -> None:
        self._send, self._tools, self._closed = send, tools, closed

    async def send(self, sms: Sms) -> Outcome:
        return await self._send(sms, self._tools)

    async def close(self) -> None:
        self._closed.append(self._tools.channel_id)


def provider(send: Send, closed: list[str]) -> Provider[Settings]:
    return Provider(
        kind="told",
        title="As it is told",
        settings=Settings,
        open=lambda _, tools: Channel(send, tools, closed),
        max_attempt_s=lambda _: 0.05,
    )


async def test_an_address_that_must_not_be_dialled_is_said_to_be_so(grounds: Grounds) -> None:
    settings = {"url": "https://127.0.0.1:9/sms", "signature_key": "k" * 32}
    done = await try_out(find("webhook"), settings, SMS, grounds)
    assert isinstance(done.outcome, Rejected)
    assert done.outcome.reason is Reason.ADDRESS_REFUSED
    assert "TEXTGATE_ALLOW_ADDRESSES" in done.outcome.detail
    [one] = done.exchanges
    assert one.failure is not None
    assert (one.failure.kind, one.request.sent) == (FailureKind.REFUSED, False)


async def test_a_provider_that_raises_has_a_result_without_its_words(grounds: Grounds) -> None:
    async def send(sms: Sms, _: Tools) -> Outcome:
        raise ValueError(f"what it says may quote {sms.to}")

    closed: list[str] = []
    done = await try_out(provider(send, closed), {"key": "k"}, SMS, grounds)
    assert done.outcome == Unknown(Reason.PROVIDER_ERROR, "ValueError")
    assert closed == [SMS.id]


async def test_a_provider_that_takes_longer_than_its_limit_is_ended(
    grounds: Grounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "GRACE_S", 0.05)

    async def send(_: Sms, __: Tools) -> Outcome:
        await asyncio.Event().wait()
        return Accepted()

    closed: list[str] = []
    async with asyncio.timeout(10):
        done = await try_out(provider(send, closed), {"key": "k"}, SMS, grounds)
    assert isinstance(done.outcome, Unknown)
    assert done.outcome.reason is Reason.TIMEOUT
    assert done.elapsed_ms >= 90
    assert closed == [SMS.id]


async def test_a_receipt_of_a_test_belongs_to_nothing_and_is_let_go(grounds: Grounds) -> None:
    async def send(_: Sms, tools: Tools) -> Outcome:
        await tools.report(
            Receipt(channel_id=tools.channel_id, ref="r", state=State.DELIVERED, at=0)
        )
        return Accepted("r")

    done = await try_out(provider(send, []), {"key": "k"}, SMS, grounds)
    assert done.outcome == Accepted("r")


def test_each_text_within_the_secret_settings_is_a_secret_the_hidden_ones_too() -> None:
    async def send(_: Sms, __: Tools) -> Outcome:
        return Accepted()

    settings: dict[str, Any] = {"key": "k-1", "pairs": {"A": "a-1", "B": "b-1"}, "open": "o-1"}
    assert set(secrets_of(provider(send, []), settings)) == {"k-1", "a-1", "b-1"}
    keys = [{"key": "old-1", "until": 5}]
    webhook = {"signature_key": "new-1", "previous_signature_keys": keys, "url": "u"}
    assert set(secrets_of(find("webhook"), webhook)) == {"new-1", "old-1"}
