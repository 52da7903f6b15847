"""A server whose secrets are sealed on the disk: told by HTTP, looked for in every file."""

import stat
from pathlib import Path

import pytest
from system_world import client

from textgate.testing.server import Server, start_server

SIGNATURE, INGRESS = "signature-key-of-the-channel", "signature-key-of-the-ingress"
OTHER_KEY = "the-master-key-of-another-installation"


def fill(server: Server) -> list[str]:
    """Give every kind of secret to a server, and return them all."""
    settings = {"url": "http://127.0.0.1:9/sms", "signature_key": SIGNATURE}
    channel = {"provider": "webhook", "name": "hook", "settings": settings}
    with client(server) as api:
        first = api.get("/v1/webhook-secret").json()["secret"]
        second = api.post("/v1/webhook-secret/rotate").json()["secret"]
        assert api.post("/v1/channels", json=channel).status_code == 201
        made = api.post("/v1/ingresses", json={"name": "auth", "secrets": [INGRESS]})
        assert made.status_code == 201, made.text
    return [first, second, SIGNATURE, INGRESS]


def signs_with(server: Server) -> str:
    with client(server) as api:
        return str(api.get("/v1/webhook-secret").json()["secret"])


def test_a_stolen_database_holds_no_secret_and_a_wrong_key_no_server(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        secrets = fill(server)
        server.kill()  # a stop would empty the WAL
        kept = server.data / "master-key"
        key = kept.read_text()
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        files = {file.name: file.read_bytes() for file in server.data.glob("textgate.db*")}
        assert files["textgate.db-wal"]
        assert server.login.encode() in b"".join(files.values())
        wanted = [one.encode() for one in (*secrets, key)]
        assert [name for name, content in files.items() for one in wanted if one in content] == []

        kept.write_text(OTHER_KEY)
        before = server.log.stat().st_size
        with pytest.raises(RuntimeError, match="ended with 1 at the start"):
            server.start()
        said = server.log.read_text()[before:]
        assert "set master_key (TEXTGATE_MASTER_KEY)" in said
        assert said.count("\n") == 1
        assert not any(one in said for one in (*secrets, key, OTHER_KEY))
        with pytest.raises(RuntimeError, match="set master_key"):
            server.command("account", "list")
        kept.unlink()
        with pytest.raises(RuntimeError, match="is gone"):
            server.command("account", "list")
        assert not kept.exists()

        kept.write_text(f"{OTHER_KEY} {key}")
        server.start()  # seals anew
        assert signs_with(server) == secrets[1]
        server.stop()
        kept.write_text(OTHER_KEY)
        server.start()
        assert signs_with(server) == secrets[1]
