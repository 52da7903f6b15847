"""Phones over time and under pressure: who is known, for how long, and what is refused."""

import asyncio
from pathlib import Path

import apsw
import httpx
import pytest
from serving import PASSWORD, Served, serving

from textgate.api import mobile_v1, native_v1, thirdparty_v1
from textgate.gateway import devices
from textgate.gateway.devices import Registered

DEVICE = "/mobile/v1/device"
GROUPS = (mobile_v1.GROUP, thirdparty_v1.GROUP, native_v1.GROUP)
MINUTE, HOUR = 60_000, 3_600_000


def bearer(phone: Registered) -> dict[str, str]:
    return {"Authorization": f"Bearer {phone.token}"}


async def patch(client: httpx.AsyncClient, phone: Registered, **said: object) -> int:
    told = {"id": phone.device.id} | said
    return (await client.patch(DEVICE, json=told, headers=bearer(phone))).status_code


async def last_seen(served: Served, phone: Registered) -> int:
    account_id, device_id = served.account.id, phone.device.id
    found = await served.store.read(lambda tx: tx.devices.get(account_id, device_id))
    assert found is not None
    return found.last_seen - phone.device.last_seen


# --- who is known, and for how long ---


async def test_a_phone_removed_here_is_nobody_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone, other = await served.add_phone(), await served.add_phone()
        assert await patch(client, phone) == await patch(client, other) == 204
        account_id = served.account.id
        assert await devices.remove_whole(served.store, account_id, phone.device.id)
        assert not await devices.remove_whole(served.store, account_id, phone.device.id)
        assert await patch(client, phone) == 401
        assert await patch(client, other) == 204


async def test_a_phone_is_remembered_and_one_removed_by_another_process_ends_within_a_second(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()

        async def known() -> bool:
            return "device" in (await client.get(DEVICE, headers=bearer(phone))).json()

        assert await patch(client, phone) == 204
        other = apsw.Connection(str(tmp_path / "textgate.db"))
        other.set_busy_timeout(2_000)
        other.execute("DELETE FROM device")
        # No row is read for a phone that was known a moment ago: it may do what touches none.
        served.clock.advance(999)
        code = {"currentPassword": "wrong-password", "newPassword": "another-password"}
        answer = await client.patch("/mobile/v1/user/password", json=code, headers=bearer(phone))
        assert answer.json() == {"message": "failed to change password"}
        served.clock.advance(1)
        answer = await client.patch("/mobile/v1/user/password", json=code, headers=bearer(phone))
        assert answer.json() == {"message": "Unauthorized"}
        assert not await known()


async def test_a_removed_account_takes_its_phones_with_it(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()
        assert await patch(client, phone) == 204
        account_id = served.account.id
        await served.store.write(lambda tx: tx.accounts.remove(account_id))
        assert await patch(client, phone) == 401


async def test_a_sign_of_life_is_written_down_every_five_seconds(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()
        seen = []
        for _ in range(6):
            served.clock.advance(2_000)
            assert await patch(client, phone) == 204
            seen.append(await last_seen(served, phone))
        assert seen == [0, 0, 6_000, 6_000, 6_000, 12_000]


async def test_a_phone_that_is_connected_is_shown_so(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client() as client:
        phone = await served.add_phone()
        with served.store.listen(phone.device.id):
            assert (await client.get("/3rdparty/v1/devices")).json()[0]["connected"] is True
            assert (await client.get("/v1/devices")).json()["items"][0]["connected"] is True
        assert (await client.get("/v1/devices")).json()["items"][0]["connected"] is False


async def test_removing_a_phone_hangs_up_on_it(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client() as client:
        phone = await served.add_phone()
        with served.store.listen(phone.device.id) as mailbox:
            await client.delete(f"/3rdparty/v1/devices/{phone.device.id}")
            await asyncio.wait_for(mailbox.filled.wait(), 10)
            assert mailbox.closed


# --- a passing fault is never a 401: the app would register anew ---


async def test_while_the_database_takes_no_writes_a_phone_is_known_all_the_same(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()
        served.store.lose_patience()
        served.clock.advance(HOUR)  # a sign of life is due
        other = apsw.Connection(str(tmp_path / "textgate.db"))
        other.execute("BEGIN IMMEDIATE")
        answer = await client.get(DEVICE, headers=bearer(phone))
        assert (answer.status_code, answer.json()["device"]["id"]) == (200, phone.device.id)
        queue = await client.get("/mobile/v1/message", headers=bearer(phone))
        assert (queue.status_code, queue.json()) == (200, []), "to find nothing writes nothing"
        assert await patch(client, phone, pushToken="new") == 503
        by_code = {"Authorization": "Code k7mq2x"}
        assert (await client.post(DEVICE, json={}, headers=by_code)).status_code == 503
        other.execute("ROLLBACK")
        assert await patch(client, phone, pushToken="new") == 204


async def test_while_the_database_cannot_be_read_nobody_is_told_401(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()
        other = apsw.Connection(str(tmp_path / "textgate.db"))
        other.set_busy_timeout(2_000)
        other.execute("ALTER TABLE device RENAME TO elsewhere")
        assert await patch(client, phone) == 500
        answer = await client.get(DEVICE, headers=bearer(phone))
        assert (answer.status_code, answer.json()) == (
            500,
            {"message": "failed to handle request"},
        )
        other.execute("ALTER TABLE elsewhere RENAME TO device")
        assert await patch(client, phone) == 204


async def test_a_flood_of_registrations_with_a_password_is_told_to_wait(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served:
        limits = httpx.Limits(max_connections=None)
        async with served.client(auth=None, limits=limits) as client:

            async def register(n: int) -> httpx.Response:
                return await client.post(DEVICE, json={}, auth=(served.login, f"guess-{n}"))

            answers = await asyncio.gather(*(register(n) for n in range(100)))
        assert {answer.status_code for answer in answers} == {401, 503}


# --- what is refused ---


async def test_what_a_phone_says_at_once_has_bounds(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phone = await served.add_phone()
        sim = {"slotIndex": 0, "simNumber": 1}
        assert await patch(client, phone, simCards=[sim] * 32) == 204
        assert await patch(client, phone, simCards=[sim] * 33) == 400
        assert await patch(client, phone, pushToken="x" * 256) == 204
        assert await patch(client, phone, pushToken="x" * 257) == 400
        assert await patch(client, phone, whatever="x" * 65_536) == 413
        told = {"id": "m", "recipients": [{"phoneNumber": "+41790000001", "state": "Sent"}]}
        for count, status in ((1_000, 204), (1_001, 400)):
            report = [told] * count
            answer = await client.patch("/mobile/v1/message", json=report, headers=bearer(phone))
            assert answer.status_code == status


async def test_wrong_codes_are_refused_for_a_while_and_right_ones_are_not_counted(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client() as client:

        async def join(code: str) -> httpx.Response:
            headers = {"Authorization": f"Code {code}"}
            return await client.post(DEVICE, json={}, headers=headers, auth=None)

        for _ in range(12):
            code = (await client.get("/mobile/v1/user/code")).json()["code"]
            assert (await join(code)).status_code == 201
        assert [(await join("wrong2")).status_code for _ in range(10)] == [401] * 10
        code = (await client.get("/mobile/v1/user/code")).json()["code"]
        refused = await join(code)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "60"
        assert refused.json() == {"message": "too many tries; wait 60 s"}
        served.clock.advance(MINUTE)
        assert (await join(code)).status_code == 201


async def test_wrong_private_tokens_are_counted_with_wrong_codes(tmp_path: Path) -> None:
    private = {"mode": "private", "private_token": "a-token-of-tests"}
    async with serving(tmp_path, *GROUPS, **private) as served, served.client(auth=None) as client:

        async def register(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return (await client.post(DEVICE, json={}, headers=headers)).status_code

        assert [await register("a-token-of-tests") for _ in range(12)] == [201] * 12
        assert [await register("guess") for _ in range(10)] == [401] * 10
        assert await register("a-token-of-tests") == 429
        assert (await client.post(DEVICE, json={}, auth=(served.login, PASSWORD))).is_success


async def test_strangers_get_so_many_accounts_an_hour(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS, mode="public") as served:
        async with served.client(auth=None) as client:
            made = [await client.post(DEVICE, json={}) for _ in range(31)]
            assert [answer.status_code for answer in made] == [201] * 30 + [429]
            assert len({answer.json()["login"] for answer in made[:30]}) == 30
            assert made[30].headers["Retry-After"] == "3600"
            served.clock.advance(HOUR)
            fresh = (await client.post(DEVICE, json={})).json()
        # The password that was told is the one that is good.
        async with served.client(auth=(fresh["login"], fresh["password"])) as owner:
            listed = (await owner.get("/3rdparty/v1/devices")).json()
            assert [device["id"] for device in listed] == [fresh["id"]]


async def test_so_many_codes_a_minute(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client() as client:
        for _ in range(15):
            assert (await client.get("/mobile/v1/user/code")).status_code == 200
            assert (await client.post("/v1/devices/pairing")).status_code == 201
        assert (await client.get("/mobile/v1/user/code")).status_code == 429
        refused = await client.post("/v1/devices/pairing")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
        assert refused.json()["error"]["code"] == "rate_limited"


async def test_an_account_has_so_many_phones_and_a_refused_one_does_not_spend_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "MAX_PHONES", 2)
    async with serving(tmp_path, *GROUPS) as served, served.client() as client:
        first, _ = await served.add_phone(), await served.add_phone()
        code = (await client.get("/mobile/v1/user/code")).json()["code"]
        headers = {"Authorization": f"Code {code}"}
        refused = await client.post(DEVICE, json={}, headers=headers, auth=None)
        assert refused.status_code == 409
        assert refused.json() == {"message": "an account has at most 2 phones; remove one first"}
        assert (await client.delete(f"/v1/devices/{first.device.id}")).status_code == 204
        joined = await client.post(DEVICE, json={}, headers=headers, auth=None)
        assert joined.status_code == 201


async def test_a_phone_whose_name_no_channel_could_have_can_be_disabled_too(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client() as client:
        for name in ("x" * 128, "x" * 128, "\n", "", "a\tb"):
            phone = await served.add_phone(name)
            answer = await client.patch(f"/v1/channels/{phone.device.id}", json={"enabled": False})
            assert answer.status_code == 200, answer.text
        names = [c["name"] for c in (await client.get("/v1/channels")).json()["items"][1:]]
        assert names == ["x" * 64, "x" * 60 + " (2)", "phone", "phone (2)", "ab"]


async def test_the_password_of_two_phones_that_change_it_at_once_is_that_of_one(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        phones = [await served.add_phone(), await served.add_phone()]

        async def change(n: int) -> int:
            wanted = {"currentPassword": PASSWORD, "newPassword": f"another-password-{n}"}
            path = "/mobile/v1/user/password"
            answer = await client.patch(path, json=wanted, headers=bearer(phones[n]))
            return answer.status_code

        told = await asyncio.gather(change(0), change(1))
        assert sorted(told) == [204, 401]
        new = f"another-password-{told.index(204)}"
        answer = await client.get("/3rdparty/v1/devices", auth=(served.login, new))
        assert answer.status_code == 200


async def test_behind_a_trusted_proxy_a_phone_is_told_its_own_address(tmp_path: Path) -> None:
    async with serving(tmp_path, *GROUPS) as served, served.client(auth=None) as client:
        told = await client.get(DEVICE, headers={"X-Forwarded-For": "203.0.113.7"})
        assert told.json() == {"externalIp": "203.0.113.7"}  # the kit trusts the loopback
