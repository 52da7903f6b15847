"""What the app makes of a queue, and how it reports: against a server of the test's own making."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from phone_world import Living, Mock, phones, reports, said

from textgate.phone.behaviour import Behaviour
from textgate.phone.chore import RETRIES, wait_after
from textgate.phone.uplink import reconnect_after
from textgate.testing.receiver import Answer, Call, Receiver

QUICK = Behaviour(seed=1, hand_over_ms=(0, 0), send_ms=(0, 0), deliver_ms=(0, 0))


@pytest.fixture
def mock() -> Mock:
    return Mock()


@pytest.fixture
def server(mock: Mock) -> Iterator[Receiver]:
    with Receiver(choose=mock) as receiver:
        yield receiver


@asynccontextmanager
async def living(
    server: Receiver, folder: Path, behaviour: Behaviour = QUICK, **wanted: Any
) -> AsyncIterator[Living]:
    async with phones(folder, f"{server.url}/m", behaviour=behaviour, **wanted) as phone:
        await phone.until(lambda: any(c.path.startswith("/m/message") for c in server.calls))
        yield phone


def item(name: str, **more: Any) -> dict[str, Any]:
    text = {"textMessage": {"text": "Hello"}, "message": "Hello"}
    return {"id": name, "phoneNumbers": ["+12025550101"], "state": "Pending"} | text | more


async def told(server: Receiver, name: str, state: str) -> list[Any]:
    """Return all reports as soon as there is one of this message in this state."""

    def is_there(calls: list[Call]) -> bool:
        return any((r["id"], r["state"]) == (name, state) for r in reports(calls))

    return reports(await asyncio.to_thread(server.wait_until, is_there))


async def test_a_report_has_all_states_with_the_times_of_the_phone(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.queue = [item("m1")]
    async with living(server, tmp_path, Behaviour(seed=1, offset_minutes=420)):
        last = (await told(server, "m1", "Delivered"))[-1]
    assert last["recipients"] == [{"phoneNumber": "+12025550101", "state": "Delivered"}]
    assert list(last["states"]) == ["Pending", "Processed", "Sent", "Delivered"]
    for stamp in last["states"].values():
        assert stamp[10] == "T"
        assert stamp[19] == "."
        assert stamp[23:] == "+07:00"


async def test_one_item_that_cannot_be_sent_does_not_stop_the_rest(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    empty = item("empty") | {"textMessage": None, "message": None}
    bad_time = item("bad", validUntil="tomorrow")
    mock.queue = [empty, bad_time, item("good")]
    async with living(server, tmp_path) as phone:
        await told(server, "good", "Delivered")
        troubles = {t.happening.message_id for t in phone.kinds("trouble")}
        assert troubles >= {"empty", "bad"}
        assert await phone.read(lambda tx, account: tx.messages.get(account, "empty")) is None


async def test_a_sim_that_it_does_not_have_fails_the_message(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.queue = [item("m1", simNumber=2)]
    async with living(server, tmp_path):
        [recipient] = (await told(server, "m1", "Failed"))[-1]["recipients"]
    assert "SIM 2 not found" in recipient["error"]


async def test_only_pending_and_what_has_no_known_state_is_sent(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    """A state that the app cannot read counts as none, which means: send (A §3.6)."""
    mock.queue = [
        item("failed", state="Failed"),
        item("none", state=None),
        item("new", state="Dreaming"),
    ]
    async with living(server, tmp_path) as phone:
        await told(server, "none", "Delivered")
        await told(server, "new", "Delivered")
        assert await phone.read(lambda tx, account: tx.messages.get(account, "failed")) is None


async def test_what_is_to_be_cancelled_and_was_never_heard_of_is_reported_as_cancelled(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.queue = [item("gone", state="Cancelling", phoneNumbers=["+1", "+2"])]
    async with living(server, tmp_path):
        report = (await told(server, "gone", "Cancelled"))[0]
    assert [r["state"] for r in report["recipients"]] == ["Cancelled", "Cancelled"]
    assert list(report["states"]) == ["Cancelled"]


async def test_what_it_knows_and_still_finds_in_the_queue_is_reported_again(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    """So a report that was lost is healed by the next look into the queue."""
    mock.queue = [item("m1")]
    async with living(server, tmp_path) as phone:
        await told(server, "m1", "Delivered")
        await phone.until(lambda: phone.cloud.phones[0].idle)
        server.clear()
        assert phone.cloud.phones[0].uplink is not None
        phone.cloud.phones[0].uplink.pull()
        [again] = await told(server, "m1", "Delivered")
        assert again["recipients"][0]["state"] == "Delivered"


async def test_what_has_begun_is_not_cancelled_any_more(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    slow = Behaviour(seed=1, hand_over_ms=(0, 0), send_ms=(300_000, 300_000))
    mock.queue = [item("m1")]
    async with living(server, tmp_path, slow) as phone:
        await told(server, "m1", "Processed")
        mock.queue = [item("m1", state="Cancelling")]
        phone.cloud.phones[0].uplink.pull()  # type: ignore[union-attr]
        assert all(r["state"] != "Cancelled" for r in await told(server, "m1", "Sent"))


def stream(*events: str) -> Answer:
    """An event stream that says this, and ends."""
    said = "".join(f"event: {event}\ndata: null\n\n" for event in events)
    return Answer(200, {"Content-Type": "text/event-stream"}, f":hello\n\n{said}".encode())


def asked(server: Receiver, path: str) -> int:
    return sum(call.path.startswith(path) for call in server.calls)


async def test_each_time_its_event_stream_opens_it_looks_into_its_queue(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.answers["GET /m/events"] = [stream() for _ in range(5)]
    async with living(server, tmp_path, hurry=50) as phone:  # so it polls every 18 seconds
        await phone.until(lambda: len(phone.kinds("connected")) == 5)
        await phone.until(lambda: asked(server, "/m/message") >= 5, within_s=5)


async def test_what_it_is_told_it_fetches(mock: Mock, server: Receiver, tmp_path: Path) -> None:
    told = ("WebhooksUpdated", "SettingsUpdated", "SomethingNew")
    mock.answers["GET /m/events"] = [stream(*told)]
    async with living(server, tmp_path) as phone:
        await phone.until(lambda: asked(server, "/m/webhooks") == 2)
        await phone.until(lambda: asked(server, "/m/settings") == 2)
        assert [t for t in phone.kinds("trouble") if "SomethingNew" in t.happening.text]


async def test_an_answer_that_cannot_be_read_is_asked_for_again(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.answers["GET /m/message"] = [said([{"id": 7}]), Answer(200, body=b"<html>"), Answer(502)]
    mock.queue = [item("m1")]
    async with living(server, tmp_path):
        await told(server, "m1", "Delivered")


async def test_the_queue_is_asked_in_the_order_of_the_settings(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.settings = {"messages": {"processing_order": "FIFO"}}
    async with living(server, tmp_path) as phone:
        await phone.until(lambda: phone.kinds("settings"))
        phone.cloud.phones[0].uplink.pull()  # type: ignore[union-attr]
        await phone.until(lambda: any(c.path.endswith("order=fifo") for c in server.calls))
    first = next(c for c in server.calls if c.path.startswith("/m/message"))
    assert first.path.endswith("order=lifo")


async def test_a_webhook_for_an_event_that_the_app_does_not_know_fails_all_of_them(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    """As in the app (A §2.7); it tries again, and takes them once they are good."""
    good = {"id": "a", "event": "sms:sent", "url": "https://hooks.example/"}
    mock.answers["GET /m/webhooks"] = [said([good, good | {"id": "b", "event": "sms:batch:sent"}])]
    mock.webhooks = [good]
    async with living(server, tmp_path) as phone:
        await phone.until(lambda: phone.kinds("settings"))
        found = await phone.read(lambda tx, account: tx.webhooks.all(account))
        assert [webhook.id for webhook in found] == ["a"]
        assert [t for t in phone.kinds("trouble") if "knows no event" in t.happening.text]


async def test_a_value_that_is_none_of_its_keys_fails_the_settings(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.settings = {"messages": {"processing_order": "RANDOM"}}
    async with living(server, tmp_path) as phone:
        await phone.until(lambda: phone.kinds("trouble"))
        mock.settings = {"messages": {"send_interval_max": "9"}, "webhooks": {"signing_key": "k3y"}}
        await phone.until(lambda: phone.kinds("settings"))
        await phone.until(
            lambda: [t for t in phone.kinds("settings") if t.happening.text.startswith("settings")]
        )
        account = await phone.account()
        assert account.settings == {"messages": {"send_interval_max": "9"}}
        assert account.webhook_secret == "k3y"


async def test_a_report_is_given_up_after_ten_more_tries(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.queue = [item("m1")]
    mock.answers["PATCH /m/message"] = [Answer(500)] * 1_000
    async with living(server, tmp_path, QUICK, hurry=5_000) as phone:
        await phone.until(lambda: phone.kinds("fetched"))
        mock.queue = []  # else the next look into the queue would make it report anew
        await phone.until(lambda: phone.kinds("delivered"))
        await phone.until(lambda: phone.cloud.phones[0].uplink.reports.idle)  # type: ignore[union-attr]
        delivered = [r for r in reports(server.calls) if r["state"] == "Delivered"]
        # One more if the news of it came while the first of them was on its way.
        assert RETRIES + 1 <= len(delivered) <= RETRIES + 2


async def test_what_nobody_acknowledged_is_reported_after_a_restart(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.queue = [item("m1"), item("m2")]
    mock.answers["PATCH /m/message"] = [Answer(503)] * 10_000
    async with living(server, tmp_path) as phone:
        await phone.until(lambda: len(phone.kinds("delivered")) == 2)
    mock.answers.clear()
    mock.queue = []
    server.clear()
    async with living(server, tmp_path):
        await told(server, "m1", "Delivered")
        await told(server, "m2", "Delivered")


async def test_what_was_acknowledged_is_not_reported_after_a_restart(
    mock: Mock, server: Receiver, tmp_path: Path
) -> None:
    mock.queue = [item("m1")]
    async with living(server, tmp_path) as phone:
        await told(server, "m1", "Delivered")
        await phone.until(lambda: phone.cloud.phones[0].idle)
    mock.queue = [item("m2")]
    server.clear()
    async with living(server, tmp_path):
        assert {r["id"] for r in await told(server, "m2", "Delivered")} == {"m2"}


def test_the_waits_are_those_of_the_app() -> None:
    assert [wait_after(n) // 1000 for n in (1, 2, 3, 10)] == [10, 20, 40, 5120]
    assert wait_after(40) == 5 * 3_600_000
    waits = [reconnect_after(n) // 1000 for n in range(1, 13)]
    assert waits == [5] * 5 + [30] * 5 + [60] * 2
