"""The feed as a stream, and what webhooks were told: what needs more than a conversation."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import PASSWORD, PASSWORD_HASH, Served, serving

from textgate.api import native_v1, thirdparty_v1
from textgate.api.native_v1.events import KEEP_ALIVE_MS, MAX_STREAMS, POLL_MS, STREAM_PAGE
from textgate.domain.calling import Dead, Told, Verdict
from textgate.domain.event import Event, EventType
from textgate.domain.outcome import Deferred, Reason
from textgate.domain.retry import RetryPolicy
from textgate.gateway import credentials
from textgate.gateway.announce import announce
from textgate.gateway.settle import Report, settle
from textgate.gateway.tell import Call, settle_call
from textgate.store.base import Tx

GROUPS = (native_v1.GROUP, thirdparty_v1.GROUP)
PATIENCE_S = 10.0


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, *GROUPS) as served:
        yield served


async def happen(
    served: Served, count: int = 1, type_: EventType = EventType.SMS_SENT
) -> list[Event]:
    account_id = served.account.id

    def work(tx: Tx) -> list[Event]:
        return [
            announce(tx, account_id, type_, device_id="d", message_id=None, payload={"n": n})
            for n in range(count)
        ]

    return await served.store.write(work)


class Listener:
    """Reads server-sent events; moves the clock so that a quiet stream looks again."""

    def __init__(self, served: Served, answer: httpx.Response) -> None:
        self._served, self._lines = served, answer.aiter_lines()

    async def block(self) -> dict[str, str]:
        """Return the fields of the next block, the comment under ``""``."""
        found: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            while line := await self._line():
                name, _, value = line.partition(":")
                found[name] = value.strip()
        return found

    async def event(self) -> dict[str, Any]:
        """Return the next event, past comments; its ``id`` field is checked against its data."""
        while "data" not in (block := await self.block()):
            pass
        event: dict[str, Any] = json.loads(block["data"])
        assert block["id"] == event["id"]
        return event

    async def _line(self) -> str:
        reading = asyncio.ensure_future(anext(self._lines))
        while not reading.done():
            await asyncio.wait([reading], timeout=0.01)
            self._served.clock.advance(POLL_MS)
        return reading.result()


@asynccontextmanager
async def listening(served: Served, query: str = "", **headers: str) -> AsyncIterator[Listener]:
    async with (
        served.client(headers=headers) as client,
        client.stream("GET", f"/v1/events/stream{query}") as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield Listener(served, answer)


async def test_a_stream_speaks_at_once_and_then_tells_what_happens(served: Served) -> None:
    async with listening(served) as listener:
        assert await listener.block() == {"retry": "3000", "": "events follow"}
        [event] = await happen(served)
        told = await listener.event()
        assert (told["id"], told["type"], told["payload"]) == (event.id, "sms:sent", {"n": 0})
        [event] = await happen(served)
        assert (await listener.event())["id"] == event.id


async def test_a_stream_begins_after_the_event_that_the_caller_knows(served: Served) -> None:
    first, second, third = await happen(served, 3)
    async with listening(served, f"?after={first.id}") as listener:
        assert (await listener.event())["id"] == second.id
    async with listening(served, f"?after={first.id}", **{"Last-Event-ID": second.id}) as listener:
        assert (await listener.event())["id"] == third.id
    async with listening(served, "?after=latest") as listener:
        await listener.block()
        [fourth] = await happen(served)
        assert (await listener.event())["id"] == fourth.id


async def test_a_stream_catches_up_with_more_than_it_keeps_in_memory(served: Served) -> None:
    events = await happen(served, 2 * STREAM_PAGE + 1)
    async with listening(served) as listener:
        assert [(await listener.event())["id"] for _ in events] == [event.id for event in events]


async def test_a_quiet_stream_gives_a_sign_of_life(served: Served) -> None:
    before = served.clock.now()
    async with listening(served) as listener:
        await listener.block()
        assert await listener.block() == {"": "nothing new"}
        assert served.clock.now() - before >= KEEP_ALIVE_MS


async def test_a_stream_ends_when_its_token_is_revoked(served: Served) -> None:
    async with served.client() as client:
        wanted = {"scopes": ["events:read"], "ttl": 600}
        issued = (await client.post("/3rdparty/v1/auth/token", json=wanted)).json()
        token = {"Authorization": f"Bearer {issued['access_token']}"}
        async with (
            served.client(auth=None, headers=token) as reader,
            reader.stream("GET", "/v1/events/stream") as answer,
        ):
            listener = Listener(served, answer)
            await listener.block()
            revoked = await client.delete(f"/3rdparty/v1/auth/token/{issued['id']}")
            assert revoked.status_code == 204
            with pytest.raises(StopAsyncIteration):
                await listener.block()


async def test_a_stream_ends_when_the_password_changes(served: Served) -> None:
    async with listening(served) as listener:
        await listener.block()
        await served.store.write(
            lambda tx: credentials.set_password(tx, served.account.id, PASSWORD_HASH + "x")
        )
        with pytest.raises(StopAsyncIteration):
            await listener.block()


async def test_an_account_has_a_bounded_number_of_streams_and_gets_them_back(
    served: Served,
) -> None:
    async with served.client() as client:
        streams = [
            await client.send(client.build_request("GET", "/v1/events/stream"), stream=True)
            for _ in range(MAX_STREAMS)
        ]
        for stream in streams:
            await anext(stream.aiter_bytes())  # it has begun
        refused = await client.get("/v1/events/stream")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "unavailable"
        assert refused.headers["Retry-After"]
        for stream in streams:
            await stream.aclose()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with client.stream("GET", "/v1/events/stream") as answer:
                    if answer.status_code == 200:
                        break
                await asyncio.sleep(0.01)


async def call(served: Served, key: str, verdict: Verdict, status: int | None) -> None:
    """Take the next call of a webhook and report how it went."""

    def work(tx: Tx) -> None:
        [job] = tx.deliveries.take(key, 1)
        webhook = tx.webhooks.by_key(served.account.id, key)
        assert webhook is not None
        detail = None if status == 200 else "the answer to … was no"
        settle_call(tx, job, webhook, Call(verdict, tx.now, 12.5, status, detail))

    await served.store.write(work)


async def webhook_key(served: Served, webhook_id: str) -> str:
    found = await served.store.write(lambda tx: tx.webhooks.get(served.account.id, webhook_id))
    assert found is not None
    return found.key


async def test_each_call_of_a_delivery_is_shown_and_a_dead_one_is_replayed(served: Served) -> None:
    async with served.client() as client:
        wanted = {"url": "https://example.com/hook", "event": "sms:sent", "id": "h"}
        await client.post("/v1/webhooks", json=wanted)
        [event] = await happen(served)
        key = await webhook_key(served, "h")
        await call(served, key, Dead(), 500)
        path = f"/v1/webhooks/h/deliveries/{event.id}"
        dead = (await client.get(path)).json()
        assert (dead["state"], dead["attempts"]) == ("dead", 1)
        assert dead["calls"] == [
            {
                "attempt": 1,
                "started_at": "2026-01-01T00:00:00.000Z",
                "elapsed_ms": 12.5,
                "status": 500,
                "ok": False,
                "detail": "the answer to … was no",
            }
        ]
        listed = (await client.get("/v1/webhooks/h/deliveries?state=dead")).json()["items"]
        assert [item["event_id"] for item in listed] == [event.id]
        again = await client.post(f"{path}/replay")
        assert (again.status_code, again.json()["state"]) == (202, "pending")
        await call(served, key, Told(), 200)
        done = (await client.get(path)).json()
        assert (done["state"], len(done["calls"])) == ("delivered", 2)
        replayed = await client.post("/v1/webhooks/h/replay", json={"state": "delivered"})
        assert replayed.json() == {"replayed": 1}


async def test_deliveries_have_pages_newest_event_first(served: Served) -> None:
    async with served.client() as client:
        wanted = {"url": "https://example.com/hook", "event": "sms:sent", "id": "h"}
        await client.post("/v1/webhooks", json=wanted)
        events = await happen(served, 5)
        seen, cursor = [], ""
        for _ in range(3):
            page = (await client.get(f"/v1/webhooks/h/deliveries?limit=2{cursor}")).json()
            seen += [item["event_id"] for item in page["items"]]
            cursor = f"&cursor={page['next']}"
        assert page["next"] is None
        assert seen == [event.id for event in reversed(events)]


async def test_the_deliveries_of_a_message_have_pages(served: Served) -> None:
    async with served.client() as client:
        wanted = {"url": "https://example.com/hook", "events": ["sms:cancelled"]}
        for _ in range(3):
            await client.post("/v1/webhooks", json=wanted)
        to = ["+41790000001", "+41790000002"]
        await client.post("/v1/messages", json={"to": to, "text": "x", "id": "m1"})
        await client.delete("/v1/messages/m1")
        seen, cursor = [], ""
        while cursor is not None:
            path = f"/v1/messages/m1/deliveries?limit=4{cursor and '&cursor='}{cursor}"
            page = (await client.get(path)).json()
            seen += [(item["event_id"], item["webhook_id"]) for item in page["items"]]
            cursor = page["next"]
        assert len(seen) == len(set(seen)) == 6
        await client.delete(f"/v1/webhooks/{seen[0][1]}")
        left = (await client.get("/v1/messages/m1/deliveries")).json()["items"]
        assert len(left) == 4


async def test_the_attempts_of_a_message_are_shown_with_digits_masked(served: Served) -> None:
    async with served.client() as client:
        await client.post("/v1/messages", json={"to": "+41790000001", "text": "x", "id": "m1"})

        def attempt(tx: Tx) -> None:
            [channel] = tx.channels.all(served.account.id)
            [job] = tx.recipients.take(channel.id, 1)
            outcome = Deferred(Reason.UNREACHABLE, "no way to +41790000001", code="E9")
            report = Report(
                outcome=outcome,
                started_at=tx.now,
                elapsed_ms=3.5,
                dice=0.5,
                policy=RetryPolicy(()),
                resend=False,
                begun=False,
                receipts=False,
            )
            settle(tx, job, report)

        await served.store.write(attempt)
        [shown] = (await client.get("/v1/messages/m1/attempts")).json()["items"]
        assert shown.pop("channel_id")
        assert shown == {
            "number": "+41790000001",
            "attempt": 1,
            "started_at": "2026-01-01T00:00:00.000Z",
            "elapsed_ms": 3.5,
            "outcome": "deferred",
            "reason": "unreachable",
            "code": "E9",
            "detail": "no way to …",
            "trace": None,
        }


async def test_nothing_of_another_account_is_seen(served: Served) -> None:
    async with served.client() as client:
        await client.post("/v1/messages", json={"to": "+41790000001", "text": "x", "id": "m1"})
        wanted = {"url": "https://example.com/hook", "event": "sms:cancelled", "id": "h"}
        await client.post("/v1/webhooks", json=wanted)
        await client.delete("/v1/messages/m1")
        [event] = (await client.get("/v1/events")).json()["items"]
        [channel] = (await client.get("/v1/channels")).json()["items"]
    stranger = await served.add_account()
    async with served.client(auth=(stranger.login, PASSWORD)) as client:
        for path in ("/v1/messages", "/v1/webhooks", "/v1/channels", "/v1/events"):
            assert (await client.get(path)).json()["items"] == []
        for path in (
            "/v1/messages/m1",
            "/v1/messages/m1/deliveries",
            "/v1/webhooks/h",
            f"/v1/webhooks/h/deliveries/{event['id']}",
            f"/v1/events/{event['id']}",
            f"/v1/channels/{channel['id']}",
        ):
            assert (await client.get(path)).status_code == 404, path
        assert (await client.delete("/v1/webhooks/h")).status_code == 204
        assert (await client.delete(f"/v1/channels/{channel['id']}")).status_code == 404
    async with served.client() as client:
        assert (await client.get("/v1/webhooks/h")).status_code == 200
