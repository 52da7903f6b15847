"""An account with one webhook channel and one ingress, as the stories of this folder need them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from serving import Served, serving

from textgate.domain.message import Message, Recipient
from textgate.domain.retry import MESSAGE_POLICY
from textgate.domain.signing import body_hex
from textgate.engine.engine import Engine
from textgate.testing.far_side import FarSide, Request, Say

SECRET = "kT9_zQ4wLm2XvB7nRc5HyP8dJf3GsA1e"
PROVIDER = "/sms"
TAKEN = Say(body=b'{"code":"ok"}')
PATIENCE_S = 20.0
V1 = (
    r'{"to":"+85298765432","body":"731904 - your Harbour Shop sign-up check\n",'
    r'"app_id":"harbour-shop","template_name":"verification_sms.txt","language_tag":"en",'
    r'"template_variables":{"app_name":"Harbour Shop","client_id":"web-checkout",'
    r'"code":"731904","host":"auth.harbour.example","phone":"+85298765432","state":"a1b2"}}'
)
LINK = (
    "https://auth.harbour.example/authflow/v2/reset_password?code=K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C"
)
V2 = (
    r'{"to":"+4915112345678","body":"Harbour \u0026 Söhne: neues Passwort \u003chier\u003e\n'
    rf'{LINK}\n","app_id":"harbour-shop",'
    r'"template_name":"forgot_password_sms.txt","language_tag":"de","template_variables":'
    r'{"app_name":"Harbour \u0026 Söhne","code":"K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C",'
    rf'"has_password":true,"host":"auth.harbour.example","link":"{LINK}",'
    rf'"phone":"+4915112345678","ui_locales":"de+en","url":"{LINK}"}}}}'
)
V3 = (
    r'{"to":"+6591230001","body":"[Test] code 000000","app_id":"","template_name":"",'
    r'"language_tag":"","template_variables":{"app_name":"Test","code":"000000"}}'
)
TEST = V3.encode()
"""What the portal sends as a test (B §2.5)."""


@dataclass
class Gate:
    """A server, its engine if there is one, and an Authgear project's way into it."""

    served: Served
    far: FarSide
    api: httpx.AsyncClient
    """With the account's password."""
    project: httpx.AsyncClient
    """Without any."""
    ingress: dict[str, Any]
    engine: Engine | None

    async def send(self, body: bytes = TEST, **headers: str) -> httpx.Response:
        """Send ``body`` as the project would."""
        signed = {"X-Authgear-Body-Signature": body_hex(SECRET, body)} | headers
        return await self.project.post(self.ingress["url"], content=body, headers=signed)

    async def change(self, **changes: Any) -> None:
        answer = await self.api.patch(f"/v1/ingresses/{self.ingress['id']}", json=changes)
        assert answer.status_code == 200, answer.text

    async def messages(self) -> list[Message]:
        account = self.served.account.id
        return await self.served.store.read(lambda tx: tx.messages.after(account, None, 100))

    async def recipient(self) -> Recipient:
        """The number of the only message."""
        [message] = await self.messages()
        [only] = await self.served.store.read(
            lambda tx: tx.recipients.of(message.account_id, message.id)
        )
        return only

    async def until_stored(self, count: int = 1) -> None:
        """Return once so many messages are on disk."""
        async with asyncio.timeout(PATIENCE_S):
            while len(await self.messages()) < count:
                await asyncio.sleep(0.002)

    async def until_waiting(self) -> None:
        """Return once the only message has been tried and waits for its next attempt."""
        await self.until_stored()
        async with asyncio.timeout(PATIENCE_S):
            while (await self.recipient()).holder is not None:
                await asyncio.sleep(0.002)

    async def until_asleep(self) -> None:
        """Return once somebody sleeps by the clock: without an engine, who waits for a verdict."""
        async with asyncio.timeout(PATIENCE_S):
            while self.served.clock.next_wake() is None:
                await asyncio.sleep(0.002)

    async def until_asked(self, count: int = 1) -> list[Request]:
        """Return the requests of the far side once it has had so many."""
        async with asyncio.timeout(PATIENCE_S):
            while self.far.count(PROVIDER) < count:
                await asyncio.sleep(0.002)
        return self.far.requests[PROVIDER]


@asynccontextmanager
async def gate(
    folder: Path,
    *,
    channel: dict[str, Any] | None = None,
    ingress: dict[str, Any] | None = None,
    engine: bool = True,
    **settings: Any,
) -> AsyncIterator[Gate]:
    """Open the way in. ``channel`` and ``ingress`` are what is unusual about them."""
    async with (
        serving(folder, channel=False, **settings) as served,
        FarSide() as far,
        served.client() as api,
        served.client(auth=None) as project,
    ):
        far.on(PROVIDER, script=lambda request: TAKEN)
        if channel is None or channel:
            wanted = {"provider": "webhook", "name": "shop", **(channel or {})}
            usual = {"url": far.url + PROVIDER, "signature_key": "of-the-channel"}
            wanted["settings"] = usual | wanted.get("settings", {})
            added = await api.post("/v1/channels", json=wanted)
            assert added.status_code == 201, added.text
        asked = {"name": "harbour", "secrets": [SECRET], **(ingress or {})}
        opened = await api.post("/v1/ingresses", json=asked)
        assert opened.status_code == 201, opened.text
        runs = _engine(served) if engine else None
        if runs is not None:
            await runs.start()
        yield Gate(served, far, api, project, opened.json(), runs)
        if runs is not None:
            await runs.stop(0)


def _engine(served: Served) -> Engine:
    services = served.services
    return Engine(
        served.store,
        served.clock,
        services.http,
        services.guard,
        services.scripts,
        policy=MESSAGE_POLICY,
        channel_concurrency=32,
        webhook_concurrency=64,
        webhook_concurrency_total=512,
        webhook_jitter=0.0,
        retention=timedelta(days=30),
    )
