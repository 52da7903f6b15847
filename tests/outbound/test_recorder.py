"""What a recorder remembers of calls, what it hides, and that it changes nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from textgate.outbound.guard import Guard
from textgate.outbound.http import Failure, FailureKind, HttpClient, Reply
from textgate.outbound.recorder import MAX_BODY, MAX_EXCHANGES, MAX_URL, Recorder
from textgate.testing.far_side import FarSide, Say

SECRET = "p&ss/w\u00f6rd 7"


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    async with FarSide() as far:
        yield far


async def test_who_calls_gets_what_it_would_get_without_the_recorder(
    http: HttpClient, far: FarSide
) -> None:
    url = far.on("/a", script=lambda _: Say(201, b"made", {"X-Name": "value"}))
    recorder = Recorder(http)
    for keep in (True, False):
        bare = await http.request("POST", url, body=b"b", timeout=5, keep_headers=keep)
        seen = await recorder.request("POST", url, body=b"b", timeout=5, keep_headers=keep)
        assert isinstance(bare, Reply)
        assert isinstance(seen, Reply)
        assert (seen.status, seen.body, seen.headers) == (bare.status, bare.body, bare.headers)
    assert bool(seen.headers) is False
    assert [one.answer and one.answer.headers["x-name"] for one in recorder.exchanges] == [
        "value",
        "value",
    ]


async def test_a_secret_is_hidden_in_each_form_in_which_it_goes_over_the_line(
    http: HttpClient, far: FarSide
) -> None:
    said = b'{"plain": "p&ss/w\xc3\xb6rd 7", "escaped": "p&ss/w\\u00f6rd 7"}'
    url = far.on("/a", Say(200, said))
    recorder = Recorder(http, [SECRET])
    await recorder.request(
        "POST",
        f"{url}?one=p%26ss%2Fw%C3%B6rd%207&two=p%26ss%2Fw%C3%B6rd+7&three=3",
        headers=[("X-Mine", "is p%26ss%2Fw%C3%B6rd%207")],
        body=SECRET.encode(),
        timeout=5,
    )
    [one] = recorder.exchanges
    assert one.request.url == f"{url}?one=…&two=…&three=3"
    assert one.request.headers == {"X-Mine": "is …"}
    assert one.request.body == "…"
    assert one.answer is not None
    assert one.answer.body == '{"plain": "…", "escaped": "…"}'


async def test_headers_that_sign_or_let_somebody_in_are_hidden_by_their_name(
    http: HttpClient, far: FarSide
) -> None:
    names = ["Authorization", "Cookie", "X-Hub-Signature-256", "X-Api-Key", "apikey", "X-Token"]
    recorder = Recorder(http)
    await recorder.request(
        "POST",
        far.on("/a"),
        headers=[*((name, "who knows") for name in names), ("Idempotency-Key", "k-1")],
        timeout=5,
    )
    shown = recorder.exchanges[0].request.headers
    assert {shown.pop(name) for name in names} == {"********"}
    assert shown == {"Idempotency-Key": "k-1"}


async def test_a_failure_is_remembered_with_its_words_and_whether_a_byte_left(
    http: HttpClient, far: FarSide
) -> None:
    recorder = Recorder(http)
    failed = await recorder.request("POST", far.on("/a", Say(drop=True)), body=b"b", timeout=5)
    assert isinstance(failed, Failure)
    [one] = recorder.exchanges
    assert one.answer is None
    assert one.failure is not None
    assert (one.failure.kind, one.failure.detail) == (FailureKind.BROKEN, failed.detail)
    assert one.request.sent is failed.sent is True


async def test_a_failure_that_repeats_a_secret_is_remembered_without_it() -> None:
    async def nobody(host: str, port: int) -> list[str]:
        return []

    http = HttpClient(Guard(resolve=nobody), user_agent="Textgate/test")
    recorder = Recorder(http, ["key-of-the-account"])
    failed = await recorder.request("GET", "https://key-of-the-account.example/", timeout=5)
    await http.close()
    [one] = recorder.exchanges
    assert isinstance(failed, Failure)
    assert failed.detail == "key-of-the-account.example cannot be resolved"
    assert one.failure is not None
    assert one.failure.detail == "….example cannot be resolved"


async def test_a_call_that_was_given_up_is_there_without_an_end(
    http: HttpClient, far: FarSide
) -> None:
    recorder = Recorder(http)
    url = far.on("/a", Say(hold=asyncio.Event()))
    call = asyncio.ensure_future(recorder.request("POST", url, body=b"b", timeout=5))
    async with asyncio.timeout(5):
        while not far.holding:
            await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    [one] = recorder.exchanges
    assert (one.answer, one.failure) == (None, None)


async def test_bodies_and_urls_are_cut_where_they_would_be_too_much_to_read(
    http: HttpClient, far: FarSide
) -> None:
    url = far.on("/a", Say(200, b"a" * (MAX_BODY + 1)), Say(200, b"a" * MAX_BODY))
    recorder = Recorder(http)
    await recorder.request("POST", url, body=b"b" * MAX_BODY, timeout=5)
    await recorder.request("POST", url, body=b"b" * MAX_BODY + b"c", timeout=5)
    await recorder.request("POST", f"{url}?{'q' * MAX_URL}", timeout=5)  # refused
    first, second, third = recorder.exchanges
    assert first.answer is not None
    assert second.answer is not None
    assert len(third.request.url) == MAX_URL
    assert [first.request.body_cut, second.request.body_cut] == [False, True]
    assert [first.answer.body_cut, second.answer.body_cut] == [True, False]
    assert second.request.body == "b" * MAX_BODY


async def test_a_cut_never_leaves_half_of_a_secret(http: HttpClient, far: FarSide) -> None:
    body = b"b" * (MAX_BODY - 4) + b"abcdefgh-the-secret"
    recorder = Recorder(http, ["abcdefgh-the-secret"])
    await recorder.request("POST", far.on("/a"), body=body, timeout=5)
    assert recorder.exchanges[0].request.body == "b" * (MAX_BODY - 4) + "…"


async def test_more_calls_than_are_shown_are_made_and_counted(
    http: HttpClient, far: FarSide
) -> None:
    recorder, url = Recorder(http), far.on("/a")
    for _ in range(MAX_EXCHANGES + 3):
        await recorder.request("GET", url, timeout=5)
    assert far.count("/a") == MAX_EXCHANGES + 3
    assert (len(recorder.exchanges), recorder.left_out) == (MAX_EXCHANGES, 3)


async def test_what_is_no_text_is_shown_as_far_as_it_is_one(http: HttpClient, far: FarSide) -> None:
    recorder = Recorder(http)
    await recorder.request("POST", far.on("/a", Say(200, b"\xff\x00ok")), timeout=5)
    answer = recorder.exchanges[0].answer
    assert answer is not None
    assert answer.body.endswith("ok")
    assert "\x00" not in answer.body
