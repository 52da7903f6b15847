"""What one phone sends, however much, keeps nobody else waiting; nor do many phones."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from serving import Served, serving

from textgate import telemetry
from textgate.api import device_events, mobile_v1, thirdparty_v1
from textgate.gateway.devices import Registered

GROUPS = (mobile_v1.GROUP, thirdparty_v1.GROUP, device_events.GROUP)
LONGEST_S = 1.0
"""Far more than one write takes, and far less than all that was sent."""
NUMBERS = [f"+417900{n:05}" for n in range(100)]


@asynccontextmanager
async def nobody_waits(longest_s: float = LONGEST_S) -> AsyncIterator[None]:
    """The event loop, which serves everybody, is never kept for long: by its own CPU, so that other
    processes of a busy machine are not taken for ours."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    yield
    await asyncio.sleep(0.002)
    watching.cancel()
    assert 0 < longest < longest_s


async def _message(served: Served, phone: Registered) -> str:
    wanted = {"textMessage": {"text": "x"}, "phoneNumbers": NUMBERS, "deviceId": phone.device.id}
    async with served.client() as client:
        answer = await client.post("/3rdparty/v1/messages", json=wanted)
    assert answer.status_code == 202
    return str(answer.json()["id"])


async def test_a_long_report_on_many_numbers(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()
        client.headers["Authorization"] = f"Bearer {phone.token}"
        message_id = await _message(served, phone)
        await client.get("/mobile/v1/message")
        numbers = [{"phoneNumber": number, "state": "Sent"} for number in NUMBERS]
        report = [{"id": message_id, "recipients": numbers}] * 200
        async with nobody_waits(0.15):  # in one piece it takes twice as long, and more
            assert (await client.patch("/mobile/v1/message", json=report)).status_code == 204
        async with served.client() as owner:
            told = (await owner.get(f"/3rdparty/v1/messages/{message_id}")).json()
        assert [one["state"] for one in told["recipients"]] == ["Sent"] * len(NUMBERS)


async def test_a_long_queue_of_many_numbers(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()
        client.headers["Authorization"] = f"Bearer {phone.token}"
        for _ in range(100):
            await _message(served, phone)
        async with nobody_waits(0.05):  # in one piece it takes twice as long, and more
            queue = (await client.get("/mobile/v1/message")).json()
        assert [message["phoneNumbers"] for message in queue] == [NUMBERS] * 100


async def test_many_messages_of_one_id(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()
        address = f"/device-events/{phone.device.event_key}"
        said = {"sender": "+41790000001", "receivedAt": "2026-01-01T12:00:00Z", "messageId": "7"}
        batch = {"messages": [{**said, "message": str(n)} for n in range(700)]}
        async with nobody_waits():
            event = {"id": "e1", "event": "sms:batch:received", "payload": batch}
            assert (await client.post(address, json=event)).status_code == 200
            repeat = {**event, "id": "e2"}  # as after an export: all of it is known
            assert (await client.post(address, json=repeat)).status_code == 200
        async with served.client() as owner:
            inbox = await owner.get("/3rdparty/v1/inbox", params={"limit": 500, "offset": 500})
        assert int(inbox.headers["X-Total-Count"]) == 700


@pytest.fixture
def fetching() -> Iterator[list[str]]:
    """Phones that have fetched messages; what was counted of them is forgotten in the end."""
    phones: list[str] = []
    yield phones
    for phone in phones:
        telemetry.forget("channel", phone)


async def test_the_metrics_of_many_phones(tmp_path: Path, fetching: list[str]) -> None:
    def fetch() -> None:
        fetching.append(f"phone-{len(fetching)}")
        telemetry.TIME_TO_PHONE.observe(0.2, fetching[-1])

    for _ in range(4_000):
        fetch()
    async with serving(tmp_path, *GROUPS) as served, served.client() as client:
        async with nobody_waits(0.25):
            asked = asyncio.create_task(client.get("/metrics"))
            while not asked.done():
                await asyncio.sleep(0.001)
                fetch()
        shown = (await asked).text
    name = "textgate_time_to_phone_seconds_count"
    assert 4_000 <= sum(line.startswith(name) for line in shown.splitlines()) <= len(fetching)
