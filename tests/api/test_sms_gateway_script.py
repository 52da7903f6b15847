"""The setting Custom SMS Gateway, saved whole; with a script: kept, and tested (real Deno)."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Served, serving

from textgate.api import native_v1
from textgate.testing.far_side import FarSide, Say

NUMBER = "+41790000001"
SOURCE = """\
export default async function (e: any, { secrets }: any) {
  console.log("asked to", e.body);
  if (e.body === "throw") {
    throw new Error("no such luck");
  }
  const answer = await fetch("URL", {
    method: "POST",
    headers: { "Authorization": "Bearer t0ken-of-theirs" },
    body: JSON.stringify({ to: e.to, text: e.body, name: e.template_name }),
  });
  if (!answer.ok) {
    return { code: "delivery_rejected", provider_error_code: "E" + answer.status };
  }
  return { code: "ok" };
}
"""
WRONG = """\
export default async function (e: any) {
  const n: number = "one";
  await fetch("URL");
  return { code: "ok" };
}
"""
PLAIN = "export default (e: any) => ({ code: 'ok', to: e.to });\n"
NAMED = {"template_name": "verification_sms.txt"}


@dataclass
class Gateway:
    """An account's gateway, and the far side that its script calls."""

    served: Served
    far: FarSide
    client: httpx.AsyncClient

    async def tested(self, source: str, **body: Any) -> dict[str, Any]:
        answer = await self.asked(source, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def asked(self, source: str, **body: Any) -> httpx.Response:
        wanted = {"to": NUMBER, "provider": "script", "settings": {"source": source}}
        return await self.client.post("/v1/sms-gateway/test", json=wanted | body, timeout=60)

    async def put(self, **wanted: Any) -> httpx.Response:
        return await self.client.put("/v1/sms-gateway", json=wanted, timeout=60)

    async def saved(self, **wanted: Any) -> dict[str, Any]:
        answer = await self.put(**wanted)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def channels(self) -> list[dict[str, Any]]:
        return (await self.client.get("/v1/channels")).json()["items"]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with (
        FarSide() as far,
        serving(tmp_path, native_v1.GROUP, channel=False) as served,
        served.client() as client,
    ):
        yield Gateway(served, far, client)


async def test_a_script_is_tested_before_it_is_saved_and_all_that_it_did_is_shown(
    gateway: Gateway,
) -> None:
    says = Say(200, b'{"id": 7}', {"X-Id": "7"}), Say(422, b"no")
    source = SOURCE.replace("URL", gateway.far.on("/api", *says))

    good = await gateway.tested(source, body="first", **NAMED)
    assert (good["code"], good["outcome"]) == ("ok", "accepted")
    [request] = gateway.far.requests["/api"]
    assert request.json == {"to": NUMBER, "text": "first", "name": "verification_sms.txt"}
    [one] = good["exchange"]
    assert one["request"]["url"].endswith("/api")
    assert {k.lower(): v for k, v in one["request"]["headers"].items()}["authorization"] == (
        "********"
    )
    assert json.loads(one["request"]["body"]) == request.json
    assert (one["answer"]["status"], one["answer"]["body"]) == (200, '{"id": 7}')
    assert json.loads(good["script"]["returned"]) == {"code": "ok"}
    [line] = good["script"]["console"]
    assert line["level"] == "log"
    assert line["text"].startswith("asked to")
    assert [f["status"] for f in good["script"]["fetches"]] == [200]

    bad = await gateway.tested(source, body="second")
    assert (bad["code"], bad["provider_error_code"]) == ("delivery_rejected", "E422")
    assert bad["exchange"][0]["answer"]["body"] == "no"

    threw = await gateway.tested(source, body="throw")
    assert (threw["code"], threw["exchange"]) == ("unknown_error", [])
    assert threw["script"]["threw"]["message"].endswith("no such luck")
    assert (threw["script"]["threw"]["line"], threw["script"]["threw"]["column"]) == (4, 11)

    assert await gateway.channels() == []


async def test_a_script_with_a_type_error_is_not_run(gateway: Gateway) -> None:
    answer = await gateway.asked(WRONG.replace("URL", gateway.far.on("/api")))
    error = answer.json()["error"]
    assert (answer.status_code, error["field"]) == (400, "settings.source")
    [finding] = error["details"]
    assert (finding["line"], finding["column"], finding["code"]) == (2, 9, "TS2322")
    assert gateway.far.count("/api") == 0
    assert (await gateway.asked("")).json()["error"]["field"] == "settings.source"


async def test_a_script_that_is_at_fault_keeps_all_of_a_save_from_being_stored(
    gateway: Gateway,
) -> None:
    webhook = {"url": gateway.far.on("/sms")}
    for on in ("webhook", "script"):
        answer = await gateway.put(
            enabled=True, provider=on, providers={"webhook": webhook, "script": {"source": WRONG}}
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["field"]) == (400, "providers.script.source")
        assert error["details"][0]["line"] == 2
    assert await gateway.channels() == []
    assert (await gateway.client.get("/v1/sms-gateway")).json()["version"] is None


async def test_choosing_the_other_provider_keeps_the_script_and_its_versions(
    gateway: Gateway,
) -> None:
    script = {"source": PLAIN, "timeout": 9}
    first = await gateway.saved(enabled=True, provider="script", providers={"script": script})
    assert first["providers"]["script"]["version"] == 1
    [channel] = await gateway.channels()
    assert (channel["provider"], channel["enabled"]) == ("script", True)

    other = await gateway.saved(
        enabled=True,
        provider="webhook",
        version=first["version"],
        providers={"webhook": {"url": gateway.far.on("/sms")}},
    )
    webhook, script_channel = await gateway.channels()
    assert (webhook["provider"], webhook["enabled"]) == ("webhook", True)
    assert (script_channel["id"], script_channel["enabled"]) == (channel["id"], False)
    assert other["providers"]["script"] == first["providers"]["script"]

    back = await gateway.saved(enabled=True, provider="script", version=other["version"])
    assert [(c["provider"], c["enabled"]) for c in await gateway.channels()] == [
        ("script", True),
        ("webhook", False),
    ]
    assert back["providers"]["script"] == first["providers"]["script"]
    assert back["providers"]["webhook"] == other["providers"]["webhook"]

    changed = await gateway.saved(
        enabled=True,
        provider="script",
        version=back["version"],
        providers={"script": {"source": PLAIN.replace("ok", "rate_limited")}},
    )
    assert changed["providers"]["script"]["version"] == 2
    assert changed["providers"]["script"]["settings"]["timeout"] == 9
    versions = await gateway.client.get(f"/v1/channels/{channel['id']}/versions")
    assert [version["n"] for version in versions.json()["items"]] == [2, 1]


async def test_of_two_who_save_at_once_one_is_told_of_the_other(gateway: Gateway) -> None:
    first = await gateway.saved(enabled=False, provider="webhook")
    answers = await asyncio.gather(
        *(
            gateway.put(
                enabled=False,
                provider="webhook",
                version=first["version"],
                providers={"webhook": {"timeout": timeout}},
            )
            for timeout in (11, 12)
        )
    )
    good, late = sorted(answers, key=lambda answer: answer.status_code)
    assert (good.status_code, late.status_code) == (200, 409)
    details = late.json()["error"]["details"]
    assert details["stored"] == good.json() == (await gateway.client.get("/v1/sms-gateway")).json()
    mine = details["yours"]["providers"]["webhook"]["timeout"]
    stored = details["stored"]["providers"]["webhook"]["settings"]["timeout"]
    assert {mine, stored} == {11, 12}


async def test_a_secret_of_the_script_is_no_new_version_and_never_shown_in_a_test(
    gateway: Gateway,
) -> None:
    url = gateway.far.on("/api")
    source = SOURCE.replace('"Bearer t0ken-of-theirs"', "secrets.TOKEN").replace(
        "text: e.body", "text: secrets.TOKEN"
    )
    source = source.replace("URL", url).replace('"Authorization"', '"X-Plain"')
    saved = await gateway.saved(
        enabled=True, provider="script", providers={"script": {"source": source}}
    )
    channel_id = saved["providers"]["script"]["channel_id"]
    secret = "s3cret-of-the-script"
    answer = await gateway.client.put(
        f"/v1/channels/{channel_id}/secrets/TOKEN", json={"value": secret}
    )
    assert answer.is_success, answer.text
    now = (await gateway.client.get("/v1/sms-gateway")).json()
    assert now["version"] == saved["version"]

    result = await gateway.tested(source)
    [request] = gateway.far.requests["/api"]
    assert (request.headers["x-plain"], request.json["text"]) == (secret, secret)
    assert result["code"] == "ok"
    assert secret not in json.dumps(result)
    [one] = result["exchange"]
    assert {k.lower(): v for k, v in one["request"]["headers"].items()}["x-plain"] == "…"
