"""A one-time code is in the message itself and nowhere else: no log, no event, no list."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from textgate.domain.signing import body_hex
from textgate.testing.receiver import Answer, Receiver
from textgate.testing.server import Server, start_server

SECRET = "kT9_zQ4wLm2XvB7nRc5HyP8dJf3GsA1e"
CODE, LINK_CODE = "731904", "K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C"
LINK = f"https://auth.harbour.example/reset?code={LINK_CODE}"
NUMBER = "+85298765432"
SMS = {
    "to": NUMBER,
    "body": f"Code {CODE}, or {LINK}\n",
    "app_id": "harbour-shop",
    "template_name": "forgot_password_sms.txt",
    "language_tag": "en",
    "template_variables": {"code": CODE, "link": LINK, "url": LINK, "password": LINK_CODE},
}
FORBIDDEN = (CODE, LINK_CODE)


@contextmanager
def talking_to(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=server.url, auth=(server.login, server.password), timeout=20, trust_env=False
    ) as api:
        yield api


def test_a_whole_send_tells_its_code_to_the_provider_alone(tmp_path: Path) -> None:
    with (
        Receiver() as provider,
        Receiver() as hook,
        start_server(tmp_path, environ={"TEXTGATE_LOG_LEVEL": "debug"}) as server,
        talking_to(server) as api,
    ):
        set_up(api, provider, hook)
        refused = f"{NUMBER} is busy, try {CODE} or {LINK} later"
        provider.script(
            says("rate_limited", refused), says("delivery_rejected", refused), says("ok", refused)
        )
        first, second, third = send(api), send(api), send(api)
        assert [a.json()["code"] for a in (first, second, third)] == [
            "rate_limited",
            "delivery_rejected",
            "ok",
        ]
        hook.wait_for(3)
        told = {answer.request.url.path: answer.text for answer in (first, second, third)}
        told |= seen_by_the_owner(api)
        told["webhook"] = repr([call.body for call in hook.calls])
        message = api.get("/v1/messages").json()["items"][0]["id"]
        whole = api.get(f"/v1/messages/{message}").json()
        sent = provider.calls[-1].json
    told["log"] = server.log.read_text("utf-8")
    assert told["log"].count('"ingress"') >= 3, "this test reads the log"
    for place, text in told.items():
        assert [code for code in FORBIDDEN if code in text] == [], place
    assert NUMBER not in told["log"]
    assert SECRET not in told["log"]
    assert (whole["text"], whole["context"]["template_variables"]["code"]) == (SMS["body"], CODE)
    assert sent["body"] == SMS["body"]
    lines = [json.loads(line) for line in told["log"].splitlines() if line.startswith("{")]
    line = [line for line in lines if line["event"] == "ingress"][-1]
    wanted = {
        "to": "+85…32",
        "code": "ok",
        "status": 200,
        "signature": "good",
        "dialect": "authgear",
    }
    assert wanted.items() <= line.items()
    assert line["message"] == message
    assert line["ms"] >= 0


def says(code: str, description: str) -> Answer:
    return Answer(body=json.dumps({"code": code, "description": description}).encode())


def set_up(api: httpx.Client, provider: Receiver, hook: Receiver) -> None:
    settings = {"url": f"{provider.url}/sms", "signature_key": "of-the-channel"}
    channel = {"provider": "webhook", "name": "shop", "settings": settings, "retry_waits": []}
    assert api.post("/v1/channels", json=channel).status_code == 201
    webhook = {"url": f"{hook.url}/hook", "events": ["sms:sent", "sms:failed"]}
    assert api.post("/v1/webhooks", json=webhook).status_code == 201
    opened = api.post("/v1/ingresses", json={"name": "harbour", "secrets": [SECRET]})
    assert opened.status_code == 201, opened.text


def send(api: httpx.Client) -> httpx.Response:
    url = api.get("/v1/ingresses").json()["items"][0]["url"]
    body = json.dumps(SMS).encode()
    signed = {"X-Authgear-Body-Signature": body_hex(SECRET, body)}
    return httpx.post(f"{api.base_url}{url}", content=body, headers=signed, trust_env=False)


def seen_by_the_owner(api: httpx.Client) -> dict[str, str]:
    """Every list and event that is shown, by its path."""
    paths = [
        "/v1/messages",
        "/3rdparty/v1/messages?includeContent=true",
        "/3rdparty/v1/logs",
        "/v1/events",
        "/metrics",
    ]
    for message in api.get("/v1/messages").json()["items"]:
        paths += [f"/v1/messages/{message['id']}/{part}" for part in ("attempts", "events")]
    found: dict[str, Any] = {path: api.get(path) for path in paths}
    assert {answer.status_code for answer in found.values()} == {200}
    return {path: answer.text for path, answer in found.items()}
