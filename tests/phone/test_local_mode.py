"""A phone in local mode: what is made once and kept, and the original client library on it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import android_sms_gateway as original
import pytest
from android_sms_gateway.ahttp import AiohttpAsyncHttpClient, HttpxAsyncHttpClient
from android_sms_gateway.domain import (
    DeviceSettings,
    InboxRefreshRequest,
    MessagesExportRequest,
    TokenRequest,
)
from android_sms_gateway.enums import WebhookEvent
from local_world import NUMBER, LocalWorld, called, local_phone

from textgate.domain.errors import Conflict, Invalid, Unavailable
from textgate.phone.incoming import Incoming
from textgate.phone.local import LocalOptions, open_local
from textgate.testing.clock import FakeClock
from textgate.testing.far_side import FarSide


async def test_credentials_are_made_once_and_kept(tmp_path: Path) -> None:
    async with local_phone(tmp_path, password=None) as world:
        first = world.answering
        assert first.user == "sms"
        assert first.password is not None
        assert len(first.password) == 8
        assert len(first.signing_key) == 8
        assert len(first.device_id) == 32
        assert set(first.device_id) <= set("0123456789abcdef")
        assert (await world.call("GET", "/"))["status"] == "ok"
    async with local_phone(tmp_path, password=None) as world:
        again = world.answering
        assert (again.password, again.device_id) == (None, first.device_id)
        assert again.signing_key == first.signing_key
        world.client.auth = ("sms", first.password)  # type: ignore[assignment]
        await world.call("GET", "/")


async def test_user_and_password_can_be_set(tmp_path: Path) -> None:
    async with local_phone(tmp_path, password=None):
        pass
    async with local_phone(tmp_path, user="owner", password="chosen one") as world:
        assert (world.answering.user, world.answering.password) == ("owner", None)
        await world.call("GET", "/")
        world.client.auth = ("sms", "chosen one")  # type: ignore[assignment]
        await world.call("GET", "/", status=401)


@pytest.mark.parametrize("wrong", [{"user": "ab"}, {"password": "seven77"}, {"user": "a:bc"}])
async def test_user_and_password_have_their_lengths(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        async with local_phone(tmp_path, **wrong):
            pass


async def test_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port}"):
            async with local_phone(tmp_path, port=port):
                pass


async def test_one_process_alone_has_the_folder(tmp_path: Path) -> None:
    async with local_phone(tmp_path):
        options = LocalOptions(data=tmp_path, port=0)
        with pytest.raises((Conflict, Unavailable)):
            async with open_local(options, FakeClock(), lambda happening: None):
                pass


async def test_messages_and_webhooks_survive_a_restart(tmp_path: Path) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with local_phone(tmp_path) as world:
        message_id = await world.send(scheduleAt=later)
        await world.hook("https://127.0.0.1/hook", "sms:sent")
    async with local_phone(tmp_path) as world:
        assert (await world.call("GET", f"/messages/{message_id}"))["state"] == "Pending"
        assert len(await world.call("GET", "/webhooks")) == 1


async def test_what_happens_is_told_to_who_watches(tmp_path: Path) -> None:
    async with FarSide() as far, local_phone(tmp_path) as world:
        await world.hook(far.url + "/hook", "sms:delivered")
        message_id = await world.send()
        await called(far, "/hook")
        async with asyncio.timeout(20):
            while not any(happening.kind == "webhook" for happening in world.happened):
                await asyncio.sleep(0.002)
        of_it = [h.kind for h in world.happened if h.message_id == message_id]
        assert of_it == ["processed", "sent", "delivered"]
        assert not any(NUMBER in happening.text for happening in world.happened)


# The original client library.

BACKENDS = {"aiohttp": AiohttpAsyncHttpClient, "httpx": HttpxAsyncHttpClient}


@asynccontextmanager
async def client_of(world: LocalWorld, backend: str) -> AsyncIterator[original.AsyncAPIClient]:
    async with BACKENDS[backend]() as http:
        yield original.AsyncAPIClient(
            world.answering.user, "eight-ch", base_url=world.answering.url, http_client=http
        )


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize("backend", BACKENDS)
async def test_original_client_sends_and_reads(tmp_path: Path, backend: str) -> None:
    async with local_phone(tmp_path) as world, client_of(world, backend) as client:
        wanted = original.Message(phone_numbers=[NUMBER], text_message=original.TextMessage("hi"))
        sent = await client.send(wanted)
        state: Any = sent
        async with asyncio.timeout(20):
            while state.state is not original.ProcessState.Delivered:
                state = await client.get_state(sent.id)
        assert [one.id for one in await client.get_messages()] == [sent.id]
        [device] = await client.list_devices()
        assert device.id == world.answering.device_id
        assert (await client.health_check()).status.value == "pass"


@pytest.mark.parametrize("backend", BACKENDS)
async def test_original_client_manages(tmp_path: Path, backend: str) -> None:
    async with local_phone(tmp_path) as world, client_of(world, backend) as client:
        hook = original.Webhook(None, "https://127.0.0.1/hook", WebhookEvent.SMS_SENT)
        made = await client.create_webhook(hook)
        assert [one.id for one in await client.get_webhooks()] == [made.id]
        assert made.id is not None
        await client.delete_webhook(made.id)
        assert await client.get_webhooks() == []
        assert (await client.get_settings()).logs is not None
        await client.patch_settings(DeviceSettings())
        assert await client.get_logs() != []
        pair = await client.generate_token(TokenRequest(scopes=["messages:read"], ttl=60))
        await client.revoke_token(pair.id)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_original_client_reads_the_inbox(tmp_path: Path, backend: str) -> None:
    async with local_phone(tmp_path) as world, client_of(world, backend) as client:
        await world.handset.receive(Incoming(sender=NUMBER, text="Bonjour"))
        [message] = await client.list_inbox_messages()
        assert (message.sender, message.content_preview) == (NUMBER, "Bonjour")
        now = datetime.now(UTC)
        device_id = world.answering.device_id
        await client.refresh_inbox(InboxRefreshRequest(since=now, until=now))
        await client.export_inbox(MessagesExportRequest(device_id, since=now, until=now))


async def test_without_a_network_it_is_not_well_and_webhooks_wait(tmp_path: Path) -> None:
    async with FarSide() as far, local_phone(tmp_path) as world:
        await world.hook(f"{far.url}/hook", "sms:received")
        network = world.local.ground.network
        network.lose()
        await world.handset.receive(Incoming(sender=NUMBER, text="Hello"))
        health = await world.call("GET", "/health", status=500)
        assert health["checks"]["connection:status"]["status"] == "fail"
        network.find()
        assert (await world.call("GET", "/health"))["status"] == "pass"
        async with asyncio.timeout(5):  # a retry comes after 10 s
            await called(far, "/hook")
