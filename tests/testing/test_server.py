"""The kit's server: a real process that starts, dies, comes back, and says why when it cannot."""

from pathlib import Path

import httpx
import pytest

from textgate.testing.server import start_server


def test_a_server_comes_back_with_its_accounts_after_a_kill_and_a_stop(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        devices, first = f"{server.url}/3rdparty/v1/devices", (server.login, server.password)
        assert httpx.get(devices, auth=first).json() == []
        server.kill()
        with pytest.raises(httpx.ConnectError):
            httpx.get(devices, auth=first)
        server.restart()
        added = server.add_account()
        for account in (first, (added.login, added.password)):
            assert httpx.get(devices, auth=account).status_code == 200
        assert server.stop() == 0
        assert server.stop() is None


def test_a_start_that_fails_shows_what_the_server_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="TEXTGATE_MODE"):
        start_server(tmp_path, environ={"TEXTGATE_MODE": "sideways"})
