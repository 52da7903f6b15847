"""The npm client of SMS Gateway for Android, unmodified, against a real server.

It is installed into a temporary folder, as ``package-lock.json`` pins it.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from textgate.testing.receiver import Receiver
from textgate.testing.server import Server

HERE = Path(__file__).parent
DELIVERED = "+41790000010"
INSTALL_TIMEOUT_S, TALK_TIMEOUT_S = 120, 90
OLDEST_NODE = (20, 19)
"""The client's package is an ES module that does not say so; older ones cannot load it."""

pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")),
    reason="node and npm are not on PATH: the npm client was NOT tried",
)


def run(
    *command: str, folder: Path, timeout_s: int, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the conversation and the client that it needs."""
    folder = tmp_path_factory.mktemp("node")
    version = run("node", "--version", folder=folder, timeout_s=30).stdout.strip()
    if tuple(int(part) for part in version.lstrip("v").split(".")[:2]) < OLDEST_NODE:
        pytest.skip(f"node {version} is too old for the npm client, which was NOT tried")
    for name in ("package.json", "package-lock.json", "conversation.mjs"):
        shutil.copy(HERE / name, folder)
    options = ["--ignore-scripts", "--legacy-peer-deps", "--prefer-offline", "--no-audit"]
    npm = shutil.which("npm") or "npm"
    done = run(npm, "ci", *options, folder=folder, timeout_s=INSTALL_TIMEOUT_S)
    if done.returncode:
        pytest.skip(f"npm could not install the client, which was NOT tried: {done.stderr[-500:]}")
    return folder


@pytest.fixture(scope="session")
def said(server: Server, installed: Path) -> dict[str, Any]:
    """What each method of the client returned."""
    with Receiver() as receiver:
        done = run(
            "node",
            "conversation.mjs",
            folder=installed,
            timeout_s=TALK_TIMEOUT_S,
            BASE_URL=f"{server.url}/3rdparty/v1",
            LOGIN=server.login,
            PASSWORD=server.password,
            HOOK_URL=receiver.url,
            NUMBER=DELIVERED,
        )
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        [told, *_] = receiver.wait_for(1)
    return said | {"told": told.json}


def test_health_is_told_to_anybody(said: dict[str, Any]) -> None:
    for health in (said["health"], said["strangersHealth"]):
        assert health["status"] in ("pass", "warn")
        assert isinstance(health["releaseId"], int)
        assert isinstance(health["version"], str)


def test_a_message_is_sent_and_delivered(said: dict[str, Any]) -> None:
    assert said["sent"]["state"] == "Pending"
    assert said["state"]["state"] == "Delivered"
    [recipient] = said["state"]["recipients"]
    assert (recipient["phoneNumber"], recipient["state"]) == (DELIVERED, "Delivered")


def test_phone_validation_can_be_skipped(said: dict[str, Any]) -> None:
    assert said["shortCode"]["recipients"][0]["phoneNumber"] == "8001"


def test_webhooks_are_registered_told_and_deleted(said: dict[str, Any]) -> None:
    hook, scoped = said["hook"], said["scopedToNothing"]
    assert (hook["event"], hook["deviceId"]) == ("sms:delivered", None)
    assert scoped == hook | {"id": "node-hook", "event": "sms:received"}
    assert [h for h in (hook, scoped) if h not in said["hooks"]] == []
    assert said["deleted"] is None
    assert [h for h in (hook, scoped) if h in said["hooksAfter"]] == []
    told = said["told"]
    assert (told["event"], told["webhookId"]) == ("sms:delivered", hook["id"])
    assert told["payload"]["messageId"] == said["sent"]["id"]
    assert told["payload"]["deliveredAt"]


def test_devices_inbox_and_logs_answer_without_phones(said: dict[str, Any]) -> None:
    assert (said["devices"], said["deviceDeleted"], said["exported"]) == ([], None, {})
    assert isinstance(said["logs"], list)
    assert isinstance(said["allLogs"], list)


def test_settings_drop_unknown_members_and_keep_the_known(said: dict[str, Any]) -> None:
    assert said["updated"] == {}
    assert said["patched"]["ping"] == {"interval_seconds": 60}
    assert said["settings"]["ping"] == {"interval_seconds": 60}
    assert "limitValue" not in said["settings"].get("messages", {})


def test_a_refusal_has_a_status_and_a_message(said: dict[str, Any]) -> None:
    assert said["strangersDevices"] == {"status": 401, "body": {"message": "Unauthorized"}}
    assert said["unknownState"] == {"status": 404, "body": {"message": "message not found"}}
    assert said["noNumber"]["status"] == 400
    assert said["noNumber"]["body"]["message"].startswith("failed to parse phone number: ")
