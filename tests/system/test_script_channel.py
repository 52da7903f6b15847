"""A script from the first save on: run, traced, changed, given a secret, restored, restarted."""

from pathlib import Path
from typing import Any

import httpx
from system_world import client, until

from textgate.testing.server import start_server

NUMBER = "+41790000001"
SECRET = "sk-4f0c9a7be1d2c386"
SOURCE = """
interface Context { secrets: Record<string, string> }
export default function (message: { to: string }, { secrets }: Context) {
  console.log("VERSION", message.to, secrets.API_KEY);
  return { code: "delivery_rejected", provider_error_code: "21606" };
}
"""


def source(version: str) -> dict[str, Any]:
    return {"source": SOURCE.replace("VERSION", version)}


def outcome(api: httpx.Client, channel: str, message: str) -> dict[str, Any]:
    """Send through the script, and return the attempt once it is over."""
    wanted = {"id": message, "channel": channel, "to": NUMBER, "text": "731904 is your code"}
    assert api.post("/v1/messages", json=wanted).status_code == 201
    path = f"/v1/messages/{message}/attempts"

    def over() -> dict[str, Any] | None:
        items = api.get(path).json()["items"]
        return items[0] if items and items[0]["outcome"] else None

    found: dict[str, Any] = until(over)
    return found


def printed(attempt: dict[str, Any]) -> str:
    [line] = attempt["trace"]["script"]["console"]
    return str(line["text"])


def test_a_script_is_saved_run_traced_changed_and_restored(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        with client(server) as api:
            wanted = {"provider": "script", "name": "shop", "settings": source("one")}
            channel = api.post("/v1/channels", json=wanted).json()["id"]
            first = outcome(api, channel, "m-1")
            assert (first["outcome"], first["reason"]) == ("rejected", "delivery_rejected")
            assert first["code"] == "21606"
            assert printed(first) == "one … undefined"
            api.put(f"/v1/channels/{channel}/secrets/API_KEY", json={"value": SECRET})
            api.patch(f"/v1/channels/{channel}", json={"settings": source("two")})
            assert printed(outcome(api, channel, "m-2")) == "two … …"
            assert api.post(f"/v1/channels/{channel}/versions/1/restore").status_code == 201
            assert printed(outcome(api, channel, "m-3")) == "one … …"
        server.stop()
        server.start()
        with client(server) as api:
            assert printed(outcome(api, channel, "m-4")) == "one … …"
            names = [
                item["n"] for item in api.get(f"/v1/channels/{channel}/versions").json()["items"]
            ]
            assert names == [3, 2, 1]
        assert SECRET not in server.log.read_text("utf-8")
