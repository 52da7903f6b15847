"""The client dials nothing that the guard refuses, and believes no far side without a proof."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from outbound_far_side import OK, Behaviour, FarSide, Line, far_side, keeps_answering, soon

from textgate.domain.errors import Invalid
from textgate.outbound.guard import Guard
from textgate.outbound.http import Failure, FailureKind, HttpClient, Reply

TLS = Path(__file__).parent.parent / "tls"
ITS_OWN_AUTHORITY = TLS / "localhost.pem"


@asynccontextmanager
async def client(guard: Guard, ca_file: Path | None = None) -> AsyncIterator[HttpClient]:
    http = HttpClient(guard, user_agent="Textgate/test", ca_file=ca_file)
    try:
        yield http
    finally:
        await http.close()


def tls_far_side(
    behave: Behaviour, *, host: str = "127.0.0.1", alpn: str = "http/1.1"
) -> AbstractAsyncContextManager[FarSide]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ITS_OWN_AUTHORITY, TLS / "localhost.key")
    context.set_alpn_protocols([alpn])
    return far_side(behave, host=host, tls=context)


async def all_public(_host: str, _port: int) -> list[str]:
    """What a resolver says that is asked for a harmless address first."""
    return ["93.184.215.14"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST.", "2130706433", "0x7f.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_refused_address_is_never_dialled(host: str, scheme: str) -> None:
    async with far_side(keeps_answering) as far, client(Guard()) as http:
        url = f"{scheme}://{host}:{far.port}/?token=sesame"
        ended = await http.request("POST", url, body=b"sesame", timeout=5)
        assert far.connections == 0
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.REFUSED, False)
    assert "a loopback address (127.0.0.0/8); TEXTGATE_ALLOW_ADDRESSES can allow it" in ended.detail
    assert "sesame" not in ended.detail


async def test_a_name_that_changes_its_address_after_the_check_is_refused_at_the_dial() -> None:
    guard = Guard(resolve=all_public)
    async with far_side(keeps_answering) as far, client(guard) as http:
        url = f"https://localhost:{far.port}/"
        await guard.check_registration(url)  # "localhost is a public address"
        ended = await http.request("POST", url, timeout=5)
        assert far.connections == 0
    assert isinstance(ended, Failure)
    assert ended.kind is FailureKind.REFUSED
    assert ended.detail.startswith("localhost is 127.0.0.1, which is a loopback address")


async def test_an_allowed_name_may_be_anywhere() -> None:
    async with far_side(keeps_answering) as far, client(Guard(["localhost"])) as http:
        assert isinstance(await http.request("GET", far.url(host="localhost"), timeout=5), Reply)
        ended = await http.request("GET", far.url(host="127.0.0.1"), timeout=5)
    assert isinstance(ended, Failure)
    assert ended.kind is FailureKind.REFUSED


async def test_a_kept_connection_serves_no_other_name() -> None:
    async with far_side(keeps_answering) as far, client(Guard(["localhost"])) as http:
        for _ in range(2):
            assert isinstance(
                await http.request("GET", far.url(host="localhost"), timeout=5), Reply
            )
            ended = await http.request("GET", far.url(host="127.0.0.1"), timeout=5)
            assert isinstance(ended, Failure)
        assert far.connections == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.215.14/",
        "http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        "https://10.1.2.3/",
        "https://[::ffff:10.1.2.3]/",
        "https://169.254.169.254/latest/meta-data",
        "ftp://example.com/",
        "https://user:sesame@example.com/",
        "https://exa mple.com/",
        "https:///nowhere",
    ],
)
async def test_a_url_that_breaks_the_rules_is_refused_before_anything_leaves(url: str) -> None:
    async with client(Guard()) as http:
        ended = await http.request("POST", url, timeout=5)
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.REFUSED, False)
    assert "sesame" not in ended.detail


async def test_a_certificate_of_nobody_we_know_is_refused(http: HttpClient) -> None:
    async with tls_far_side(keeps_answering) as far:
        ended = await http.request("POST", far.url(host="localhost"), timeout=5)
        assert far.requests == []
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.TLS, False)
    assert ended.detail.startswith(f"TLS with localhost:{far.port} failed: ")
    assert "self-signed" in ended.detail


async def called_over_tls(host: str, listen: str, guard: Guard) -> Reply | Failure:
    async with (
        tls_far_side(keeps_answering, host=listen) as far,
        client(guard, ITS_OWN_AUTHORITY) as http,
    ):
        return await http.request("POST", far.url(host=host), timeout=5)


async def test_an_authority_of_the_users_own_is_believed() -> None:
    reply = await called_over_tls("localhost", "127.0.0.1", Guard(allow_loopback=True))
    assert isinstance(reply, Reply)


async def test_a_certificate_for_another_name_is_refused() -> None:
    ended = await called_over_tls("127.0.0.2", "127.0.0.2", Guard(allow_loopback=True))
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.TLS, False)


async def test_nothing_is_said_to_a_far_side_that_does_not_speak_tls(http: HttpClient) -> None:
    heard = []

    async def speaks_plainly(line: Line) -> None:
        heard.append(await line.reader.read(65_536))
        await line.say(OK)

    async with far_side(speaks_plainly) as far:
        ended = await http.request(
            "POST", f"https://127.0.0.1:{far.port}/", body=b"sesame", timeout=5
        )
    assert b"sesame" not in heard[0]
    assert isinstance(ended, Failure)
    assert (ended.kind, ended.sent) == (FailureKind.TLS, False)


async def test_tls_connections_are_kept_too() -> None:
    async with tls_far_side(keeps_answering) as far:
        async with client(Guard(allow_loopback=True), ITS_OWN_AUTHORITY) as http:
            for _ in range(3):
                reply = await http.request("POST", far.url(host="localhost"), timeout=5)
                assert isinstance(reply, Reply)
        assert far.connections == 1


@pytest.mark.parametrize(("headers", "wants"), [([("Idempotency-Key", "k")], "h2"), ([], None)])
async def test_http_2_is_spoken_over_tls_by_requests_that_may_be_repeated(
    headers: list[tuple[str, str]], wants: str | None
) -> None:
    async def only_shakes_hands(_line: Line) -> None:
        return

    async with (
        tls_far_side(only_shakes_hands, alpn="h2") as far,
        client(Guard(allow_loopback=True), ITS_OWN_AUTHORITY) as http,
    ):
        ended = await http.request("POST", far.url(host="localhost"), headers=headers, timeout=5)
        assert isinstance(ended, Failure)
        assert far.alpn[0] == wants


def test_an_unusable_file_of_authorities_is_told_at_once(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(Invalid, match=r"empty\.pem holds no certificate"):
        HttpClient(Guard(), user_agent="t", ca_file=empty)
    with pytest.raises(Invalid, match=r"absent\.pem cannot be read: No such file"):
        HttpClient(Guard(), user_agent="t", ca_file=tmp_path / "absent.pem")


async def test_a_closed_client_hangs_up_and_leaves_no_file_open() -> None:
    async def once() -> None:
        async with far_side(keeps_answering) as plain, tls_far_side(keeps_answering) as tls:
            async with client(Guard(allow_loopback=True), ITS_OWN_AUTHORITY) as http:
                for far in (plain, tls):
                    reply = await http.request("POST", far.url(host="localhost"), timeout=5)
                    assert isinstance(reply, Reply)
                    assert not far.hung_up.is_set()
            await soon(plain.hung_up)
            await soon(tls.hung_up)

    def open_files() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    await once()
    before = open_files()
    for _ in range(3):
        await once()
    assert open_files() <= before
