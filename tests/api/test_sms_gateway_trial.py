"""POST /v1/sms-gateway/test: what is sent, what is shown of it, and what becomes of it (B §6.6)."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Served, serving

from textgate.api import native_v1, thirdparty_v1
from textgate.testing.far_side import FarSide, Say

NUMBER = "+41790000001"
KEY = "kT9_zQ4wLm2XvB7nRc5HyP8dJf3GsA1e"


@dataclass
class Gateway:
    """An account's gateway, and the far side that it sends to."""

    served: Served
    far: FarSide
    client: httpx.AsyncClient

    async def save(self, **settings: Any) -> dict[str, Any]:
        """Save and switch on the webhook, for the first time."""
        wanted = {"enabled": True, "provider": "webhook", "providers": {"webhook": settings}}
        answer = await self.client.put("/v1/sms-gateway", json=wanted)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def asked(self, **body: Any) -> httpx.Response:
        return await self.client.post(
            "/v1/sms-gateway/test", json={"to": NUMBER, "provider": "webhook", **body}
        )

    async def tested(self, **body: Any) -> dict[str, Any]:
        answer = await self.asked(**body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def secret(self) -> str:
        return (await self.client.post("/v1/sms-gateway/signature-secret/reveal")).json()["secret"]

    async def logs(self) -> str:
        return (await self.client.get("/3rdparty/v1/logs")).text


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with (
        FarSide() as far,
        serving(tmp_path, native_v1.GROUP, thirdparty_v1.GROUP) as served,
        served.client() as client,
    ):
        yield Gateway(served, far, client)


def signed(key: str, body: bytes) -> str:
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


# --- what is sent ---


async def test_a_test_is_the_message_that_authgear_tests_with(gateway: Gateway) -> None:
    url = gateway.far.on("/sms", Say(body=b'{"code":"ok"}'))
    await gateway.save(url=url, signature_key=KEY)
    result = await gateway.tested()
    [request] = gateway.far.requests["/sms"]
    assert request.json == {
        "to": NUMBER,
        "body": "[Test] This is a test of your Custom SMS Gateway. The code is 000000.",
        "app_id": "",
        "template_name": "",
        "language_tag": "",
        "template_variables": {"app_name": "Test", "code": "000000"},
    }
    assert request.headers["x-authgear-body-signature"] == signed(KEY, request.body)
    assert (result["code"], result["outcome"], result["reason"]) == ("ok", "accepted", None)
    assert result["script"] is None


async def test_a_tester_may_pick_template_language_and_text(gateway: Gateway) -> None:
    url = gateway.far.on("/sms")
    picked = {"template_name": "verification_sms.txt", "language": "de", "body": "Hallo 000000"}
    await gateway.tested(settings={"url": url}, **picked)
    [request] = gateway.far.requests["/sms"]
    assert request.json["template_name"] == "verification_sms.txt"
    assert request.json["language_tag"] == "de"
    assert request.json["body"] == "Hallo 000000"


async def test_a_number_may_be_one_that_is_not_known_as_mobile(gateway: Gateway) -> None:
    url = gateway.far.on("/sms")
    await gateway.tested(settings={"url": url}, to="+852 2345-6789")
    [request] = gateway.far.requests["/sms"]
    assert request.json["to"] == "+85223456789"


async def test_unsaved_settings_are_tried_over_the_saved_ones_which_stay(gateway: Gateway) -> None:
    old, new = gateway.far.on("/old"), gateway.far.on("/new")
    saved = await gateway.save(url=old, signature_key=KEY, app_id="shop")
    result = await gateway.tested(settings={"url": new, "signature_key": "********"})
    assert gateway.far.count("/old") == 0
    [request] = gateway.far.requests["/new"]
    assert request.json["app_id"] == "shop"
    assert request.headers["x-authgear-body-signature"] == signed(KEY, request.body)
    assert result["exchange"][0]["request"]["url"] == new
    assert (await gateway.client.get("/v1/sms-gateway")).json() == saved


async def test_a_key_that_is_left_empty_is_the_stored_one(gateway: Gateway) -> None:
    await gateway.save(url=gateway.far.on("/sms"), signature_key=KEY)
    for empty in ("", None):
        await gateway.tested(settings={"signature_key": empty})
    for request in gateway.far.requests["/sms"]:
        assert request.headers["x-authgear-body-signature"] == signed(KEY, request.body)
    assert len(gateway.far.requests["/sms"]) == 2


async def test_before_anything_is_saved_the_key_is_the_one_that_will_be_kept(
    gateway: Gateway,
) -> None:
    await gateway.tested(settings={"url": gateway.far.on("/sms")})
    [request] = gateway.far.requests["/sms"]
    assert request.headers["x-authgear-body-signature"] == signed(
        await gateway.secret(), request.body
    )


async def test_after_a_rotation_the_new_secret_signs_at_once(gateway: Gateway) -> None:
    await gateway.save(url=gateway.far.on("/sms"), signature_key=KEY)
    answer = await gateway.client.post("/v1/sms-gateway/signature-secret/rotate")
    fresh = answer.json()["secret"]
    assert [old["secret"] for old in answer.json()["previous"]] == [KEY]
    entry = json.loads(await gateway.logs())[-1]
    assert entry["message"] == "Signature secret rotated"
    assert entry["context"] == {"by": "password", "overlapSeconds": "86400"}
    await gateway.tested()
    [request] = gateway.far.requests["/sms"]
    assert request.headers["x-authgear-body-signature"] == signed(fresh, request.body)


async def test_of_many_rotations_within_one_overlap_the_last_ten_are_shown(
    gateway: Gateway,
) -> None:
    replaced = [await gateway.secret()]
    for _ in range(12):
        answer = (await gateway.client.post("/v1/sms-gateway/signature-secret/rotate")).json()
        replaced.append(answer["secret"])
    assert [old["secret"] for old in answer["previous"]] == replaced[-2:-12:-1]
    shown = await gateway.client.post("/v1/sms-gateway/signature-secret/reveal")
    assert shown.json() == answer


async def test_among_a_hundred_channels_there_is_no_room_for_the_gateways(
    gateway: Gateway,
) -> None:
    for n in range(99):  # and the one that was there
        wanted = {"provider": "simulator", "name": f"sim {n}", "settings": {}}
        assert (await gateway.client.post("/v1/channels", json=wanted)).status_code == 201
    shown = await gateway.client.post("/v1/sms-gateway/signature-secret/reveal")
    assert shown.status_code == 400
    assert "at most 100 channels" in shown.json()["error"]["message"]
    assert len((await gateway.client.get("/v1/channels?limit=100")).json()["items"]) == 100


async def test_no_message_is_stored_and_the_log_says_who_tested_what(gateway: Gateway) -> None:
    await gateway.tested(settings={"url": gateway.far.on("/sms", Say(401))})
    assert (await gateway.client.get("/v1/messages")).json()["items"] == []
    entry = json.loads(await gateway.logs())[-1]
    assert (entry["module"], entry["message"]) == ("sms-gateway", "Test message sent")
    assert entry["context"] == {
        "by": "password",
        "to": "+41…01",
        "provider": "webhook",
        "code": "authentication_failed",
    }
    assert NUMBER not in await gateway.logs()


# --- what is shown ---


async def test_the_whole_exchange_is_shown_without_its_secrets(gateway: Gateway) -> None:
    said = json.dumps({"code": "ok", "you_signed_with": KEY}).encode()
    headers = {"Content-Type": "application/json", "Set-Cookie": "session=1", "X-Trace": f"a {KEY}"}
    url = gateway.far.on("/sms", Say(200, said, headers))
    await gateway.save(url=f"{url}?key={KEY}", signature_key=KEY)
    result = await gateway.tested()
    [one] = result["exchange"]
    assert one["request"]["method"] == "POST"
    assert one["request"]["url"] == f"{url}?key=…"
    assert one["request"]["headers"]["X-Authgear-Body-Signature"] == "********"
    assert one["request"]["headers"]["Content-Type"] == "application/json"
    assert json.loads(one["request"]["body"]) == gateway.far.requests["/sms"][0].json
    assert one["request"]["sent"] is True
    assert one["failure"] is None
    assert one["answer"]["status"] == 200
    assert one["answer"]["headers"]["set-cookie"] == "********"
    assert one["answer"]["headers"]["x-trace"] == "a …"
    assert json.loads(one["answer"]["body"]) == {"code": "ok", "you_signed_with": "…"}
    assert 0 <= one["answer"]["elapsed_ms"] <= result["elapsed_ms"]
    assert KEY not in json.dumps(result)


# --- what becomes of it (B §6.7) ---

OUTCOMES = {
    "invalid number": (Say(200, b'{"code":"invalid_phone_number"}'), "invalid_phone_number"),
    "wrong credentials": (Say(200, b'{"code":"authentication_failed"}'), "authentication_failed"),
    "a wrong key": (Say(401), "authentication_failed"),
    "rejected": (Say(500, b'{"code":"delivery_rejected"}'), "delivery_rejected"),
    "rate limited": (Say(200, b'{"code":"rate_limited"}'), "rate_limited"),
    "unsupported": (Say(200, b'{"code":"unsupported_request"}'), "unsupported_request"),
    "the provider's timeout": (Say(200, b'{"code":"timeout"}'), "timeout"),
    "unknown": (Say(500, b"<h1>sorry</h1>"), "unknown_error"),
    "an object without a code": (Say(200, b"{}"), "unknown_error"),
    "a redirect": (Say(302, headers={"Location": "/elsewhere"}), "unknown_error"),
}


@pytest.mark.parametrize("case", OUTCOMES.values(), ids=OUTCOMES.keys())
async def test_each_answer_has_its_code_and_is_shown_as_it_came(
    gateway: Gateway, case: tuple[Say, str]
) -> None:
    say, code = case
    result = await gateway.tested(settings={"url": gateway.far.on("/sms", say)})
    assert result["code"] == code
    assert f"HTTP {say.status}" in result["description"]
    assert result["exchange"][0]["answer"]["status"] == say.status
    assert result["exchange"][0]["answer"]["body"].encode() == say.body
    assert gateway.far.count("/elsewhere") == 0


async def test_the_providers_own_code_and_words_are_shown(gateway: Gateway) -> None:
    info = {"provider_error_code": "21606"}
    said = {"code": "delivery_rejected", "description": "Sender unknown", "info": info}
    url = gateway.far.on("/sms", Say(502, json.dumps(said).encode()))
    result = await gateway.tested(settings={"url": url})
    assert result["provider_error_code"] == "21606"
    assert "Sender unknown" in result["description"]
    assert (result["outcome"], result["reason"]) == ("rejected", "delivery_rejected")


async def test_a_receiver_that_does_not_answer_is_said_to_be_late(gateway: Gateway) -> None:
    url = gateway.far.on("/sms", Say(hold=asyncio.Event()))
    result = await gateway.tested(settings={"url": url, "timeout": 1})
    assert (result["code"], result["outcome"]) == ("timeout", "unknown")
    [one] = result["exchange"]
    assert (one["request"]["sent"], one["answer"]) == (True, None)
    assert one["failure"]["kind"] == "timeout"
    assert one["failure"]["elapsed_ms"] >= 1000


async def test_a_receiver_that_is_not_there_is_said_to_be_so(gateway: Gateway) -> None:
    async with FarSide() as gone:
        url = gone.url
    result = await gateway.tested(settings={"url": url})
    assert (result["code"], result["reason"]) == ("unknown_error", "unreachable")
    [one] = result["exchange"]
    assert one["failure"]["kind"] == "connect"
    assert one["request"]["sent"] is False
    assert result["description"] == one["failure"]["detail"] != ""


# --- what is refused before anything is sent ---


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"to": "0790000001"}, "to"),
        ({"to": "+4179"}, "to"),
        ({"to": ""}, "to"),
        ({"provider": "pigeon"}, "provider"),
        ({"provider": "simulator"}, "provider"),
        ({"settings": {}}, "settings.url"),
        ({"settings": {"url": "http://10.0.0.1/sms"}}, "settings.url"),
        ({"settings": {"url": "URL", "timeout": 0}}, "settings.timeout"),
        ({"settings": {"url": "URL", "timeout": 61}}, "settings.timeout"),
        ({"settings": {"url": "URL", "colour": "red"}}, "settings.colour"),
        ({"settings": {"url": "URL", "previous_signature_keys": []}}, "settings."),
        ({"body": ""}, "body"),
    ],
    ids=str,
)
async def test_what_breaks_a_rule_is_refused_by_name_and_nothing_is_sent(
    gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    url = gateway.far.on("/sms")
    settings = {k: url if v == "URL" else v for k, v in changes.get("settings", {}).items()}
    body = {"settings": {"url": url}, **changes}
    answer = await gateway.asked(**body | ({"settings": settings} if "settings" in changes else {}))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["field"].startswith(field)
    assert gateway.far.count("/sms") == 0


async def test_an_address_that_is_not_allowed_is_refused_with_the_way_to_allow_it(
    gateway: Gateway,
) -> None:
    answer = await gateway.asked(settings={"url": "https://169.254.169.254/latest"})
    assert answer.status_code == 400
    assert "TEXTGATE_ALLOW_ADDRESSES" in answer.json()["error"]["message"]


# --- how often ---


async def test_five_tests_a_minute_are_enough_and_the_sixth_is_told_when(gateway: Gateway) -> None:
    url = gateway.far.on("/sms")
    for _ in range(5):
        await gateway.tested(settings={"url": url})
        gateway.served.clock.advance(2_000)
    answer = await gateway.asked(settings={"url": url})
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limited"
    assert answer.headers["Retry-After"] == "50"
    assert gateway.far.count("/sms") == 5
    other = await gateway.served.add_account()
    async with gateway.served.client(auth=(other.login, "fourteen-chars")) as client:
        body = {"to": NUMBER, "provider": "webhook", "settings": {"url": url}}
        assert (await client.post("/v1/sms-gateway/test", json=body)).status_code == 200
    gateway.served.clock.advance(50_000)
    await gateway.tested(settings={"url": url})


async def test_sixty_tests_an_hour_are_enough_however_slowly_they_are_made(
    gateway: Gateway,
) -> None:
    url = gateway.far.on("/sms")
    for _ in range(60):
        await gateway.tested(settings={"url": url})
        gateway.served.clock.advance(20_000)
    answer = await gateway.asked(settings={"url": url})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2400")
    gateway.served.clock.advance(2_400_000)
    await gateway.tested(settings={"url": url})


async def test_what_is_refused_for_its_shape_is_no_test_and_not_counted(gateway: Gateway) -> None:
    for _ in range(8):
        assert (await gateway.asked(to="+4179")).status_code == 400
    await gateway.tested(settings={"url": gateway.far.on("/sms")})
