"""A real server is killed at each step of a message's life: nothing is lost, nothing is doubled
but what may be, and that by the same key."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest
from kill_world import NUMBER, TAKEN, TOLD, Broken, Installation, Line, message

from textgate.api.protocol import LARGEST
from textgate.testing.far_side import Say
from textgate.testing.server import Server, start_server

_numbers = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("kill")) as server:
        yield server


@pytest.fixture
async def house(server: Server) -> AsyncIterator[Installation]:
    async with Installation.of(server) as house:
        yield house
        await house.remove()


@pytest.fixture
def name() -> str:
    """A message id that no other story uses."""
    return f"m-{next(_numbers)}"


async def went_well(house: Installation, name: str, *, calls: int | None = None) -> None:
    """Wait for the end, then insist: sent, by one key and one text; told, by one event."""
    heard = house.sinks.heard
    await house.sinks.until(lambda: heard.told(name))
    await house.state_becomes(name, "Sent")
    assert len(heard.keys[name]) == 1
    [(event_id, type_)] = heard.told(name)
    assert type_ == "sms:sent"
    assert (await house.feed())[name] == [(event_id, "sms:sent")]
    if calls is not None:
        assert heard.provider_calls(name) == calls


@pytest.mark.parametrize("missing", [1, 2 * LARGEST], ids=["short way", "long way"])
async def test_killed_while_the_request_is_read_nothing_exists(
    house: Installation, name: str, missing: int
) -> None:
    half, unended = f"{name}-half", Line(house.server)
    await unended.call("GET", "/health")  # the line is open
    await unended.send("POST", "/3rdparty/v1/messages", message(half), missing=missing)
    await house.submit(name)  # it came later, so all there is of the other has been read
    await house.kill()
    unended.close()
    await house.start()
    status, _ = await house.line.call("GET", f"/3rdparty/v1/messages/{half}")
    assert status == 404
    await went_well(house, name)
    assert house.sinks.heard.provider_calls(half) == 0


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.003])
async def test_killed_while_it_accepts_a_message_is_there_whole_or_not_at_all(
    house: Installation, name: str, after_s: float
) -> None:
    line = Line(house.server)
    await line.send("POST", "/3rdparty/v1/messages", message(name))
    await asyncio.sleep(after_s)
    await house.kill()
    await house.start()
    status, found = await house.line.call("GET", f"/3rdparty/v1/messages/{name}")
    assert status in (200, 404)
    if status == 200:
        assert [r["phoneNumber"] for r in found["recipients"]] == [NUMBER]
    await house.submit(name)  # the caller, who knows nothing, repeats
    await went_well(house, name)


async def test_killed_after_the_commit_and_before_the_answer_a_repeat_makes_no_second_message(
    house: Installation, name: str
) -> None:
    line, heard = Line(house.server), house.sinks.heard
    house.sinks.on_provider = Say(hold=asyncio.Event())
    await line.send("POST", "/3rdparty/v1/messages", message(name))
    await house.sinks.until(lambda: heard.provider_calls(name))  # so it is on disk
    await house.kill()  # and the caller has not read the answer
    house.sinks.on_provider = TAKEN
    await house.start()
    await house.submit(name)
    await went_well(house, name, calls=2)


async def test_killed_right_after_the_answer_the_message_is_sent(
    house: Installation, name: str
) -> None:
    await house.submit(name)
    await house.kill()
    await house.start()
    await went_well(house, name)


async def test_killed_with_a_message_waiting_in_memory_it_is_sent_once(
    server: Server, name: str
) -> None:
    async with Installation.of(server, max_in_flight=1) as house:
        house.sinks.on_provider = Say(hold=asyncio.Event())
        await house.submit(f"{name}-first")
        await house.sinks.until(lambda: house.sinks.holding)
        await house.submit(name)
        await house.kill()
        house.sinks.on_provider = TAKEN
        await house.start()
        await went_well(house, name, calls=1)
        await went_well(house, f"{name}-first", calls=2)
        await house.remove()


async def test_killed_while_the_provider_thinks_the_message_is_repeated_by_its_key(
    house: Installation, name: str
) -> None:
    house.sinks.on_provider = Say(hold=asyncio.Event())
    await house.submit(name)
    await house.sinks.until(lambda: house.sinks.holding)
    await house.kill()
    house.sinks.on_provider = TAKEN
    await house.start()
    await went_well(house, name, calls=2)


async def test_killed_while_a_provider_thinks_that_must_not_be_repeated_the_message_fails(
    server: Server, name: str
) -> None:
    async with Installation.of(server, settings={"resend_unknown": False}) as house:
        house.sinks.on_provider = Say(hold=asyncio.Event())
        await house.submit(name)
        await house.sinks.until(lambda: house.sinks.holding)
        await house.kill()
        house.sinks.on_provider = TAKEN
        await house.start()
        heard = house.sinks.heard
        await house.sinks.until(lambda: heard.told(name))
        assert [type_ for _, type_ in heard.told(name)] == ["sms:failed"]
        assert await house.state(name) == "Failed"
        assert heard.provider_calls(name) == 1
        await house.remove()


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.004])
async def test_killed_when_the_provider_has_answered_the_message_is_sent(
    house: Installation, name: str, after_s: float
) -> None:
    go = asyncio.Event()
    house.sinks.on_provider = Say(body=TAKEN.body, hold=go)
    await house.submit(name)
    await house.sinks.until(lambda: house.sinks.holding)
    go.set()
    while house.sinks.holding:
        await asyncio.sleep(0)
    await asyncio.sleep(after_s)
    await house.kill()
    await house.start()
    await went_well(house, name)
    assert house.sinks.heard.provider_calls(name) <= 2


async def test_killed_while_the_webhook_thinks_it_is_called_again_with_the_same_id(
    house: Installation, name: str
) -> None:
    house.sinks.on_hook = Say(status=204, hold=asyncio.Event())
    await house.submit(name)
    await house.sinks.until(lambda: house.sinks.holding)
    await house.kill()
    house.sinks.on_hook = TOLD
    await house.start()
    heard = house.sinks.heard
    await house.sinks.until(lambda: heard.told(name).total() == 2)
    await went_well(house, name, calls=1)


@pytest.mark.parametrize("after_s", [0.0, 0.002])
async def test_killed_when_the_webhook_has_answered_it_is_called_at_most_once_more(
    house: Installation, name: str, after_s: float
) -> None:
    go = asyncio.Event()
    house.sinks.on_hook = Say(status=204, hold=go)
    await house.submit(name)
    await house.sinks.until(lambda: house.sinks.holding)
    go.set()
    while house.sinks.holding:
        await asyncio.sleep(0)
    await asyncio.sleep(after_s)
    await house.kill()
    await house.start()
    await settled(house, name)
    await went_well(house, name, calls=1)
    assert house.sinks.heard.told(name).total() <= 2


async def settled(house: Installation, name: str) -> None:
    """Wait until nothing is owed to the webhook."""
    async with asyncio.timeout(30):
        while await undelivered(house, name):
            await asyncio.sleep(0.05)


async def undelivered(house: Installation, name: str) -> list[Any]:
    page = await house.ask("GET", f"/v1/messages/{name}/deliveries")
    return [item for item in page["items"] if item["state"] != "delivered"]


async def test_killed_four_times_at_the_same_step_it_goes_on_all_the_same(
    house: Installation, name: str
) -> None:
    house.sinks.on_provider = Say(hold=asyncio.Event())
    await house.submit(name)
    for _ in range(3):
        await house.sinks.until(lambda: house.sinks.holding)
        await house.kill()
        while house.sinks.holding:  # until it has noticed
            await asyncio.sleep(0.01)
        await house.start()
    await house.sinks.until(lambda: house.sinks.holding)
    house.sinks.on_provider = TAKEN
    await house.kill()
    await house.start()
    await went_well(house, name, calls=5)


async def test_a_dead_server_is_a_broken_connection_and_not_a_lie(house: Installation) -> None:
    await house.kill()
    with pytest.raises(Broken):
        await house.line.call("POST", "/3rdparty/v1/messages", message("nobody"))
    await house.start()
    status, _ = await house.line.call("GET", "/3rdparty/v1/messages/nobody")
    assert status == 404
