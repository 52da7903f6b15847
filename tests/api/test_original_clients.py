"""The Python client of SMS Gateway for Android, unmodified, against a real server.

Every method of the client, through each of its four HTTP backends, over both path prefixes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import android_sms_gateway as original
import httpx
import pytest
from android_sms_gateway.domain import MmsMessage
from android_sms_gateway.enums import LimitPeriod, ProcessState, WebhookEvent
from standardwebhooks.webhooks import Webhook as StandardWebhook

if TYPE_CHECKING:
    from conftest import Client, Opener

    from textgate.testing.receiver import Call, Receiver
    from textgate.testing.server import Server

DELIVERED = "+41790000010"
"""The simulator delivers to numbers that end so."""
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def text(client: Client, words: str = "Hello", **more: Any) -> original.Message:
    more.setdefault("id", client.tag)
    more.setdefault("phone_numbers", [DELIVERED])
    return original.Message(text_message=original.TextMessage(text=words), **more)


# --- Messages ---


async def test_a_text_is_accepted_and_delivered(client: Client) -> None:
    accepted = await client("send", text(client))
    assert (accepted.id, accepted.state) == (client.tag, ProcessState.Pending)
    assert [r.phone_number for r in accepted.recipients] == [DELIVERED]
    assert (accepted.is_hashed, accepted.is_encrypted) == (False, False)
    done = await client.reached(client.tag, ProcessState.Delivered)
    assert {"Pending", "Sent", "Delivered"} <= set(done.states)
    assert done.recipients[0].state is ProcessState.Delivered
    assert abs(done.created_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_every_option_of_the_client_is_understood(client: Client) -> None:
    message = text(
        client,
        id=None,
        phone_numbers=[DELIVERED, "8001"],
        priority=original.MessagePriority.MAXIMUM,
        sim_number=2,
        with_delivery_report=False,
        ttl=600,
    )
    accepted = await client("send", message, skip_phone_validation=True, device_active_within=12)
    assert accepted.id
    assert [r.phone_number for r in accepted.recipients] == [DELIVERED, "8001"]


@pytest.mark.parametrize("zone", [UTC, None], ids=["aware", "naive"])
async def test_the_clients_spellings_of_a_date_are_understood(
    client: Client, zone: tzinfo | None
) -> None:
    until = datetime.now(UTC).replace(microsecond=123_456, tzinfo=zone) + timedelta(hours=1)
    assert (await client("send", text(client, valid_until=until))).id == client.tag


async def test_a_data_message_is_accepted(client: Client) -> None:
    data = original.DataMessage.with_bytes(b"\x01\x02\x03\xff", 53739)
    message = original.Message(id=client.tag, data_message=data, phone_numbers=[DELIVERED])
    assert (await client("send", message)).id == client.tag


async def test_an_encrypted_message_comes_back_as_it_was_sent(
    server: Server, opened: Opener
) -> None:
    pytest.importorskip("Crypto", reason="the client's encryption needs pycryptodome")
    encryptor = original.Encryptor("passphrase", iterations=1_000)
    who = server.login, server.password
    async with opened(*who, encryptor=encryptor) as client:
        accepted = await client("send", text(client, "A secret"))
        assert [r.phone_number for r in accepted.recipients] == [DELIVERED]  # decrypted by it
        found = await client("get_state", client.tag)
        assert [r.phone_number for r in found.recipients] == [DELIVERED]


async def test_a_repeated_send_gives_the_same_message_and_another_content_none(
    client: Client,
) -> None:
    assert (await client("send", text(client))).id == client.tag
    assert (await client("send", text(client))).id == client.tag
    status, message = await client.refused("send", text(client, "Other words"))
    assert (status, message) == (409, "message with the same ID already exists")


async def test_messages_are_listed_by_page_state_and_time(client: Client) -> None:
    began = datetime.now(UTC) - timedelta(milliseconds=1)
    ids = [f"{client.tag}-{n}" for n in range(3)]
    for message_id in ids:
        await client("send", text(client, id=message_id))
        await client.reached(message_id, ProcessState.Delivered)

    async def listed(*page: int, sort: str | None = None, **query: Any) -> list[str]:
        query.setdefault("from_", began)
        found = await client(
            "get_messages",
            query=original.MessagesQueryFilter(**query),
            pagination=original.QueryPagination(limit=page[0], offset=page[1]) if page else None,
            sort=sort,
        )
        return [message.id for message in found]

    assert await listed() == ids[::-1]
    assert await listed(sort="created_at") == ids
    assert await listed(2, 1, sort="created_at") == ids[1:]
    assert await listed(state="Delivered", to=datetime.now(UTC) + timedelta(1)) == ids[::-1]
    assert await listed(state="Failed") == []
    assert await listed(to=began) == []
    assert await listed(device_id="x" * 21) == []
    assert len(await client("get_messages", pagination=original.QueryPagination(limit=2))) == 2
    status, _ = await client.refused("get_messages", pagination=original.QueryPagination(limit=101))
    assert status == 400


async def test_a_message_that_waits_can_be_cancelled_once(
    client: Client, api: httpx.Client
) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    wanted = {"id": client.tag, "phoneNumbers": [DELIVERED], "textMessage": {"text": "Later"}}
    # The client cannot say scheduleAt.
    answer = api.post("/3rdparty/v1/messages", json=wanted | {"scheduleAt": later})
    assert answer.status_code == 202, answer.text
    await client("cancel_message", client.tag)
    done = await client.reached(client.tag, ProcessState.Cancelled)
    assert done.recipients[0].state is ProcessState.Cancelled
    assert (await client.refused("cancel_message", client.tag))[0] == 409


async def test_what_cannot_be_sent_is_refused_with_a_reason(client: Client) -> None:
    async def refused(**changes: Any) -> str:
        status, message = await client.refused("send", text(client, **changes))
        assert status == 400
        return message

    assert "failed to parse phone number" in await refused(phone_numbers=["hello"])
    assert "TEXTGATE_DEFAULT_REGION" in await refused(phone_numbers=["0790000010"])
    assert "not mobile phone number" in await refused(phone_numbers=["+41443643532"])
    assert "must be unique" in await refused(phone_numbers=[DELIVERED, f" {DELIVERED}"])
    assert await refused(device_id="no-such-device")
    assert await refused(words="")
    assert await refused(ttl=1)
    mms = original.Message(mms_message=MmsMessage(text="Hi"), phone_numbers=[DELIVERED])
    assert (await client.refused("send", mms))[0] == 400
    assert await client.refused("get_state", client.tag) == (404, "message not found")


# --- Webhooks ---


def signed_for(secret: dict[str, str], call: Call) -> Any:
    """Verify both signatures of a call; return its envelope."""
    moment = call.headers["X-Timestamp"]
    expected = hmac.new(secret["secret"].encode(), call.body + moment.encode(), hashlib.sha256)
    assert hmac.compare_digest(call.headers["X-Signature"], expected.hexdigest())
    envelope = StandardWebhook(secret["standard_webhooks"]).verify(call.body, dict(call.headers))
    assert call.headers["webhook-id"] == envelope["id"]
    return envelope


async def test_registered_webhooks_are_told_and_deleted_ones_are_not(
    client: Client, api: httpx.Client, receiver: Receiver
) -> None:
    wanted = {
        event: original.Webhook(id=None, url=f"{receiver.url}/{event.name}?key=1", event=event)
        for event in (WebhookEvent.SMS_SENT, WebhookEvent.SMS_DELIVERED)
    }
    hooks = {event: await client("create_webhook", hook) for event, hook in wanted.items()}
    assert all(hook.id and hook.url == wanted[event].url for event, hook in hooks.items())
    listed = await client("get_webhooks")
    assert all(hook in listed for hook in hooks.values())

    await client("send", text(client))
    calls = await asyncio.to_thread(receiver.wait_for, 2)
    secret = api.get("/v1/webhook-secret").raise_for_status().json()
    told = {envelope["event"]: envelope for envelope in (signed_for(secret, c) for c in calls)}
    assert set(told) == {"sms:sent", "sms:delivered"}
    for event, hook in hooks.items():
        assert told[event.value]["webhookId"] == hook.id
        assert told[event.value]["deviceId"]
        assert told[event.value]["payload"]["messageId"] == client.tag
        assert told[event.value]["payload"]["phoneNumber"] == DELIVERED
    assert {c.path for c in calls} == {"/SMS_SENT?key=1", "/SMS_DELIVERED?key=1"}

    deleted, kept = hooks[WebhookEvent.SMS_SENT], hooks[WebhookEvent.SMS_DELIVERED]
    await client("delete_webhook", deleted.id)
    again = f"{client.tag}-again"
    await client("send", text(client, id=again))
    calls = await asyncio.to_thread(receiver.wait_for, 3)
    envelopes = [signed_for(secret, call) for call in calls[2:]]
    assert [(e["event"], e["payload"]["messageId"]) for e in envelopes] == [
        ("sms:delivered", again)
    ]

    await client("delete_webhook", kept.id)
    assert not {deleted.id, kept.id} & {hook.id for hook in await client("get_webhooks")}
    await client("delete_webhook", kept.id)  # once more: no error


async def test_every_event_of_the_client_can_be_registered(
    client: Client, receiver: Receiver
) -> None:
    hooks = [
        original.Webhook(id=f"{client.tag}:{event.name}", url=receiver.url, event=event)
        for event in WebhookEvent
    ]
    assert [await client("create_webhook", hook) for hook in hooks] == hooks
    listed = await client("get_webhooks")
    assert [hook for hook in hooks if hook not in listed] == []
    for hook in hooks:
        await client("delete_webhook", hook.id)


async def test_a_webhook_for_an_unknown_device_or_address_is_refused(client: Client) -> None:
    event = WebhookEvent.SMS_SENT
    ftp = original.Webhook(id=None, url="ftp://127.0.0.1/x", event=event)
    stray = original.Webhook(None, "https://example.com/x", event, device_id="no-such-device")
    assert (await client.refused("create_webhook", ftp))[0] == 400
    assert (await client.refused("create_webhook", stray))[0] == 400


# --- The rest of the account ---


async def test_an_account_without_phones_lists_none(client: Client) -> None:
    assert await client("list_devices") == []
    await client("remove_device", "no-such-device")


async def test_a_phone_is_listed_and_removed(
    client: Client, server: Server, api: httpx.Client
) -> None:
    said = {"name": "Fairphone/FP5", "simCards": [{"slotIndex": 0, "simNumber": 1}]}
    registered = api.post("/api/mobile/v1/device", json=said).json()
    assert registered["login"] == server.login
    [phone] = await client("list_devices")
    assert (phone.id, phone.name, phone.deleted_at) == (registered["id"], said["name"], None)
    for moment in (phone.created_at, phone.updated_at, phone.last_seen):
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)
    await client("remove_device", phone.id)
    assert await client("list_devices") == []
    token = {"Authorization": f"Bearer {registered['token']}"}
    assert (
        httpx.patch(
            f"{server.url}/mobile/v1/device", json={"id": phone.id}, headers=token
        ).status_code
        == 401
    )


async def test_settings_are_kept_and_merged(client: Client) -> None:
    whole = original.DeviceSettings(
        gateway=original.SettingsGateway(notification_channel="SSE_ONLY"),
        messages=original.SettingsMessages(
            limit_period=LimitPeriod.PER_HOUR,
            limit_value=10,
            log_lifetime_days=30,
            processing_order=original.MessagesProcessingOrder.FIFO,
            send_interval_max=5,
            send_interval_min=1,
            sim_selection_mode=original.SimSelectionMode.ROUND_ROBIN,
        ),
        logs=original.SettingsLogs(lifetime_days=7),
        ping=original.SettingsPing(interval_seconds=60),
        webhooks=original.SettingsWebhooks(retry_count=3, internet_required=False),
    )
    assert await client("update_settings", whole) == whole.asdict()
    assert await client("get_settings") == whole
    change = original.DeviceSettings(messages=original.SettingsMessages(limit_value=20))
    merged = await client("patch_settings", change)
    assert merged["messages"] == whole.asdict()["messages"] | {"limit_value": 20}
    passphrase = original.DeviceSettings(encryption=original.SettingsEncryption("secret"))
    assert (await client.refused("patch_settings", passphrase))[0] == 400
    assert await client("update_settings", original.DeviceSettings()) == {}
    assert await client("get_settings") == original.DeviceSettings()


async def test_logs_are_listed_and_wrong_times_refused(client: Client) -> None:
    assert isinstance(await client("get_logs"), list)
    now = datetime.now(UTC).isoformat()
    assert isinstance(await client("get_logs", from_=LONG_AGO.isoformat(), to=now), list)
    assert (await client.refused("get_logs", from_="yesterday"))[0] == 400


async def test_the_inbox_is_listed_and_refreshed(client: Client) -> None:
    now = datetime.now(UTC)
    query = original.InboxQueryFilter(
        message_type="SMS", from_=LONG_AGO, to=now, device_id="x" * 21, include_attachments=True
    )
    page = original.QueryPagination(limit=500, offset=0)
    assert await client("list_inbox_messages", inbox_filter=query, pagination=page) == []
    assert isinstance(await client("list_inbox_messages"), list)
    kinds = ["SMS", "DATA_SMS", "MMS", "MMS_DOWNLOADED"]
    refresh = original.InboxRefreshRequest(
        LONG_AGO, now, message_types=kinds, webhook_delivery=original.WebhookDelivery.BATCH
    )
    assert await client("refresh_inbox", refresh) == {}
    backwards = original.InboxRefreshRequest(now, LONG_AGO)
    assert (await client.refused("refresh_inbox", backwards))[0] == 400
    export = original.MessagesExportRequest("no-such-device", LONG_AGO, now)
    assert await client("export_inbox", export) == {}
    assert (await client.refused("download_attachment", "text:-1188430021", 7))[0] == 404


@pytest.mark.parametrize(
    "probe", ["health_check", "liveness_check", "readiness_check", "startup_check"]
)
async def test_a_probe_tells_the_state_to_anybody(opened: Opener, probe: str) -> None:
    async with opened("NOBODY", "wrong") as stranger:
        health = await stranger(probe)
    assert health.status in (original.HealthStatus.PASS, original.HealthStatus.WARN)
    assert isinstance(health.release_id, int)


# --- Who may ---


async def test_a_wrong_password_is_refused(server: Server, opened: Opener) -> None:
    async with opened(server.login, "wrong") as stranger:
        assert await stranger.refused("list_devices") == (401, "Unauthorized")


async def test_a_token_opens_what_its_scopes_say_until_it_is_revoked(
    server: Server, opened: Opener, client: Client
) -> None:
    asked = original.TokenRequest(scopes=["messages:send", "devices:list"], ttl=600)
    token = await client("generate_token", asked)
    assert token.token_type == "Bearer"
    assert token.refresh_token
    ends = datetime.fromisoformat(token.expires_at)
    assert timedelta(0) < ends - datetime.now(UTC) <= timedelta(seconds=610)
    async with opened(None, token.access_token) as bearer:
        assert await bearer("list_devices") == []
        assert (await bearer("send", text(bearer))).id == bearer.tag
        assert await bearer.refused("get_messages") == (403, "scope required: messages:list")
        await client("revoke_token", token.id)
        assert (await bearer.refused("list_devices"))[0] == 401


# Not the async ones: their refresh_token (4.3.3) calls post() without a payload, and fails itself.
@pytest.mark.parametrize("opened", ["requests", "httpx"], indirect=True)
async def test_a_refresh_token_is_good_for_one_new_pair(
    server: Server, opened: Opener, client: Client
) -> None:
    first = await client("generate_token", original.TokenRequest(scopes=["devices:list"]))
    second = await client("refresh_token", first.refresh_token)
    assert second.id != first.id
    async with opened(None, second.access_token) as bearer:
        assert await bearer("list_devices") == []
        assert (await bearer.refused("get_messages"))[0] == 403
    assert (await client.refused("refresh_token", first.refresh_token))[0] == 401
    assert (await client.refused("refresh_token", second.access_token))[0] == 403
    async with opened(None, second.refresh_token) as wrong_kind:
        assert (await wrong_kind.refused("list_devices"))[0] == 403


async def test_no_scopes_make_no_token(client: Client) -> None:
    assert (await client.refused("generate_token", original.TokenRequest(scopes=[])))[0] == 400
