"""What the dialect shows of things that happened elsewhere: results, received messages, the log."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Served, serving

from textgate.api import thirdparty_v1
from textgate.domain.inbound import Inbound
from textgate.domain.lifecycle import Signal
from textgate.domain.message import SendJob
from textgate.domain.outcome import Accepted, Outcome, Reason, Rejected
from textgate.domain.retry import MESSAGE_POLICY
from textgate.gateway.settle import Report, settle

START = "2026-01-01T00:00:00.000Z"
AFTER_5_S = "2026-01-01T00:00:05.000Z"


async def send(client: httpx.AsyncClient, **more: Any) -> str:
    """Send a text and return the channel that has it."""
    message = {"id": "m", "message": "Hi", "phoneNumbers": ["+41790000001"], **more}
    answer = await client.post("/3rdparty/v1/messages", json=message)
    assert answer.status_code == 202
    found: str = answer.json()["deviceId"]
    return found


async def take(served: Served, channel: str) -> list[SendJob]:
    return await served.store.write(lambda tx: tx.recipients.take(channel, 10))


async def report(served: Served, job: SendJob, outcome: Outcome) -> None:
    begun = served.clock.now()
    served.clock.advance(5_000)
    said = Report(
        outcome=outcome,
        started_at=begun,
        elapsed_ms=5_000.0,
        dice=0.5,
        policy=MESSAGE_POLICY,
        resend=False,
        begun=False,
        receipts=False,
    )
    await served.store.write(lambda tx: settle(tx, job, said))


async def shown(client: httpx.AsyncClient, message_id: str = "m") -> dict[str, Any]:
    answer = await client.get(f"/3rdparty/v1/messages/{message_id}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_sent_message_shows_when_it_reached_each_state(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        [job] = await take(served, await send(client))
        await report(served, job, Accepted(ref="r", signal=Signal.SENT))
        message = await shown(client)
        assert message["state"] == "Sent"
        assert message["recipients"] == [{"phoneNumber": "+41790000001", "state": "Sent"}]
        assert message["states"] == {"Pending": START, "Processed": START, "Sent": AFTER_5_S}


async def test_a_refused_number_shows_why_and_the_others_do_not(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        channel = await send(client, phoneNumbers=["+41790000001", "+41790000002"])
        first, second = await take(served, channel)
        await report(served, first, Rejected(Reason.INVALID_NUMBER, "no such " + "x" * 300))
        await report(served, second, Accepted())
        bad, good = (await shown(client))["recipients"]
        assert bad["state"] == "Failed"
        assert "no such x" in bad["error"]
        assert len(bad["error"]) <= 256
        assert good == {"phoneNumber": "+41790000002", "state": "Sent"}


async def test_what_is_under_way_is_cancelling_until_its_result_is_known(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        [job] = await take(served, await send(client))
        answer = await client.delete("/3rdparty/v1/messages/m")
        assert answer.status_code == 200
        assert answer.json()["state"] == "Cancelling"
        again = await client.delete("/3rdparty/v1/messages/m")
        assert again.status_code == 409
        await report(served, job, Accepted())
        assert (await shown(client))["state"] == "Sent"


def received(served: Served, n: int, kind: str = "SMS", **more: Any) -> Inbound:
    fields = {
        "account_id": served.account.id,
        "id": f"text:{n}",
        "type": kind,
        "device_id": "d1Zx_8pQw3rT6yUi0OaSd",
        "sender": "+33700000001",
        "recipient": None,
        "sim_number": None,
        "content": f"Message {n}",
        "created_at": served.clock.now() + n,
    }
    return Inbound(**(fields | more))


async def test_received_messages_are_listed_and_counted(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        long = "Bonjour " * 30
        rows = [
            received(served, 1, recipient="+33799999999", sim_number=1),
            received(served, 2, "MMS", content=long),
        ]
        for row in rows:
            await served.store.write(lambda tx, row=row: tx.inbox.add(row))
        answer = await client.get("/3rdparty/v1/inbox")
        assert answer.headers["X-Total-Count"] == "2"
        newest, oldest = answer.json()
        assert oldest == {
            "id": "text:1",
            "type": "SMS",
            "deviceId": "d1Zx_8pQw3rT6yUi0OaSd",
            "sender": "+33700000001",
            "recipient": "+33799999999",
            "simNumber": 1,
            "contentPreview": "Message 1",
            "createdAt": "2026-01-01T00:00:00.001Z",
        }
        assert newest["contentPreview"] == long[:100] + "…"
        assert newest.keys() == {"id", "type", "deviceId", "sender", "contentPreview", "createdAt"}
        page = await client.get("/3rdparty/v1/inbox?limit=1&offset=1")
        assert (page.headers["X-Total-Count"], len(page.json())) == ("2", 1)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("type=MMS", ["text:2"]),
        ("deviceId=d1Zx_8pQw3rT6yUi0OaSd", ["text:2", "text:1"]),
        ("deviceId=nobody-knows-this-one", []),
        ("from=2026-01-01T00:00:00.002Z", ["text:2"]),
        ("to=2026-01-01T00:00:00.002Z", ["text:1"]),
    ],
)
async def test_received_messages_are_filtered(tmp_path: Path, query: str, ids: list[str]) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        for row in (received(served, 1), received(served, 2, "MMS")):
            await served.store.write(lambda tx, row=row: tx.inbox.add(row))
        answer = await client.get(f"/3rdparty/v1/inbox?{query}")
        assert [item["id"] for item in answer.json()] == ids
        assert answer.headers["X-Total-Count"] == str(len(ids))


async def test_the_log_shows_the_newest_entries_with_context_as_texts(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP, channel=False) as served:
        account_id = served.account.id
        for n in range(3):
            await served.store.write(
                lambda tx, n=n: tx.logs.add(account_id, "WARN", "gateway", f"Entry {n}", {"n": n})
            )
            served.clock.advance(1_000)
        async with served.client() as client:
            entries = (await client.get("/3rdparty/v1/logs?limit=2")).json()
            assert entries == [
                {
                    "id": n + 1,
                    "priority": "WARN",
                    "module": "gateway",
                    "message": f"Entry {n}",
                    "context": {"n": str(n)},
                    "createdAt": f"2026-01-01T00:00:0{n}.000Z",
                }
                for n in (1, 2)
            ]
            span = "from=2026-01-01T00:00:01Z&to=2026-01-01T00:00:02Z"
            found = (await client.get(f"/3rdparty/v1/logs?{span}")).json()
            assert [entry["message"] for entry in found] == ["Entry 1"]


async def test_health_fails_when_the_database_does_not_answer(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        await served.store.close()
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "fail"
        assert answer.json()["checks"]["db:ping"]["observedValue"] == 1
        assert (await client.get("/health/live")).status_code == 200
