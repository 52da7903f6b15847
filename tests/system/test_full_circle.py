"""A full circle on one machine: A's webhook channel → B's Authgear ingress → B's script → a sink.

Two real servers. What the sink says to B's script is what A shows of its own message.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from system_world import client, until

from textgate.testing.receiver import Answer, Call, Receiver
from textgate.testing.server import Server, start_server

SECRET = "a-secret-that-both-servers-know"
CONTEXT = {
    "app_id": "harbour-shop",
    "template_name": "forgot_password_oob_sms.txt",
    "language_tag": "zh-TW",
    "template_variables": {
        "app_name": "港口商店 & Söhne",
        "code": "645200",
        "has_password": True,
        "host": "auth.harbour.example",
        "ui_locales": "zh-TW+en",
    },
}
BUDGET_S = 1
"""So long B lets A wait, where the sink does not speak before A was told."""
HELD_S = 30.0
"""A sink that nobody lets speak says something after this, so that no test hangs."""

SCRIPT = """\
import { CustomSMSGatewayPayload, CustomSMSGatewayResponse } from "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";

export default async function (sms: CustomSMSGatewayPayload): Promise<CustomSMSGatewayResponse> {
  const answer = await fetch("SINK", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(sms),
  });
  if (answer.ok) return { code: "ok" };
  const problem = await answer.json();
  return { code: problem.code, provider_error_code: String(problem.number) };
}
"""


class SlowSink(Receiver):
    """Speaks at once, unless it is held: then when it is let go."""

    def __init__(self) -> None:
        super().__init__(choose=self._speak)
        self._may_speak = threading.Event()
        self._may_speak.set()
        self._says = Answer()

    @contextmanager
    def held(self, says: Answer | None = None) -> Iterator[None]:
        """Keep ``says`` (else 200) back until the end."""
        self._says = says or Answer()
        self._may_speak.clear()
        try:
            yield
        finally:
            self._may_speak.set()

    def _speak(self, _: Call) -> Answer:
        if self._may_speak.is_set():
            return Answer()
        self._may_speak.wait(HELD_S)
        return self._says


@dataclass
class Circle:
    """Two servers, each as its first account sees it, and what stands at both ends."""

    server: Server
    """A."""
    a: httpx.Client
    b: httpx.Client
    sink: SlowSink
    told: Receiver
    """Of A's events."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def way(self, name: str, *, secret: str = SECRET, **more: Any) -> str:
        """Make an ingress of B and A's channel to it; return the channel's id.

        ``more``: further members, of the ingress or (``retry_waits``) of the channel.
        """
        waits = more.pop("retry_waits", [])
        ingress = add(self.b, "/v1/ingresses", {"name": name, "secrets": [SECRET], **more})
        url = self.b.base_url.join(ingress["url"])
        settings = {"url": str(url), "signature_key": secret, "timeout": 20}
        channel = {"provider": "webhook", "name": name, "settings": settings}
        return str(add(self.a, "/v1/channels", channel | {"retry_waits": waits})["id"])

    def send(self, channel: str, **more: Any) -> dict[str, Any]:
        """Let A send to a number that nobody has been sent to."""
        wanted = {"to": f"+41790{next(self._numbers):06d}", "text": "645200 it is\n", **more}
        return add(self.a, "/v1/messages", {"channel": channel, **wanted})

    def ended(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Return A's message when it is decided."""
        message: dict[str, Any] = until(
            lambda: is_over(found := get(self.a, f"/v1/messages/{sent['id']}")) and found
        )
        return message

    def attempts(self, sent: dict[str, Any]) -> list[dict[str, Any]]:
        """A's attempts, the last first."""
        items = get(self.a, f"/v1/messages/{sent['id']}/attempts")["items"]
        return sorted(items, key=lambda one: one["attempt"], reverse=True)

    def event(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Return the one event of the message that A's webhooks were told of."""

        def told(calls: list[Call]) -> list[dict[str, Any]]:
            events = [call.json for call in calls]
            return [one for one in events if one["payload"]["messageId"] == sent["id"]]

        [event] = told(self.told.wait_until(lambda calls: bool(told(calls))))
        return dict(event)

    def at_sink(self, sent: dict[str, Any]) -> list[dict[str, Any]]:
        """What the sink was told of the message."""
        return [call.json for call in self.sink.calls if call.json["to"] == number_of(sent)]

    def at_b(self, sent: dict[str, Any]) -> list[dict[str, Any]]:
        """B's messages to the same number."""
        items = get(self.b, "/v1/messages?limit=100")["items"]
        return [one for one in items if number_of(one) == number_of(sent)]


def add(api: httpx.Client, path: str, wanted: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=wanted)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def get(api: httpx.Client, path: str) -> Any:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def number_of(message: dict[str, Any]) -> str:
    return str(message["recipients"][0]["number"])


def is_over(message: dict[str, Any]) -> bool:
    return message["state"] in ("Sent", "Delivered", "Failed")


def refusal(code: str, number: int = 21606) -> Answer:
    return Answer(422, body=json.dumps({"code": code, "number": number}).encode())


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Circle]:
    folder = tmp_path_factory.mktemp("circle")
    with ExitStack() as stack:
        a = stack.enter_context(start_server(folder / "a"))
        b = stack.enter_context(start_server(folder / "b"))
        circle = Circle(
            server=a,
            a=stack.enter_context(client(a, transport=httpx.HTTPTransport(retries=2))),
            b=stack.enter_context(client(b)),
            sink=stack.enter_context(SlowSink()),
            told=stack.enter_context(Receiver()),
        )
        script = {"source": SCRIPT.replace("SINK", f"{circle.sink.url}/sms"), "timeout": 20}
        carrier = {"provider": "script", "name": "carrier", "settings": script, "retry_waits": []}
        add(circle.b, "/v1/channels", carrier)
        for event in ("sms:sent", "sms:failed"):
            add(circle.a, "/v1/webhooks", {"url": circle.told.url, "event": event})
        yield circle


@pytest.fixture(scope="module")
def way(circle: Circle) -> str:
    return circle.way("usual")


def test_a_message_goes_the_whole_way_with_all_that_travels_with_it(
    circle: Circle, way: str
) -> None:
    sent = circle.send(way, context=CONTEXT)
    assert circle.ended(sent)["state"] == "Sent"
    assert circle.at_sink(sent) == [{"to": number_of(sent), "body": "645200 it is\n", **CONTEXT}]
    assert [(one["outcome"], one["code"]) for one in circle.attempts(sent)] == [("accepted", None)]
    assert circle.event(sent)["event"] == "sms:sent"
    assert [one["state"] for one in circle.at_b(sent)] == ["Sent"]


def test_what_a_message_does_not_bring_arrives_empty(circle: Circle, way: str) -> None:
    sent = circle.send(way)
    assert circle.ended(sent)["state"] == "Sent"
    empty = {"app_id": "", "template_name": "", "language_tag": "", "template_variables": {}}
    assert circle.at_sink(sent) == [{"to": number_of(sent), "body": "645200 it is\n", **empty}]


@pytest.mark.parametrize(
    ("code", "reason", "outcome"),
    [
        ("invalid_phone_number", "invalid_number", "rejected"),
        ("rate_limited", "rate_limited", "deferred"),
        ("authentication_failed", "authentication_failed", "rejected"),
        ("delivery_rejected", "delivery_rejected", "rejected"),
        ("unsupported_request", "unsupported", "rejected"),
    ],
)
def test_why_the_script_failed_and_the_provider_s_own_code_are_shown_at_the_other_end(
    circle: Circle, way: str, code: str, reason: str, outcome: str
) -> None:
    circle.sink.script(refusal(code))
    sent = circle.send(way)
    message = circle.ended(sent)
    [attempt] = circle.attempts(sent)
    [at_b] = circle.at_b(sent)
    assert (message["state"], message["recipients"][0]["reason"]) == ("Failed", reason)
    assert (attempt["outcome"], attempt["reason"], attempt["code"]) == (outcome, reason, "21606")
    assert code in attempt["detail"]
    assert (at_b["state"], at_b["recipients"][0]["reason"]) == ("Failed", reason)
    event = circle.event(sent)
    assert event["event"] == "sms:failed"
    assert event["payload"]["reason"] == message["recipients"][0]["error"]
    assert len(circle.at_sink(sent)) == 1


def test_with_another_secret_nothing_gets_past_the_door_and_a_says_so(circle: Circle) -> None:
    sent = circle.send(circle.way("another secret", secret=f"not-{SECRET}"))
    message = circle.ended(sent)
    [attempt] = circle.attempts(sent)
    assert message["recipients"][0]["reason"] == "authentication_failed"
    assert (attempt["outcome"], attempt["reason"]) == ("rejected", "authentication_failed")
    assert "HTTP 401" in attempt["detail"]
    assert (circle.at_b(sent), circle.at_sink(sent)) == ([], [])


# --- B has no verdict in time ---


def test_a_way_that_says_ok_when_its_time_is_over_lets_a_go_before_the_sink_has_spoken(
    circle: Circle,
) -> None:
    patient = circle.way("ok in the end", budget_s=BUDGET_S, on_timeout="ok")
    with circle.sink.held():
        sent = circle.send(patient)
        assert circle.ended(sent)["state"] == "Sent"
        [at_b] = circle.at_b(sent)
        assert not is_over(at_b), "the sink has not answered, so it is too early to know"
    until(lambda: circle.at_b(sent)[0]["state"] == "Sent")
    assert len(circle.at_sink(sent)) == 1


def test_a_way_that_says_timeout_leaves_a_in_doubt_and_b_goes_on(circle: Circle) -> None:
    strict = circle.way("timeout in the end", budget_s=BUDGET_S, on_timeout="timeout")
    with circle.sink.held():
        sent = circle.send(strict)
        message = circle.ended(sent)
    [attempt] = circle.attempts(sent)
    assert (message["state"], message["recipients"][0]["reason"]) == ("Failed", "timeout")
    assert (attempt["outcome"], attempt["reason"]) == ("unknown", "timeout")
    until(lambda: circle.at_b(sent)[0]["state"] == "Sent")
    assert len(circle.at_sink(sent)) == 1


# --- A repeats ---


def test_a_repeat_after_a_timeout_gets_the_verdict_of_the_first_and_is_not_sent_again(
    circle: Circle,
) -> None:
    again = circle.way("repeated", budget_s=BUDGET_S, on_timeout="timeout", retry_waits=[2])
    with circle.sink.held(refusal("delivery_rejected")):
        sent = circle.send(again)
        until(lambda: any(one["outcome"] for one in circle.attempts(sent)))
    message = circle.ended(sent)
    last, first = circle.attempts(sent)
    assert (first["outcome"], first["reason"]) == ("unknown", "timeout")
    assert (last["outcome"], last["reason"]) == ("rejected", "delivery_rejected")
    assert last["code"] == "21606"
    assert message["recipients"][0]["reason"] == "delivery_rejected"
    assert (len(circle.at_b(sent)), len(circle.at_sink(sent))) == (1, 1)


def test_what_surely_did_not_go_out_is_tried_anew_when_a_repeats(circle: Circle) -> None:
    again = circle.way("limited", retry_waits=[1])
    circle.sink.script(refusal("rate_limited"))
    sent = circle.send(again)
    assert circle.ended(sent)["state"] == "Sent"
    last, first = circle.attempts(sent)
    assert (first["outcome"], first["reason"]) == ("deferred", "rate_limited")
    assert (last["outcome"], last["reason"]) == ("accepted", None)
    assert sorted(one["state"] for one in circle.at_b(sent)) == ["Failed", "Sent"]
    assert len(circle.at_sink(sent)) == 2


def test_a_killed_while_it_waits_for_b_asks_again_and_b_sends_once(
    circle: Circle, way: str
) -> None:
    with circle.sink.held():
        sent = circle.send(way)
        circle.sink.wait_until(lambda _: bool(circle.at_sink(sent)))
        circle.server.kill()
        circle.server.start()
    assert circle.ended(sent)["state"] == "Sent"
    assert circle.attempts(sent)[0]["attempt"] == 2, "it was not told the first time"
    assert (len(circle.at_b(sent)), len(circle.at_sink(sent))) == (1, 1)
    assert [one["state"] for one in circle.at_b(sent)] == ["Sent"]
