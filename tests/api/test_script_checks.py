"""Scripts are checked beside the request that asks for it; what was checked is saved at once."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
from serving import PASSWORD, serving

from textgate.api import native_v1
from textgate.outbound.script.deno import Deno

WRONG = "export default function (message: string) {\n  return message.lenght;\n}\n"
RIGHT = "export default function () {\n  return { code: 'ok' };\n}\n"
WITHIN_S = 60.0


async def checked(client: httpx.AsyncClient, source: str) -> tuple[set[str], dict[str, Any]]:
    """Return the stages that were seen, and how it ended."""
    began = await client.post("/v1/script-checks", json={"source": source})
    assert began.status_code == 202
    found, stages = began.json(), {began.json()["stage"]}
    deadline = time.monotonic() + WITHIN_S
    while found["stage"] != "done":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)  # a real process is at work
        answer = await client.get(began.headers["location"])
        assert answer.status_code == 200
        found = answer.json()
        stages.add(found["stage"])
    return stages, found


async def test_a_script_is_checked_with_progress_and_every_finding(tmp_path: Path) -> None:
    async with serving(tmp_path, native_v1.GROUP) as served, served.client() as client:
        stages, found = await checked(client, WRONG)
        assert stages >= {"reading", "checking", "done"}
        [finding] = found["findings"]
        assert (finding["line"], finding["column"]) == (2, 18)
        assert (finding["code"], found["problem"]) == ("TS2551", None)
        assert found["elapsed_ms"] > 0
        refused = await client.post(
            "/v1/channels", json={"provider": "script", "name": "s", "settings": {"source": WRONG}}
        )
        assert (refused.status_code, refused.json()["error"]["details"]) == (400, [finding])


def counting(folder: Path) -> tuple[Path, Path]:
    """Return a Deno that notes each of its checks, and where."""
    program, starts = folder / "deno", folder / "starts"
    noted = f'[ "$1" != check ] || echo x >> "{starts}"'
    program.write_text(f'#!/bin/sh\n{noted}\nexec "{Deno().path}" "$@"\n')
    program.chmod(0o755)
    return program, starts


async def test_what_was_checked_is_saved_without_a_second_check(tmp_path: Path) -> None:
    deno, starts = counting(tmp_path)
    async with (
        serving(tmp_path, native_v1.GROUP, deno=deno) as served,
        served.client() as client,
    ):
        _, found = await checked(client, RIGHT)
        assert (found["findings"], found["problem"]) == ([], None)
        assert starts.read_text() == "x\n"
        saved = await client.post(
            "/v1/channels", json={"provider": "script", "name": "s", "settings": {"source": RIGHT}}
        )
        assert saved.status_code == 201
        assert starts.read_text() == "x\n"


async def test_a_check_is_seen_by_its_account_alone(tmp_path: Path) -> None:
    async with serving(tmp_path, native_v1.GROUP) as served, served.client() as client:
        _, found = await checked(client, RIGHT)
        other = await served.add_account()
        path = f"/v1/script-checks/{found['id']}"
        assert (await client.get(path)).status_code == 200
        assert (await client.get(path, auth=(other.login, PASSWORD))).status_code == 404


async def test_editors_get_the_declarations(tmp_path: Path) -> None:
    async with serving(tmp_path, native_v1.GROUP) as served, served.client() as client:
        answer = await client.get("/v1/script-types")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        for name in ("CustomSMSGatewayPayload", "CustomSMSGatewayResponse", "template_variables"):
            assert name in answer.text


async def test_without_deno_saving_says_what_to_install_and_the_rest_works(tmp_path: Path) -> None:
    missing = tmp_path / "no-deno-here"
    async with (
        serving(tmp_path, native_v1.GROUP, deno=missing) as served,
        served.client() as client,
    ):
        wanted = {"provider": "script", "name": "s", "settings": {"source": RIGHT}}
        refused = await client.post("/v1/channels", json=wanted)
        assert refused.status_code == 503
        assert "deno" in refused.json()["error"]["message"].lower()
        _, found = await checked(client, RIGHT)
        assert "deno" in found["problem"].lower()
        assert (await client.get("/v1/channels")).status_code == 200
