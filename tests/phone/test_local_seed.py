"""What the page "Webhooks" of the first edition promises, point by point (A §4.9), of a phone in
local mode that calls receivers over real HTTP."""

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from local_world import NUMBER, QUICK, LocalWorld, called, local_phone

from textgate.clock import SystemClock
from textgate.domain.event import DeliveryState
from textgate.domain.signing import timestamped_hex
from textgate.gateway import webhooks
from textgate.phone.accounts import own_account
from textgate.phone.ground import Reach, open_ground
from textgate.phone.incoming import Incoming
from textgate.store.base import Tx
from textgate.testing.clock import FakeClock
from textgate.testing.far_side import FarSide, Say

TLS = Path(__file__).parents[1] / "tls"
SECOND_MS = 1_000


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    return context


async def test_1_events_and_what_they_carry(tmp_path: Path) -> None:
    members = {
        "sms:received": ("message", "phoneNumber", "simNumber", "receivedAt"),
        "sms:sent": ("messageId", "phoneNumber", "simNumber", "sentAt"),
        "sms:delivered": ("messageId", "phoneNumber", "simNumber", "deliveredAt"),
        "sms:failed": ("messageId", "phoneNumber", "failedAt", "reason"),
        "system:ping": (),
    }
    async with FarSide() as far, local_phone(tmp_path) as world:
        for event in members:
            await world.hook(far.url + "/" + event.replace(":", "-"), event, event)
        await world.handset.receive(Incoming(sender=NUMBER, text="Android is a sweet treat!"))
        await world.send(simNumber=1)
        await world.send(simNumber=2)  # there is none
        await world.handset.ping()
        for event, wanted in members.items():
            [request] = await called(far, "/" + event.replace(":", "-"))
            assert request.json["event"] == event
            assert set(wanted) <= request.json["payload"].keys(), event
        received = far.requests["/sms-received"][0].json["payload"]
        assert received["message"] == "Android is a sweet treat!"


async def test_2_registering_without_a_device(tmp_path: Path) -> None:
    async with local_phone(tmp_path) as world:
        body = {"id": "unique", "url": "https://127.0.0.1:1/hook", "event": "sms:received"}
        made = await world.call("POST", "/webhooks", body, status=201)
        assert made == body | {"source": "Local"}


async def test_3_local_webhooks_are_apart_from_those_of_a_server(tmp_path: Path) -> None:
    def register(tx: Tx) -> None:
        account = own_account(tx, 1)
        webhooks.register(
            tx, account.id, id="cloud", url="https://127.0.0.1/", event="sms:sent", device_id=None
        )

    reach = Reach(version="1.68.0")
    async with open_ground(
        tmp_path, SystemClock(), reach, tell_network=lambda is_up: None
    ) as ground:
        await ground.store.write(register)
    async with local_phone(tmp_path) as world:
        await world.hook("https://127.0.0.1/local", "sms:sent", "local")
        assert [hook["id"] for hook in await world.call("GET", "/webhooks")] == ["local"]


async def test_4_removing_by_an_encoded_id(tmp_path: Path) -> None:
    async with local_phone(tmp_path) as world:
        await world.hook("https://127.0.0.1/hook", "sms:sent", "<unique-id>")
        await world.call("DELETE", "/webhooks/%3Cunique-id%3E", status=204)
        assert await world.call("GET", "/webhooks") == []


async def test_5_the_call_and_its_five_members(tmp_path: Path) -> None:
    async with (
        FarSide(tls()) as far,
        local_phone(tmp_path, ca_file=TLS / "localhost.pem") as world,
    ):
        await world.hook(far.url + "/hook", "sms:received", "my-id")
        await world.handset.receive(Incoming(sender="6505551212", text="hi", sim_number=None))
        [request] = await called(far, "/hook")
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"] == "me.capcom.smsgateway/1.68.0"
        said = request.json
        assert said.keys() == {"deviceId", "event", "id", "payload", "webhookId"}
        assert (said["deviceId"], said["webhookId"]) == (world.answering.device_id, "my-id")
        assert "simNumber" not in said["payload"]
        assert said["payload"]["phoneNumber"] == "6505551212"
        # Newer than that page: the signature of each attempt.
        at = int(request.headers["x-timestamp"])
        signature = timestamped_hex(world.answering.signing_key, request.body, at)
        assert request.headers["x-signature"] == signature


@pytest.mark.parametrize(
    ("says", "calls"),
    [
        ([Say(status=299)], 1),
        ([Say(delay_s=6.0)], 1),  # the app itself gives up after five seconds (A §4.6)
        ([Say(status=302, headers={"Location": "/hook"}), Say()], 2),
        ([Say(status=404), Say(status=410), Say(status=500), Say(status=204)], 4),
    ],
    ids=["2xx", "slow", "redirect", "others"],
)
async def test_6_what_counts_as_received(tmp_path: Path, says: list[Say], calls: int) -> None:
    clock = FakeClock()
    async with FarSide() as far, local_phone(tmp_path, clock=clock) as world:
        far.on("/hook", *says)
        await world.hook(far.url + "/hook", "sms:received")
        await world.handset.receive(Incoming(sender=NUMBER, text="hi"))
        for n in range(1, calls + 1):
            await world.until(lambda tx, n=n: len(world.calls(tx)) == n)  # type: ignore[misc]
            if n < calls:
                await world.pass_time(((await world.delivery()).due_at or 0) - clock.now())
        assert (await world.delivery()).state is DeliveryState.DELIVERED
        assert far.count("/hook") == calls
        assert len({request.json["id"] for request in far.requests["/hook"]}) == 1


async def schedule(world: LocalWorld, clock: FakeClock, far: FarSide) -> list[int]:
    """Have a webhook called that always fails; return the waits between calls, in seconds."""
    far.on("/hook", script=lambda request: Say(status=503, headers={"Retry-After": "7200"}))
    await world.hook(far.url + "/hook", "sms:received")
    await world.handset.receive(Incoming(sender=NUMBER, text="hi"))
    waits = []
    while True:
        await world.until(lambda tx: len(world.calls(tx)) == len(waits) + 1)
        delivery = await world.delivery()
        if delivery.due_at is None:
            assert delivery.state is DeliveryState.DEAD
            return waits
        waits.append((delivery.due_at - clock.now()) // SECOND_MS)
        await world.pass_time(delivery.due_at - clock.now())


async def test_7_ten_seconds_doubling_fourteen_times(tmp_path: Path) -> None:
    clock = FakeClock()
    async with FarSide() as far, local_phone(tmp_path, clock=clock) as world:
        assert await schedule(world, clock, far) == [10 * 2**n for n in range(14)]
        assert far.count("/hook") == 15


async def test_7_the_number_of_retries_can_be_set(tmp_path: Path) -> None:
    clock = FakeClock()
    async with FarSide() as far, local_phone(tmp_path, clock=clock) as world:
        await world.call("PATCH", "/settings", {"webhooks": {"retry_count": 3}})
        assert await schedule(world, clock, far) == [10, 20, 40]


async def test_8_self_signed_certificates(tmp_path: Path) -> None:
    """Only with the authority that was named; nobody else's is believed."""
    async with FarSide(tls()) as far:
        for name, ca_file in (("named", TLS / "localhost.pem"), ("unknown", None)):
            async with local_phone(tmp_path / name, ca_file=ca_file) as world:
                await world.hook(f"{far.url}/{name}", "sms:received")
                await world.handset.receive(Incoming(sender=NUMBER, text="hi"))
                await world.until(lambda tx: len(world.calls(tx)) == 1)
        assert [far.count("/named"), far.count("/unknown")] == [1, 0]


async def test_9_secrets_in_the_query_pass_untouched(tmp_path: Path) -> None:
    async with FarSide() as far, local_phone(tmp_path) as world:
        await world.hook(far.url + "/hook?key=a%20b&Key=%2F+c&empty=", "sms:received")
        await world.handset.receive(Incoming(sender=NUMBER, text="hi"))
        [request] = await called(far, "/hook")
        assert request.path == "/hook?key=a%20b&Key=%2F+c&empty="


async def test_10_pings_come_by_themselves(tmp_path: Path) -> None:
    """That page knows them without a payload; ours has the health of newer apps."""
    clock = FakeClock()
    async with FarSide() as far, local_phone(tmp_path, clock=clock) as world:
        await world.hook(far.url + "/ping", "system:ping")
        await world.call("PATCH", "/settings", {"ping": {"interval_seconds": 60}})
        async with asyncio.timeout(20):
            while far.count("/ping") < 2:
                wake = clock.next_wake()
                clock.advance(max(SECOND_MS, (wake or 0) - clock.now()))
                await asyncio.sleep(0.002)
        first, second = far.requests["/ping"][:2]
        assert first.json["payload"]["health"]["status"] == "pass"
        assert first.json["id"] != second.json["id"]


async def test_nothing_but_https_and_this_machine_is_called(tmp_path: Path) -> None:
    async with local_phone(tmp_path, behaviour=msgspec.structs.replace(QUICK)) as world:
        for url in refused():
            body = {"url": url, "event": "sms:sent"}
            said: Any = await world.call("POST", "/webhooks", body, status=400)
            assert said == {"message": "url must start with https:// or http://127.0.0.1"}


def refused() -> Iterable[str]:
    return (
        "http://localhost/hook",
        "http://127.0.0.2/hook",
        "http://127.0.0.1.nip.io/hook",
        "http://10.0.0.1/hook",
        "ftp://127.0.0.1/hook",
    )
