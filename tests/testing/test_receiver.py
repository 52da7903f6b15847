"""The kit's receiver: it records what comes, answers as told, and never outlives its block."""

import time

import httpx
import pytest

from textgate.testing.receiver import Answer, Receiver


def test_a_call_is_recorded_as_it_came() -> None:
    with Receiver() as receiver:
        httpx.post(f"{receiver.url}/hook?key=1%202", content=b'{"a": 1}', headers={"X-Own": "v"})
        [call] = receiver.wait_for(1)
    assert (call.method, call.path, call.body) == ("POST", "/hook?key=1%202", b'{"a": 1}')
    assert (call.headers["x-own"], call.json) == ("v", {"a": 1})
    assert abs(call.at - time.time()) < 60


def test_a_script_is_played_once_and_then_all_is_well() -> None:
    answers = Answer(503, {"Retry-After": "7"}), Answer(204), Answer(410, body=b"gone")
    with Receiver(*answers) as receiver, httpx.Client() as client:
        said = [client.post(receiver.url) for _ in range(5)]
    assert [answer.status_code for answer in said] == [503, 204, 410, 200, 200]
    assert (said[0].headers["Retry-After"], said[2].text) == ("7", "gone")


def test_a_chooser_answers_what_no_script_covers() -> None:
    with Receiver(choose=lambda call: Answer(404 if call.path == "/no" else 200)) as receiver:
        receiver.script(Answer(500))
        said = [httpx.get(receiver.url + path).status_code for path in ("/no", "/no", "/yes")]
    assert said == [500, 404, 200]


def test_a_dropped_connection_gets_no_answer() -> None:
    with Receiver(Answer(drop=True)) as receiver:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(receiver.url, content=b"x")
        assert len(receiver.calls) == 1


def test_a_slow_answer_holds_up_nobody_else_and_not_the_end() -> None:
    began = time.monotonic()
    with Receiver(Answer(delay_s=60)) as receiver:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(receiver.url, timeout=0.2)
        assert httpx.post(receiver.url).status_code == 200
    assert time.monotonic() - began < 20


def test_waiting_in_vain_says_what_came() -> None:
    with Receiver() as receiver:
        httpx.post(f"{receiver.url}/only", content=b"this")
        with pytest.raises(TimeoutError, match=r"1 calls after 0\.1 s:\nPOST /only b'this'"):
            receiver.wait_for(2, timeout_s=0.1)
        receiver.clear()
        assert receiver.calls == []
