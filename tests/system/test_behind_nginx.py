"""The nginx of docs/phones.md before a real server: what phones need passes it at once."""

import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from device_client import Phone, StreamEvent, basic
from system_world import client, message_to, until

from textgate.testing.server import Server, free_port, start_server

ROOT = Path(__file__).parents[2]
CERT, KEY = ROOT / "tests/tls/localhost.pem", ROOT / "tests/tls/localhost.key"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

PICTURE = {"partId": 1, "contentType": "image/jpeg", "data": "/9j/" * 700_000}
LARGE_MMS = {
    "messageId": "812",
    "phoneNumber": "+33700000001",
    "attachments": [PICTURE],
    "receivedAt": "2026-02-03T05:06:00.000+01:00",
}

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed: the nginx of docs/phones.md was NOT tried"
)


def shown() -> str:
    """The configuration as the page shows it."""
    page = (ROOT / "docs/phones.md").read_text("utf-8")
    [found] = re.findall(r"^```text\n(server \{.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(found)


@contextmanager
def nginx(folder: Path, server: Server) -> Iterator[str]:
    """Run nginx before the server; return its address."""
    port = free_port()
    site = shown().replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    site = site.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    site = re.sub(r"(ssl_certificate +)\S+;", rf"\1{CERT};", site)
    site = re.sub(r"(ssl_certificate_key +)\S+;", rf"\1{KEY};", site)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "" if os.geteuid() else "user root;"  # its workers write large bodies to the folder
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log;"
        f" events {{}} http {{ access_log {folder}/access.log; {temporary}\n{site}\n}}"
    )
    assert NGINX is not None
    process = subprocess.Popen(
        [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.PIPE
    )
    try:
        url = f"https://127.0.0.1:{port}"
        until(lambda: answers(url) or process.poll() is not None)
        if process.poll() is not None:
            pytest.fail(f"nginx: {process.communicate()[1].decode()}")
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=20)


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERT))


def answers(url: str) -> bool:
    try:
        with httpx.Client(verify=trusting(), trust_env=False) as http:
            return http.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


async def test_streams_pass_at_once_and_the_phone_s_own_address_is_known(tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    environ = {
        "TEXTGATE_TRUSTED_PROXIES": "127.0.0.1",
        "TEXTGATE_PUBLIC_URL": "https://sms.example.com",
    }
    with (
        start_server(tmp_path / "server", environ=environ) as server,
        nginx(tmp_path / "nginx", server) as url,
        client(server) as api,
    ):
        async with Phone(url, trusts=trusting()) as phone:
            await phone.register(basic(server.login, server.password))
            # Here the phone is at a trusted address too, as one proxy before another.
            forwarded = {"X-Forwarded-For": "203.0.113.7"}
            told = (await phone.call("GET", "/device", headers=forwarded)).json()
            assert told["externalIp"] == "203.0.113.7"
            async with phone.events() as stream:
                await stream.commented(within_s=2)
                sent = api.post("/3rdparty/v1/messages", json=message_to("+41790000001"))
                assert sent.status_code == 202, sent.text
                assert await stream.next(within_s=2) == StreamEvent("MessageEnqueued", None)
            [message] = await phone.pull()
            assert message["id"] == sent.json()["id"]
            [own] = {one["url"] for one in await phone.webhooks()}
            assert own.startswith("https://sms.example.com/device-events/")
            answer = httpx.post(
                own.replace("https://sms.example.com", url),
                json={"id": "1", "event": "mms:downloaded", "payload": LARGE_MMS},
                verify=trusting(),
                trust_env=False,
            )
            assert answer.status_code == 200, answer.text
    written = (tmp_path / "nginx/access.log").read_text()
    assert "/api/mobile/v1/device" in written
    assert "device-events" not in written, "the address is a secret"
