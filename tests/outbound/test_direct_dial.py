"""Whom plain http dials: the addresses that the guard permits, and no others.

The names are looked up in a resolver of the test's own, put where the loop asks the system's.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from outbound_direct import client
from outbound_far_side import OK, Line, deaf, far_side, keeps_answering

from textgate.outbound.direct import DirectClient
from textgate.outbound.guard import Guard
from textgate.outbound.reply import Failure, FailureKind, Reply

Names = dict[str, list[str]]


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What the resolver knows; a test may change it."""
    known: Names = {}
    real = asyncio.get_running_loop().getaddrinfo

    async def look_up(host: str, port: int, **how: Any) -> list[tuple[Any, ...]]:
        if host[:1].isdigit():  # the loop itself asks so, to split an address into its parts
            return await real(host, port, **how)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = []
        for address in known[host]:
            family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
            found.append((family, socket.SOCK_STREAM, 6, "", (address, port)))
        return found

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    return known


@contextlib.contextmanager
def untouched(address: str, port: int) -> Iterator[None]:
    """A place that nobody must dial."""
    with socket.create_server((address, port)) as trap:
        trap.setblocking(False)
        yield
        with pytest.raises(BlockingIOError):
            trap.accept()


async def call(direct: DirectClient, url: str, timeout: float = 5) -> Reply | Failure:
    return await direct.request("POST", url, timeout=timeout)


@pytest.mark.parametrize("refused_first", [True, False])
async def test_of_a_names_addresses_only_the_permitted_ones_are_dialled(
    names: Names, refused_first: bool
) -> None:
    places = ["127.0.0.1", "127.0.0.2"]
    names["far.example"] = places if refused_first else places[::-1]
    async with (
        client(Guard(["127.0.0.2/32"])) as direct,
        far_side(keeps_answering, host="127.0.0.2") as far,
    ):
        with untouched("127.0.0.1", far.port):
            for _ in range(3):
                assert isinstance(await call(direct, far.url(host="far.example")), Reply)


async def test_a_name_with_a_public_and_a_private_address_reaches_neither(names: Names) -> None:
    names["far.example"] = ["93.184.215.14", "10.0.0.1"]
    async with client(Guard()) as direct:
        ended = await call(direct, "http://far.example/?token=sesame")
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.REFUSED, False)
    assert "plain http needs an address named in TEXTGATE_ALLOW_ADDRESSES" in ended.detail
    assert "sesame" not in ended.detail


async def test_a_name_that_is_nowhere_permitted_is_refused_in_the_words_of_the_guard(
    names: Names,
) -> None:
    async with client(Guard()) as direct, far_side(keeps_answering) as far:
        names["far.example"] = ["127.0.0.1"]
        ended = await call(direct, far.url(host="far.example"))
        assert far.connections == 0
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.REFUSED, False)
    assert ended.detail == (
        "far.example is 127.0.0.1, which is a loopback address (127.0.0.0/8);"
        " TEXTGATE_ALLOW_ADDRESSES can allow it"
    )


async def test_a_name_is_checked_anew_for_each_connection(names: Names) -> None:
    async def once(line: Line) -> None:
        await line.request()
        await line.say(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    names["far.example"] = ["127.0.0.2"]
    async with client(Guard(["127.0.0.2/32"])) as direct, far_side(once, host="127.0.0.2") as far:
        with untouched("127.0.0.1", far.port):
            assert isinstance(await call(direct, far.url(host="far.example")), Reply)
            names["far.example"] = ["127.0.0.1"]
            ended = await call(direct, far.url(host="far.example"))
    assert isinstance(ended, Failure)
    assert ended.kind is FailureKind.REFUSED


async def test_a_kept_connection_serves_no_other_name(names: Names) -> None:
    names["one.example"] = names["other.example"] = ["127.0.0.1"]
    async with (
        client(Guard(["one.example", "other.example"])) as direct,
        far_side(keeps_answering) as far,
    ):
        for host in ("one.example", "other.example", "one.example", "other.example"):
            assert isinstance(await call(direct, far.url(host=host)), Reply)
        assert far.connections == 2
        ended = await call(direct, far.url(host="127.0.0.1"))
    assert isinstance(ended, Failure)
    assert ended.kind is FailureKind.REFUSED


async def test_an_address_where_nobody_listens_costs_no_time(names: Names) -> None:
    names["far.example"] = [f"127.0.0.{last}" for last in range(9, 0, -1)]
    async with client(Guard(["127.0.0.0/8"])) as direct, far_side(keeps_answering) as far:
        reply = await call(direct, far.url(host="far.example"))
    assert isinstance(reply, Reply)
    assert reply.elapsed_ms < 1000


async def test_an_address_that_does_not_answer_costs_a_moment_only(names: Names) -> None:
    names["far.example"] = ["127.0.0.2", "127.0.0.1"]
    async with client(Guard(["127.0.0.0/8"])) as direct, far_side(keeps_answering) as far:
        with deaf("127.0.0.2", far.port):
            reply = await call(direct, far.url(host="far.example"))
    assert isinstance(reply, Reply)
    assert 200 < reply.elapsed_ms < 2000


async def test_a_name_that_nobody_answers_at(names: Names) -> None:
    names["far.example"] = ["127.0.0.2", "127.0.0.3"]
    async with client(Guard(["127.0.0.0/8"])) as direct, far_side(keeps_answering) as far:
        ended = await call(direct, far.url(host="far.example"))
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.CONNECT, False)
    assert ended.detail == f"far.example:{far.port} cannot be reached: Connection refused"


@pytest.mark.parametrize("host", ["nobody.example", "nobody.onion"])
async def test_a_name_that_nobody_knows(names: Names, host: str) -> None:
    names["nobody.onion"] = ["127.0.0.1"]  # not to be asked for (RFC 7686)
    async with client(Guard(["127.0.0.0/8"])) as direct:
        ended = await call(direct, f"http://{host}/")
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.RESOLVE, False)
    assert ended.detail == f"{host} cannot be resolved"


async def test_a_resolver_that_does_not_answer_is_waited_for_no_longer_than_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def says_nothing(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", says_nothing)
    async with client(Guard(["127.0.0.0/8"])) as direct:
        ended = await call(direct, "http://far.example/", timeout=0.1)
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.TIMEOUT, False)
    assert ended.detail == "far.example:80 was not reached within 0.1 s"
