"""Who waits for a verdict: what ends the waiting, and that the message goes on whatever ends it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from ingress_world import PROVIDER, SECRET, TEST, V1, V2, V3, Gate, gate
from serving import PASSWORD

from textgate.domain.lifecycle import State
from textgate.domain.message import Recipient, SendAttempt
from textgate.domain.signing import body_hex
from textgate.store.base import Tx
from textgate.store.sqlite import SqliteStore
from textgate.testing.far_side import Say
from textgate.testing.vault import VAULT

LIMITED = Say(body=b'{"code":"rate_limited"}')


async def reached(world: Gate, state: State) -> Recipient:
    """Return the only message's number once it is in ``state``."""
    async with asyncio.timeout(20):
        while (recipient := await world.recipient()).state is not state:
            await asyncio.sleep(0.002)
    return recipient


async def test_a_caller_who_hangs_up_does_not_stop_the_message(world: Gate) -> None:
    let_go = asyncio.Event()
    world.far.on(PROVIDER, Say(body=b'{"code":"ok"}', hold=let_go))
    asked = asyncio.create_task(world.send())
    await world.until_asked()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    let_go.set()
    await reached(world, State.SENT)
    assert world.far.count(PROVIDER) == 1


async def test_a_server_that_stops_does_not_keep_its_callers_waiting(world: Gate) -> None:
    let_go = asyncio.Event()
    world.far.on(PROVIDER, Say(body=b'{"code":"ok"}', hold=let_go))
    asked = asyncio.create_task(world.send())
    await world.until_asked()
    world.served.services.stopping.set()
    answer = await asyncio.wait_for(asked, 20)
    assert answer.json()["description"] == "Accepted, and not out yet"
    let_go.set()
    await reached(world, State.SENT)


async def test_what_is_cancelled_while_somebody_waits_is_told_as_rejected(world: Gate) -> None:
    world.far.on(PROVIDER, LIMITED)
    asked = asyncio.create_task(world.send())
    await world.until_waiting()
    [message] = await world.messages()
    cancelled = await world.api.delete(f"/v1/messages/{message.id}")
    assert cancelled.status_code == 200, cancelled.text
    answer = await asyncio.wait_for(asked, 20)
    assert (answer.status_code, answer.json()["code"]) == (500, "delivery_rejected")
    assert answer.json()["description"] == "Cancelled; before that: HTTP 200: rate_limited"


async def test_repeats_at_once_wait_for_the_one_message(world: Gate) -> None:
    let_go = asyncio.Event()
    world.far.on(PROVIDER, Say(body=b'{"code":"ok"}', hold=let_go))
    repeats = [asyncio.create_task(world.send(**{"Idempotency-Key": "k1"})) for _ in range(4)]
    await world.until_asked()
    let_go.set()
    answers = [await asyncio.wait_for(repeat, 20) for repeat in repeats]
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answers[0].json()["code"] == "ok"
    assert (world.far.count(PROVIDER), len(await world.messages())) == (1, 1)


async def test_a_repeat_of_what_surely_did_not_go_out_is_tried_anew(tmp_path: Path) -> None:
    async with gate(tmp_path, channel={"retry_waits": []}) as world:
        world.far.on(PROVIDER, LIMITED, LIMITED, Say(body=b'{"code":"ok"}'))
        codes = [(await world.send(**{"Idempotency-Key": "k1"})).json()["code"] for _ in range(4)]
        assert codes == ["rate_limited", "rate_limited", "ok", "ok"]
        assert (world.far.count(PROVIDER), len(await world.messages())) == (3, 3)


@pytest.mark.parametrize("code", ["invalid_phone_number", "unknown_error"])
async def test_a_repeat_of_what_is_final_or_may_be_out_is_not_tried_anew(
    tmp_path: Path, code: str
) -> None:
    channel = {"retry_waits": [], "settings": {"resend_unknown": False}}
    async with gate(tmp_path, channel=channel) as world:
        world.far.on(PROVIDER, Say(body=b'{"code":"%s"}' % code.encode()))
        for _ in range(2):
            assert (await world.send(**{"Idempotency-Key": "k1"})).json()["code"] == code
        assert world.far.count(PROVIDER) == 1


async def test_the_same_key_at_another_ingress_is_another_message(world: Gate) -> None:
    other = await world.api.post("/v1/ingresses", json={"name": "other", "allow_unsigned": True})
    assert (await world.send(**{"Idempotency-Key": "k1"})).status_code == 200
    there = await world.project.post(
        other.json()["url"], content=TEST, headers={"Idempotency-Key": "k1"}
    )
    assert there.status_code == 200
    assert len({message.id for message in await world.messages()}) == 2


def over(old: Recipient, state: State, reason: str | None = None) -> Recipient:
    """The number as somebody else leaves it, when its message has ended."""
    return msgspec.structs.replace(old, state=state, due_at=None, holder=None, reason=reason)


def attempt_at(old: Recipient, **said: Any) -> SendAttempt:
    """An attempt that ended as ``said``."""
    return SendAttempt(
        account_id=old.account_id,
        message_id=old.message_id,
        n=0,
        attempt=1,
        channel_id=old.lane,
        started_at=0,
        elapsed_ms=1.0,
        **said,
    )


async def waits(world: Gate, body: bytes = TEST) -> asyncio.Task[httpx.Response]:
    """Send where nobody carries messages, and return once the caller waits."""
    asked = asyncio.create_task(world.send(body))
    await world.until_stored()
    await world.until_asleep()
    return asked


async def test_what_another_process_does_is_noticed_within_a_second(tmp_path: Path) -> None:
    async with gate(tmp_path, engine=False) as world:
        asked = await waits(world)
        elsewhere = SqliteStore(tmp_path / "textgate.db", world.served.clock, VAULT)
        old = await world.recipient()
        assert await elsewhere.write(lambda tx: tx.recipients.move(old, over(old, State.SENT)))
        await elsewhere.close()
        world.served.clock.advance(1_000)
        answer = await asyncio.wait_for(asked, 20)
        info = {"provider_name": "shop", "provider_type": "webhook"}
        assert answer.json() == {"code": "ok", "info": info}


async def test_what_went_wrong_before_a_message_arrived_is_not_told(tmp_path: Path) -> None:
    async with gate(tmp_path, engine=False) as world:
        asked = await waits(world)
        old = await world.recipient()
        before = attempt_at(old, outcome="deferred", reason="rate_limited", code="E7", detail="no")

        def settle(tx: Tx) -> None:
            tx.recipients.add_attempt(before)
            assert tx.recipients.move(old, over(old, State.DELIVERED))

        await world.served.store.write(settle)
        answer = await asyncio.wait_for(asked, 20)
        info = {"provider_name": "shop", "provider_type": "webhook"}
        assert answer.json() == {"code": "ok", "info": info}


async def test_a_reason_in_a_providers_own_words_is_an_unknown_error(tmp_path: Path) -> None:
    async with gate(tmp_path, engine=False) as world:
        asked = await waits(world)
        old = await world.recipient()
        failed = over(old, State.FAILED, "on_holiday")
        assert await world.served.store.write(lambda tx: tx.recipients.move(old, failed))
        answer = await asyncio.wait_for(asked, 20)
        info = {"provider_name": "shop", "provider_type": "webhook"}
        assert (answer.status_code, answer.json()) == (500, {"code": "unknown_error", "info": info})


async def test_a_caller_whose_account_is_removed_is_told_that_nothing_goes_out(
    tmp_path: Path,
) -> None:
    async with gate(tmp_path, engine=False) as world:
        asked = await waits(world)
        await world.served.store.write(lambda tx: tx.accounts.remove(world.served.account.id))
        world.served.clock.advance(1_000)
        answer = await asyncio.wait_for(asked, 20)
        assert (answer.status_code, answer.json()["code"]) == (500, "delivery_rejected")


async def test_a_provider_that_repeats_the_message_is_not_quoted(tmp_path: Path) -> None:
    """Our own providers take care themselves; those of other packages may not."""
    async with gate(tmp_path, engine=False) as world:
        asked = await waits(world, V1.encode())
        old = await world.recipient()
        attempt = attempt_at(
            old,
            outcome="rejected",
            reason="delivery_rejected",
            code="E7",
            detail="the Harbour Shop sends 731904 to +85298765432, state a1b2",
        )

        def settle(tx: Tx) -> None:
            tx.recipients.add_attempt(attempt)
            assert tx.recipients.move(old, over(old, State.FAILED, "delivery_rejected"))

        await world.served.store.write(settle)
        answer = (await asyncio.wait_for(asked, 20)).json()
        assert answer["code"] == "delivery_rejected"
        assert answer["provider_error_code"] == "E7"
        assert answer["description"] == "the…ends … to …, state …"


async def test_a_message_from_outside_has_the_times_and_the_channel_of_its_ingress(
    world: Gate,
) -> None:
    added = await world.api.post(
        "/v1/channels", json={"provider": "simulator", "name": "sim", "settings": {}}
    )
    await world.change(channel=added.json()["id"], validity_s=60)
    assert (await world.send()).json()["info"] == {
        "provider_name": "sim",
        "provider_type": "simulator",
    }
    recipient = await world.recipient()
    [message] = await world.messages()
    assert recipient.deadline == message.created_at + 60_000
    assert recipient.lane == added.json()["id"]
    assert world.far.count(PROVIDER) == 0


async def test_a_channel_that_was_removed_is_told_as_our_trouble(world: Gate) -> None:
    added = await world.api.post(
        "/v1/channels", json={"provider": "simulator", "name": "sim", "settings": {}}
    )
    await world.change(channel=added.json()["id"])
    await world.api.delete(f"/v1/channels/{added.json()['id']}")
    answer = await world.send()
    assert (answer.status_code, answer.json()["code"]) == (500, "unknown_error")
    assert "channel of this ingress was removed" in answer.json()["description"]
    await world.change(budget_s=20)  # what is not touched need not be mended first
    await world.change(channel=None)
    assert (await world.send()).status_code == 200


async def test_a_megabyte_is_enough(world: Gate) -> None:
    most = b'{"to":"+6591230001","body":"x","new":"' + b"y" * (1024 * 1024 - 40) + b'"}'
    assert len(most) == 1024 * 1024
    assert (await world.send(most)).json()["code"] == "ok"
    answer = await world.send(most + b" ")
    assert answer.status_code == 413
    assert answer.json()["code"] == "invalid_request"
    assert answer.content.endswith(b"}\n")


async def test_a_text_that_no_message_can_hold_is_an_invalid_request(world: Gate) -> None:
    body = b'{"to":"+6591230001","body":"' + b"y" * 65_536 + b'"}'
    answer = await world.send(body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "65535" in answer.json()["description"]


async def test_an_address_of_another_dialect_is_none_of_this_one(world: Gate) -> None:
    await world.served.store.write(lambda tx: tx.run("UPDATE ingress SET dialect = 'of a package'"))
    answer = await world.send()
    assert (answer.status_code, await world.messages()) == (404, [])


async def test_a_fault_of_the_server_is_told_in_the_callers_format(world: Gate) -> None:
    await world.served.store.write(
        lambda tx: tx.run("UPDATE ingress SET secrets = 'what nobody can read'")
    )
    answer = await world.send()
    assert answer.status_code == 500
    assert answer.content == (
        b'{"code":"unknown_error","description":"failed to handle request","info":{}}\n'
    )


async def test_the_metrics_count_what_came_in(world: Gate) -> None:
    async def counted() -> float:
        text = (await world.api.get("/metrics")).text
        name = 'textgate_messages_accepted_total{door="ingress_authgear"} '
        return next((float(li.split()[-1]) for li in text.splitlines() if li.startswith(name)), 0.0)

    before = await counted()
    for _ in range(2):
        await world.send(**{"Idempotency-Key": "k1"})
    await world.send(TEST, **{"X-Authgear-Body-Signature": "wrong"})
    assert await counted() == before + 1


async def test_addresses_cannot_be_guessed_and_an_account_has_a_hundred(world: Gate) -> None:
    keys = {world.ingress["url"].rpartition("/")[2]}
    for n in range(99):
        added = await world.api.post("/v1/ingresses", json={"name": f"n{n}"})
        assert added.status_code == 201
        keys.add(added.json()["url"].rpartition("/")[2])
    assert len(keys) == 100
    assert {len(key) for key in keys} == {32}, "24 bytes of chance"
    one_more = await world.api.post("/v1/ingresses", json={"name": "one more"})
    assert one_more.status_code == 400


async def test_an_ingress_and_its_key_belong_to_one_account(world: Gate) -> None:
    other = await world.served.add_account()
    async with world.served.client(auth=(other.login, PASSWORD)) as stranger:
        path = f"/v1/ingresses/{world.ingress['id']}"
        answers: list[httpx.Response] = [
            await stranger.get(path),
            await stranger.patch(path, json={"enabled": False}),
            await stranger.post(f"{path}/rotate"),
            await stranger.post(f"{path}/secrets"),
            await stranger.delete(path),
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert (await stranger.get("/v1/ingresses")).json()["items"] == []
    assert (await world.send()).status_code == 200


async def test_a_signature_is_made_of_the_bytes_and_not_of_what_they_mean(world: Gate) -> None:
    signature = body_hex(SECRET, TEST)
    spaced = TEST.replace(b",", b", ")
    answer = await world.send(spaced, **{"X-Authgear-Body-Signature": signature})
    assert answer.status_code == 401


@pytest.mark.parametrize("body", [V1, V2, V3], ids=["V1", "V2", "V3"])
async def test_a_webhook_channel_passes_on_what_came_in_byte_for_byte(
    world: Gate, body: str
) -> None:
    assert (await world.send(body.encode())).status_code == 200
    [request] = world.far.requests[PROVIDER]
    assert request.body == body.encode()
