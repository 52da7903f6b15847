"""Passwords and tokens over time: what is remembered, and when it ends."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import apsw
import httpx
import pytest
from serving import PASSWORD, Served, serving

from textgate.api import thirdparty_v1
from textgate.gateway import credentials

DEVICES = "/3rdparty/v1/devices"
NEW_PASSWORD = "another-password"


async def change_password(served: Served, password: str = NEW_PASSWORD) -> None:
    hashed = credentials.hash_password(password)
    await served.store.write(lambda tx: credentials.set_password(tx, served.account.id, hashed))


async def token_of(client: httpx.AsyncClient) -> dict[str, str]:
    answer = await client.post("/3rdparty/v1/auth/token", json={"scopes": ["all:any"]})
    assert answer.status_code == 201
    found: dict[str, str] = answer.json()
    return found


async def status(client: httpx.AsyncClient, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return (await client.get(DEVICES, headers=headers)).status_code


async def test_a_changed_password_ends_the_old_one_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        assert await status(client) == 200
        await change_password(served)
        assert await status(client) == 401
        async with served.client(auth=(served.login, NEW_PASSWORD)) as other:
            assert await status(other) == 200


async def test_a_changed_password_ends_every_token(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        pair = await token_of(client)
        async with served.client(auth=None) as bare:
            assert await status(bare, pair["access_token"]) == 200
            await change_password(served)
            assert await status(bare, pair["access_token"]) == 401
            refresh = {"Authorization": f"Bearer {pair['refresh_token']}"}
            answer = await bare.post("/3rdparty/v1/auth/token/refresh", headers=refresh)
            assert answer.status_code == 401


async def test_a_password_changed_by_another_process_ends_the_old_one_within_a_second(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        assert await status(client) == 200
        other = apsw.Connection(str(tmp_path / "textgate.db"))
        other.set_busy_timeout(2_000)
        hashed = credentials.hash_password(NEW_PASSWORD)
        other.execute("UPDATE account SET password_hash = ?", (hashed,))
        served.clock.advance(1_000)
        assert await status(client) == 401


async def test_a_removed_account_is_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        pair = await token_of(client)
        assert await status(client) == 200
        account_id = served.account.id
        await served.store.write(lambda tx: credentials.remove_account(tx, account_id))
        assert await status(client) == 401
        async with served.client(auth=None) as bare:
            assert await status(bare, pair["access_token"]) == 401


async def test_a_known_password_is_not_hashed_again_even_when_settings_change(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        assert await status(client) == 200
        begun = time.process_time()
        for n in range(1, 21):
            patch = {"ping": {"interval_seconds": n}}
            answer = await client.patch("/3rdparty/v1/settings", json=patch)
            assert answer.json()["ping"]["interval_seconds"] == n
        spent = time.process_time() - begun
        begun = time.process_time()
        credentials.verify_password(served.account.password_hash, PASSWORD)
        one_hash = time.process_time() - begun
        assert spent < 5 * one_hash  # a hash on every request would be twenty


async def test_an_unknown_login_takes_as_long_as_a_wrong_password(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:

        async def seconds(login: str, password: str) -> float:
            async with served.client(auth=(login, password)) as client:
                begun = time.process_time()  # of all threads: the hash is made in another
                answer = await client.get(DEVICES)
                spent = time.process_time() - begun
                assert answer.status_code == 401
                assert answer.json() == {"message": "Unauthorized"}
                return spent

        await seconds("NOBODY", "first-makes-the-hash-of-nobody")
        unknown = min([await seconds("NOBODY", f"wrong-{n}") for n in range(5)])
        wrong = min([await seconds(served.login, f"wrong-{n}") for n in range(5)])
        assert 0.5 < unknown / wrong < 2


async def test_many_requests_with_a_new_password_share_one_check(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        answers = await asyncio.gather(*(client.get(DEVICES) for _ in range(80)))
        assert {answer.status_code for answer in answers} == {200}


async def test_a_flood_of_guesses_is_told_to_wait_and_harms_nobody_who_is_known(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as known:
        assert await status(known) == 200
        limits = httpx.Limits(max_connections=None)
        async with served.client(auth=None, limits=limits) as client:

            async def guess(n: int) -> httpx.Response:
                return await client.get(DEVICES, auth=(served.login, f"guess-{n}"))

            guesses = [asyncio.create_task(guess(n)) for n in range(120)]
            while not any(task.done() for task in guesses):
                await asyncio.sleep(0)
            assert await status(known) == 200
            answers = await asyncio.gather(*guesses)
        assert {answer.status_code for answer in answers} == {401, 503}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.headers["Retry-After"] == "5"


def test_a_password_that_cannot_be_checked_is_not_called_wrong() -> None:
    """Such as for want of memory: the app of a phone that is told 401 registers anew."""
    check = """
import resource
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from textgate.gateway.credentials import verify_password
hashed = PasswordHasher(time_cost=1, memory_cost=512 * 1024, parallelism=1).hash("password")
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**27, taken + 2**27))
try:
    print(verify_password(hashed, "password"))
except VerificationError as fault:
    print(type(fault).__name__)
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("VerificationError\n", "")


async def test_accounts_do_not_see_each_other(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        message = {"id": "a", "message": "Hi", "phoneNumbers": ["+41790000001"]}
        assert (await client.post("/3rdparty/v1/messages", json=message)).status_code == 202
        pair = await token_of(client)
        other = await served.add_account()
        async with served.client(auth=(other.login, PASSWORD)) as stranger:
            assert (await stranger.get("/3rdparty/v1/messages")).json() == []
            assert (await stranger.get("/3rdparty/v1/messages/a")).status_code == 404
            assert (await stranger.delete("/3rdparty/v1/messages/a")).status_code == 404
            revoked = await stranger.delete(f"/3rdparty/v1/auth/token/{pair['id']}")
            assert revoked.status_code == 204
        async with served.client(auth=None) as bare:
            assert await status(bare, pair["access_token"]) == 200


@pytest.mark.parametrize("secret", ["another secret of more than 32 bytes", ""])
async def test_a_token_of_another_signer_is_refused(tmp_path: Path, secret: str) -> None:
    import jwt

    async with serving(tmp_path, thirdparty_v1.GROUP) as served, served.client() as client:
        pair = await token_of(client)
        claims = jwt.decode(pair["access_token"], options={"verify_signature": False})
        algorithm = "HS256" if secret else "none"
        forged = jwt.encode(claims, secret or None, algorithm=algorithm)
        async with served.client(auth=None) as bare:
            assert await status(bare, forged) == 401


async def test_a_login_and_a_password_are_made_as_the_original_makes_them(tmp_path: Path) -> None:
    async with serving(tmp_path, thirdparty_v1.GROUP) as served:
        assert len(served.login) == 6
        assert served.login == served.login.upper()
        password = credentials.make_password()
        assert len(password) == 14
        assert password == password.lower()
        assert len(served.account.webhook_secret) == 32
