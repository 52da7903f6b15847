"""The event stream of a phone, as the phone reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from serving import Served, serving

from textgate import telemetry
from textgate.api import mobile_v1
from textgate.domain.device import Device, DeviceEvent
from textgate.domain.message import Submission
from textgate.gateway import credentials, devices
from textgate.gateway.devices import Registered
from textgate.gateway.nudges import nudge
from textgate.gateway.submit import check as check_submission
from textgate.gateway.submit import submit as submit_message
from textgate.store.sqlite import SqliteStore
from textgate.testing.vault import VAULT

PATIENCE_S = 10.0
AT_ONCE = ": events follow"
KEEP_ALIVE = ":keepalive"
ENQUEUED = "event: MessageEnqueued\ndata: null"
SETTINGS = "event: SettingsUpdated\ndata: null"
EXPORT = {"since": "2026-05-06T00:00:00Z", "until": "2026-05-07T00:00:00Z"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, mobile_v1.GROUP) as served:
        yield served


class Listener:
    """Reads an event stream block by block, as it is on the line."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._text = answer.aiter_text()
        self._read = ""

    async def block(self) -> str:
        """Return the next block. Raises StopAsyncIteration when the stream has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while "\n\n" not in self._read:
                self._read += await anext(self._text)
        block, _, self._read = self._read.partition("\n\n")
        return block

    async def ended(self) -> bool:
        """Whether the stream ends, properly, without another word."""
        try:
            word = await self.block()
        except StopAsyncIteration:
            return True
        raise AssertionError(f"the stream goes on with {word!r}")


@asynccontextmanager
async def listening(served: Served, phone: Registered) -> AsyncIterator[Listener]:
    """Open a stream and hear its first words."""
    headers = {"Authorization": f"Bearer {phone.token}"}
    async with (
        served.client(auth=None, headers=headers) as client,
        client.stream("GET", "/mobile/v1/events") as answer,
    ):
        assert answer.status_code == 200
        listener = Listener(answer)
        assert await listener.block() == AT_ONCE
        yield listener


@asynccontextmanager
async def connected(served: Served, phone: Registered) -> AsyncIterator[Listener]:
    """Open a stream that has looked for what was kept."""
    async with listening(served, phone) as listener:
        await tell(served, phone, DeviceEvent.SETTINGS_UPDATED)
        assert await listener.block() == SETTINGS
        await served.store.write(
            lambda tx: tx.devices.end_notices(
                phone.device.account_id, phone.device.id, DeviceEvent.SETTINGS_UPDATED
            )
        )
        yield listener


async def tell(served: Served, phone: Registered, event: DeviceEvent, **data: str) -> None:
    device = phone.device
    await served.store.write(
        lambda tx: nudge(tx, device.account_id, device.id, event, data or None)
    )


async def submit(served: Served, phone: Registered) -> None:
    """Accept a message for the phone."""
    asked = Submission(numbers=("+41790000001",), text="Hello", device_id=phone.device.id)
    checked = check_submission(asked, default_region=None)
    await served.store.write(
        lambda tx: submit_message(tx, phone.device.account_id, checked, validity_ms=86_400_000)
    )


async def notices(served: Served, phone: Registered) -> list[str]:
    device = phone.device
    kept = await served.store.read(lambda tx: tx.devices.notices(device.account_id, device.id))
    return [notice.event for notice in kept]


async def until(so: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not so():
            await asyncio.sleep(0.001)


async def live(served: Served, ms: int) -> None:
    """Let time pass, and return when who tends the streams has done what was due."""
    lines = served.services.lines
    await until(lambda: served.clock.next_wake() is not None)
    served.clock.advance(ms)
    await until(lambda: served.clock.next_wake() is not None or not lines.count)


async def current(served: Served, phone: Registered) -> Device:
    device = phone.device
    found = await served.store.read(lambda tx: tx.devices.get(device.account_id, device.id))
    assert found is not None
    return found


async def test_a_stream_speaks_at_once_in_the_form_the_app_wants(served: Served) -> None:
    phone = await served.add_phone()
    async with listening(served, phone) as listener:
        headers = listener.answer.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-cache"
        assert headers["Connection"] == "keep-alive"
        await tell(served, phone, DeviceEvent.MESSAGE_ENQUEUED)
        assert await listener.block() == ENQUEUED


async def test_the_path_with_api_before_it_is_the_same_one(served: Served) -> None:
    phone = await served.add_phone()
    headers = {"Authorization": f"Bearer {phone.token}"}
    async with (
        served.client(auth=None, headers=headers) as client,
        client.stream("GET", "/api/mobile/v1/events") as answer,
    ):
        assert await Listener(answer).block() == AT_ONCE


async def test_who_asks_for_the_head_of_a_stream_is_not_kept_waiting(served: Served) -> None:
    phone = await served.add_phone()
    headers = {"Authorization": f"Bearer {phone.token}"}
    async with served.client(auth=None, headers=headers) as client:
        answer = await client.head("/mobile/v1/events")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert served.services.lines.count == 0


async def test_only_a_phone_may_listen(served: Served) -> None:
    async with served.client() as client:
        assert (await client.get("/mobile/v1/events")).status_code == 401
    async with served.client(auth=None) as client:
        assert (await client.get("/mobile/v1/events")).status_code == 401
        wrong = {"Authorization": "Bearer " + "x" * 21}
        assert (await client.get("/mobile/v1/events", headers=wrong)).status_code == 401


async def test_each_cancellation_is_told_and_a_repeat_of_the_same_words_once(
    served: Served,
) -> None:
    phone = await served.add_phone()
    account_id, device_id = phone.device.account_id, phone.device.id
    async with connected(served, phone) as listener:

        def happen(tx: Any) -> None:
            for n in (1, 2, 1):
                data = {"messageId": f"m{n}"}
                nudge(tx, account_id, device_id, DeviceEvent.MESSAGE_CANCELLED, data)
                nudge(tx, account_id, device_id, DeviceEvent.MESSAGE_ENQUEUED)

        await served.store.write(happen)
        told = [await listener.block() for _ in range(3)]
        assert told == [
            'event: MessageCancelled\ndata: {"messageId":"m1"}',
            ENQUEUED,
            'event: MessageCancelled\ndata: {"messageId":"m2"}',
        ]
        await tell(served, phone, DeviceEvent.SETTINGS_UPDATED)
        assert await listener.block() == SETTINGS


async def test_what_was_missed_is_told_on_connecting_until_the_phone_has_fetched_it(
    served: Served,
) -> None:
    phone = await served.add_phone()
    await tell(served, phone, DeviceEvent.SETTINGS_UPDATED)
    await tell(served, phone, DeviceEvent.WEBHOOKS_UPDATED)
    webhooks = "event: WebhooksUpdated\ndata: null"
    for _ in range(2):
        async with listening(served, phone) as listener:
            assert [await listener.block() for _ in range(2)] == [SETTINGS, webhooks]
    assert await notices(served, phone) == ["SettingsUpdated", "WebhooksUpdated"]


async def test_a_request_for_an_export_is_told_once_it_could_be_told(served: Served) -> None:
    phone = await served.add_phone()
    await tell(served, phone, DeviceEvent.MESSAGES_EXPORT_REQUESTED, **EXPORT)
    async with listening(served, phone) as listener:
        name, _, data = (await listener.block()).partition("\ndata: ")
        assert name == "event: MessagesExportRequested"
        assert msgspec.json.decode(data) == EXPORT
        async with asyncio.timeout(PATIENCE_S):
            while await notices(served, phone):
                await asyncio.sleep(0.001)
    async with connected(served, phone):
        pass  # its first word, after the beginning, was not the export


async def test_a_silent_stream_gets_a_sign_of_life_every_fifteen_seconds(served: Served) -> None:
    phone = await served.add_phone()
    async with connected(served, phone) as listener:
        await live(served, 14_000)
        await tell(served, phone, DeviceEvent.MESSAGE_ENQUEUED)
        assert await listener.block() == ENQUEUED
        await live(served, 14_000)
        await tell(served, phone, DeviceEvent.MESSAGE_ENQUEUED)
        assert await listener.block() == ENQUEUED
        for _ in range(3):
            await live(served, 15_000)
            assert await listener.block() == KEEP_ALIVE


async def test_signs_of_life_can_be_switched_off(tmp_path: Path) -> None:
    async with serving(tmp_path, mobile_v1.GROUP, phone_keep_alive=timedelta(0)) as served:
        phone = await served.add_phone()
        async with connected(served, phone) as listener:
            before = (await current(served, phone)).last_seen
            for _ in range(4):
                await live(served, 40_000)
            await tell(served, phone, DeviceEvent.MESSAGE_ENQUEUED)
            assert await listener.block() == ENQUEUED
            # Nothing was written, so nothing shows that the phone is still there.
            assert (await current(served, phone)).last_seen == before


async def test_an_open_stream_is_a_sign_of_life(served: Served) -> None:
    phone, other = await served.add_phone(), await served.add_phone()
    async with connected(served, phone) as listener:
        for _ in range(4):
            await live(served, 15_000)
            assert await listener.block() == KEEP_ALIVE
        await live(served, 1_000)
        now = served.clock.now()
        async with asyncio.timeout(PATIENCE_S):
            while (await current(served, phone)).last_seen < now - 31_000:
                await asyncio.sleep(0.001)
    assert (await current(served, other)).last_seen == other.device.last_seen


async def test_one_stream_too_many_closes_the_oldest(tmp_path: Path) -> None:
    async with serving(tmp_path, mobile_v1.GROUP, streams_per_phone=2) as served:
        phone, other = await served.add_phone(), await served.add_phone()
        async with (
            connected(served, other) as apart,
            connected(served, phone) as first,
            connected(served, phone) as second,
        ):
            # What the second was told while it connected, the first heard too.
            assert await first.block() == SETTINGS
            async with listening(served, phone) as third:
                assert await first.ended()
                await tell(served, phone, DeviceEvent.MESSAGE_ENQUEUED)
                assert await second.block() == ENQUEUED
                assert await third.block() == ENQUEUED
            await tell(served, other, DeviceEvent.MESSAGE_ENQUEUED)
            assert await apart.block() == ENQUEUED
        await until(lambda: served.services.lines.count == 0)


async def test_a_removed_phone_is_hung_up_at_once(served: Served) -> None:
    phone, other = await served.add_phone(), await served.add_phone()
    async with connected(served, phone) as listener, connected(served, other) as stays:
        await served.store.write(lambda tx: devices.remove(tx, served.account.id, phone.device.id))
        assert await listener.ended()
        await tell(served, other, DeviceEvent.MESSAGE_ENQUEUED)
        assert await stays.block() == ENQUEUED


async def test_a_phone_removed_while_it_connects_is_refused_or_hung_up(served: Served) -> None:
    ends = set()
    for turns in range(0, 120, 3):
        phone = await served.add_phone()

        async def remove(phone: Registered = phone, turns: int = turns) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await served.store.write(
                lambda tx: devices.remove(tx, served.account.id, phone.device.id)
            )

        happening = asyncio.create_task(remove())
        headers = {"Authorization": f"Bearer {phone.token}"}
        async with (
            served.client(auth=None, headers=headers) as client,
            client.stream("GET", "/mobile/v1/events") as answer,
            asyncio.timeout(PATIENCE_S),
        ):
            ends.add(answer.status_code)
            async for _ in answer.aiter_bytes():
                pass
        await happening
    assert ends <= {200, 401}


async def test_the_phones_of_a_removed_account_are_hung_up_at_once(served: Served) -> None:
    account = await served.add_account()
    phone = await served.add_phone(account_id=account.id)
    async with connected(served, phone) as listener:
        await served.store.write(lambda tx: credentials.remove_account(tx, account.id))
        assert await listener.ended()


async def test_a_phone_that_another_process_removed_is_hung_up_soon(
    served: Served, tmp_path: Path
) -> None:
    phone = await served.add_phone()
    async with connected(served, phone) as listener:
        other = SqliteStore(tmp_path / "textgate.db", served.clock, VAULT)
        await other.write(lambda tx: devices.remove(tx, served.account.id, phone.device.id))
        await other.close()
        for _ in range(2):
            await live(served, 14_000)
        await live(served, 2_000)
        words = [await listener.block()]  # the sign of life of the 28th second
        assert words == [KEEP_ALIVE]
        assert await listener.ended()


async def test_a_token_that_is_no_longer_good_ends_its_stream(served: Served) -> None:
    phone = await served.add_phone()
    async with connected(served, phone) as listener:
        renewed = msgspec.structs.replace(phone.device, token_hash="another")
        await served.store.write(lambda tx: tx.devices.save(renewed))
        await live(served, 14_000)
        await live(served, 16_000)
        assert await listener.block() == KEEP_ALIVE
        assert await listener.ended()


async def test_streams_end_properly_when_the_server_stops(served: Served) -> None:
    phone = await served.add_phone()
    async with connected(served, phone) as listener:
        served.services.stopping.set()
        assert await listener.ended()


async def test_streams_are_counted_and_what_they_told(served: Served) -> None:
    phone = await served.add_phone()
    async with connected(served, phone), connected(served, phone):
        assert "textgate_phone_streams 2.0" in telemetry.exposition().decode()
    await until(lambda: served.services.lines.count == 0)
    shown = telemetry.exposition().decode()
    assert "textgate_phone_streams 0.0" in shown
    assert 'textgate_phone_events_sent_total{event="SettingsUpdated",way="stream"}' in shown


async def test_a_stream_whose_caller_goes_with_a_request_behind_it_ends(served: Served) -> None:
    phone, port = await served.add_phone(), int(served.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stream = f"GET /mobile/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {phone.token}\r\n"
    writer.write(f"{stream}\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE_S):
        await reader.readuntil(AT_ONCE.encode())
        writer.close()
        await writer.wait_closed()
        while served.services.lines.count:  # what is not read shows its end when it is written to
            await live(served, 15_000)


async def test_phones_that_listen_leave_room_for_requests(tmp_path: Path) -> None:
    async with serving(tmp_path, mobile_v1.GROUP, limit_concurrency=3) as served:
        phones = [await served.add_phone() for _ in range(6)]
        async with AsyncExitStack() as open_streams:
            for phone in phones:
                await open_streams.enter_async_context(listening(served, phone))
            async with served.client() as client:
                assert (await client.get("/health")).status_code == 200
        await until(lambda: served.services.lines.count == 0)
        async with AsyncExitStack() as idle:
            statuses = []
            for _ in range(4):
                client = await idle.enter_async_context(served.client())
                statuses.append((await client.get("/health")).status_code)
        assert statuses[0] == 200
        assert statuses[-1] == 503


async def test_so_many_phones_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textgate.api.lines.MOST", 1)
    async with serving(tmp_path, mobile_v1.GROUP) as served:
        phone, other = await served.add_phone(), await served.add_phone()
        headers = {"Authorization": f"Bearer {other.token}"}
        async with served.client(auth=None, headers=headers) as client:
            async with listening(served, phone):
                refused = await client.get("/mobile/v1/events")
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
            await until(lambda: served.services.lines.count == 0)
            async with listening(served, other):
                pass


async def test_a_message_that_waits_is_told_on_connecting(served: Served) -> None:
    phone, other = await served.add_phone(), await served.add_phone()
    await submit(served, phone)
    async with listening(served, phone) as listener:
        assert await listener.block() == ENQUEUED
    async with connected(served, other):
        pass  # its first word, after the beginning, was of the settings


async def test_a_message_for_a_phone_that_listens_is_told_at_once(served: Served) -> None:
    phone, other = await served.add_phone(), await served.add_phone()
    async with connected(served, phone) as listener, connected(served, other) as apart:
        await submit(served, phone)
        assert await listener.block() == ENQUEUED
        await tell(served, other, DeviceEvent.SETTINGS_UPDATED)
        assert await apart.block() == SETTINGS


async def test_no_message_is_lost_between_its_commit_and_the_opening_of_a_stream(
    served: Served,
) -> None:
    for turns in range(0, 120, 3):
        phone = await served.add_phone()

        async def commit(phone: Registered = phone, turns: int = turns) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await submit(served, phone)

        happening = asyncio.create_task(commit())
        async with listening(served, phone) as listener:
            assert await listener.block() == ENQUEUED
        await happening


async def test_nothing_is_lost_between_a_commit_and_the_opening_of_a_stream(
    served: Served,
) -> None:
    """The commit comes at every moment of the opening: so many turns of the event loop later."""
    for turns in range(120):
        phone = await served.add_phone()

        async def commit(phone: Registered = phone, turns: int = turns) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await tell(served, phone, DeviceEvent.SETTINGS_UPDATED)

        happening = asyncio.create_task(commit())
        async with listening(served, phone) as listener:
            assert await listener.block() == SETTINGS
        await happening
