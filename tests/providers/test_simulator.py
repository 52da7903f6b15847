"""The simulator: every digit, every name, and the manners of a real provider."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from provider_case import CHANNEL_ID, Bench, Sample, an_sms, kind

from textgate.domain.lifecycle import State
from textgate.domain.outcome import Accepted, Deferred, Outcome, Reason, Rejected, Unknown
from textgate.domain.phone import parse_phone
from textgate.providers.base import OpenChannel
from textgate.providers.simulator import BEHAVIOURS, DIGITS, PROVIDER
from textgate.testing.clock import START

SAMPLE = Sample(lambda url: {"late_s": 0, "slow_s": 0}, calls_http=False)
PAGE = Path(__file__).parents[2] / "docs/providers/simulator.md"
TAKEN = Accepted(ref="order-17-0")
SECONDS = 1000


async def until(holds: Callable[[], Any]) -> None:
    """Let the loop run until ``holds``; nothing here needs more than a few turns."""
    for _ in range(100):
        if holds():
            return
        await asyncio.sleep(0)
    raise TimeoutError("it never came about")


async def turns() -> None:
    """Give everything that could happen now the chance to."""
    for _ in range(20):
        await asyncio.sleep(0)


def states(bench: Bench) -> list[State]:
    return [receipt.state for receipt in bench.receipts]


async def accepts(channel: OpenChannel, **sms: Any) -> bool:
    return await channel.send(an_sms(**sms)) == TAKEN


@pytest.mark.parametrize("digit", "01")
async def test_a_message_is_delivered_at_once(bench: Bench, digit: str) -> None:
    assert await accepts(bench.open(PROVIDER, {}), to=f"+491511234567{digit}")
    assert bench.receipts == []  # the answer goes first
    await until(lambda: bench.receipts)
    [receipt] = bench.receipts
    assert (receipt.channel_id, receipt.ref) == (CHANNEL_ID, "order-17-0")
    assert (receipt.state, receipt.at) == (State.DELIVERED, START)


async def test_a_late_receipt_comes_when_it_should(bench: Bench) -> None:
    assert await accepts(bench.open(PROVIDER, {"late_s": 3}), to="+4915112345672")
    await turns()
    bench.clock.advance(3 * SECONDS - 1)
    await turns()
    assert bench.receipts == []
    bench.clock.advance(1)
    await until(lambda: bench.receipts)
    assert bench.receipts[0].at == START + 3 * SECONDS


async def test_a_message_can_stay_without_a_receipt(bench: Bench) -> None:
    assert await accepts(bench.open(PROVIDER, {}), to="+4915112345673")
    await turns()
    assert bench.receipts == []
    assert bench.clock.next_wake() is None


@pytest.mark.parametrize(
    ("digit", "reason"), [("4", Reason.INVALID_NUMBER), ("5", Reason.DELIVERY_REJECTED)]
)
async def test_a_number_can_be_refused(bench: Bench, digit: str, reason: Reason) -> None:
    outcome = await bench.open(PROVIDER, {}).send(an_sms(to=f"+491511234567{digit}"))
    assert kind(outcome) == (Rejected, reason)


async def test_a_throttled_message_is_taken_the_second_time(bench: Bench) -> None:
    channel, sms = bench.open(PROVIDER, {}), an_sms(to="+4915112345676")
    first = await channel.send(sms)
    assert kind(first) == (Deferred, Reason.RATE_LIMITED)
    assert isinstance(first, Deferred)
    assert first.after == timedelta(seconds=1)
    assert await channel.send(sms) == TAKEN
    await until(lambda: bench.receipts)


async def test_a_slow_answer_takes_its_time(bench: Bench) -> None:
    channel = bench.open(PROVIDER, {"slow_s": 2})
    sending = asyncio.create_task(channel.send(an_sms(to="+4915112345677")))
    await turns()
    bench.clock.advance(2 * SECONDS - 1)
    await turns()
    assert not sending.done()
    bench.clock.advance(1)
    assert await sending == TAKEN
    await until(lambda: bench.receipts)


async def test_after_a_broken_line_the_repeat_is_recognised(bench: Bench) -> None:
    channel = bench.open(PROVIDER, {})
    sms = an_sms(to="+4915112345678")
    assert kind(await channel.send(sms)) == (Unknown, Reason.UNREACHABLE)
    assert kind(await channel.send(an_sms(to=sms.to, id="another"))) == kind(
        Unknown(Reason.UNREACHABLE)
    )
    assert await channel.send(sms) == TAKEN
    await until(lambda: bench.receipts)
    await turns()
    assert len(bench.receipts) == 1


async def test_a_receipt_can_come_before_the_answer(bench: Bench) -> None:
    assert await accepts(bench.open(PROVIDER, {}), to="+4915112345679")
    assert states(bench) == [State.DELIVERED]


async def test_a_receipt_can_say_failed(bench: Bench) -> None:
    assert await accepts(bench.open(PROVIDER, {}), text="Hi #simulate=failed_receipt")
    await until(lambda: bench.receipts)
    [receipt] = bench.receipts
    assert (receipt.state, receipt.reason) == (State.FAILED, "delivery_rejected")


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (Reason.INVALID_NUMBER, Rejected),
        (Reason.DELIVERY_REJECTED, Rejected),
        (Reason.AUTHENTICATION_FAILED, Rejected),
        (Reason.UNSUPPORTED, Rejected),
        (Reason.ADDRESS_REFUSED, Rejected),
        (Reason.RATE_LIMITED, Deferred),
        (Reason.UNREACHABLE, Deferred),
        (Reason.PROVIDER_ERROR, Deferred),
        (Reason.TIMEOUT, Unknown),
        (Reason.UNKNOWN, Unknown),
    ],
)
async def test_a_text_can_ask_for_any_reason_and_wins_over_the_digit(
    bench: Bench, reason: Reason, outcome: type[Outcome]
) -> None:
    channel, sms = bench.open(PROVIDER, {}), an_sms(text=f"a #simulate={reason}, please")
    for _ in range(2):
        assert kind(await channel.send(sms)) == (outcome, reason)


def test_every_reason_that_a_provider_can_give_can_be_had() -> None:
    textgates_own = {Reason.EXPIRED, Reason.CANCELLED, Reason.NO_CHANNEL}
    assert set(Reason) - textgates_own <= set(BEHAVIOURS)


async def test_a_misspelt_name_is_refused_without_repeating_the_text(bench: Bench) -> None:
    outcome = await bench.open(PROVIDER, {}).send(an_sms(text="#simulate=swordfish"))
    assert kind(outcome) == (Rejected, Reason.UNSUPPORTED)
    assert "swordfish" not in repr(outcome)


async def test_what_cannot_be_read_is_delivered(bench: Bench) -> None:
    channel = bench.open(PROVIDER, {})
    assert await accepts(channel, to="$aes-256-cbc$4", text="#simulate=timeout", encrypted=True)
    assert await accepts(channel, to="0151-FLOWERS")
    assert await accepts(channel, to="")
    assert await accepts(channel, text=None, data="aGVsbG8=", port=53739, to="+4915112345670")


async def test_who_wants_no_report_gets_no_receipt(bench: Bench) -> None:
    assert await accepts(bench.open(PROVIDER, {}), to="+4915112345679", delivery_report=False)
    await turns()
    assert bench.receipts == []


async def test_a_receipt_is_repeated_until_it_is_taken(bench: Bench) -> None:
    bench.refuse_receipts = 9
    assert await accepts(bench.open(PROVIDER, {}), to="+4915112345670")
    waits = []
    while not bench.receipts:
        await until(lambda: bench.receipts or bench.clock.next_wake())
        if wake := bench.clock.next_wake():
            waits.append(wake - bench.clock.now())
            bench.clock.advance(waits[-1])
    assert waits == [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]
    assert states(bench) == [State.DELIVERED]


async def test_closing_forgets_what_is_not_due_and_ends_everything(bench: Bench) -> None:
    channel = bench.open(PROVIDER, {})
    before = asyncio.all_tasks()
    assert await accepts(channel, to="+4915112345670")
    assert await accepts(channel, to="+4915112345672")
    await until(lambda: bench.receipts)
    await channel.close()
    assert asyncio.all_tasks() == before
    bench.clock.advance(3600 * SECONDS)
    await turns()
    assert states(bench) == [State.DELIVERED]


async def test_a_receipt_that_cannot_be_stored_does_not_hold_up_closing(bench: Bench) -> None:
    channel = bench.open(PROVIDER, {})
    before = asyncio.all_tasks()
    bench.refuse_receipts = 1_000_000
    assert await accepts(channel, to="+4915112345670")
    await until(bench.clock.next_wake)
    await channel.close()
    assert asyncio.all_tasks() == before


async def test_what_it_owes_is_bounded(bench: Bench) -> None:
    channel = bench.open(PROVIDER, {})
    late = an_sms(to="+4915112345672")
    for _ in range(10_000):
        assert isinstance(await channel.send(late), Accepted)
    assert kind(await channel.send(late)) == (Deferred, Reason.RATE_LIMITED)
    await turns()
    bench.clock.advance(3 * SECONDS)
    await until(lambda: len(bench.receipts) == 10_000)
    await turns()
    assert isinstance(await channel.send(late), Accepted)


# The page and the tables are one.


def test_the_page_shows_every_digit_with_a_number_that_can_be_used() -> None:
    rows = re.findall(r"^\| (\+\d+) \| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert {int(number[-1]): name for number, name in rows} == dict(enumerate(DIGITS))
    for number, _ in rows:
        assert parse_phone(number, default_region=None).e164 == number


def test_the_page_shows_every_behaviour() -> None:
    named = set(re.findall(r"^\| (?:\S+ \| )?`(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))
    assert named - {"late_s", "slow_s"} == set(BEHAVIOURS)
