"""The OpenAPI document: whole, true, and no request made from it makes the server fail."""

import asyncio
import json
import re
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import hypothesis.strategies as st
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving import PASSWORD, Served, serving

from textgate.api import device_events, ingress, mobile_v1, native_v1, thirdparty_v1
from textgate.api.openapi import build_document
from textgate.api.operation import Group, Operation
from textgate.api.probes import ROOT
from textgate.api.problem import DIALECT

SERVED = (
    native_v1.GROUP,
    thirdparty_v1.GROUP,
    mobile_v1.GROUP,
    device_events.GROUP,
    *ingress.GROUPS,
)
GROUPS = (*SERVED, Group("Server", ("",), DIALECT, ROOT))
DOCUMENT = build_document(GROUPS)
OPERATIONS = [(group, operation) for group in GROUPS for operation in group.operations]
ENDLESS = ("/v1/events/stream", "/mobile/v1/events")
"""Left out of the fuzz: their answers have no end."""
EXAMPLES = 8
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Running:
    """A server in a thread of its own, for clients that block."""

    url: str
    served: Served
    session: requests.Session
    """Asks as the account."""
    phone: requests.Session
    """Asks as a phone of the account."""

    def asking(self, operation: Operation) -> requests.Session:
        return self.phone if operation.for_phones else self.session


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzz")
    ready, stop = threading.Event(), threading.Event()
    found: list[tuple[Served, str]] = []
    thread = threading.Thread(target=_serve, args=(folder, found, ready, stop), daemon=True)
    thread.start()
    assert ready.wait(20)
    [(served, token)] = found
    with requests.Session() as session, requests.Session() as phone:
        session.trust_env = phone.trust_env = False
        session.auth = (served.login, PASSWORD)
        phone.headers["Authorization"] = f"Bearer {token}"
        yield Running(served.url, served, session, phone)
    stop.set()
    thread.join(20)


def _serve(
    folder: Path, found: list[tuple[Served, str]], ready: threading.Event, stop: threading.Event
) -> None:
    async def main() -> None:
        async with serving(folder) as served:
            found.append((served, (await served.add_phone()).token))
            ready.set()
            await asyncio.to_thread(stop.wait)

    asyncio.run(main())


def schema_operation(group: Group, operation: Operation) -> Any:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    return schema[group.prefixes[0] + operation.path][operation.method]


def label(value: object) -> str:
    return f"{value.method} {value.path}" if isinstance(value, Operation) else ""


@pytest.mark.parametrize(
    ("group", "operation"),
    [(g, o) for g, o in OPERATIONS if g.prefixes[0] + o.path not in ENDLESS],
    ids=label,
)
def test_no_request_makes_the_server_fail_and_its_answers_are_as_documented(
    running: Running, group: Group, operation: Operation
) -> None:
    described = schema_operation(group, operation)
    modes = [GenerationMode.POSITIVE]
    if operation.body not in (None, bytes) or operation.query is not None:  # bytes: none is wrong
        modes.append(GenerationMode.NEGATIVE)
    for mode in modes:

        @QUIET
        @given(case=described.as_strategy(mode))
        def ask(case: Any) -> None:
            case.headers = None  # of its own making: what is no HTTP is refused before our time
            session = running.asking(operation)
            answer = case.call(base_url=running.url, session=session, timeout=20)
            case.validate_response(answer, checks=CHECKS)

        ask()


TEXTS = st.text(max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("group", "operation"), [(g, o) for g, o in OPERATIONS if o.body is not None], ids=label
)
def test_no_body_whatever_makes_the_server_fail(
    running: Running, group: Group, operation: Operation
) -> None:
    path = running.url + group.prefixes[0] + re.sub(r"\{\w+\}", "some-id", operation.path)
    members = [*_members(operation), "x"]

    @QUIET
    @given(
        content=st.binary(max_size=60)
        | st.dictionaries(st.sampled_from(members), VALUES, max_size=6).map(_dumped)
    )
    def ask(content: bytes) -> None:
        answer = running.asking(operation).request(
            operation.method,
            path,
            data=content,
            headers={"Content-Type": "application/json"},
            timeout=20,
        )
        assert answer.status_code < 500, answer.text

    ask()


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()  # NaN and Infinity too, which are no JSON


def _members(operation: Operation) -> list[str]:
    return list(getattr(operation.body, "__struct_encode_fields__", ()))


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]),
    parts=st.lists(
        st.sampled_from(
            [
                "3rdparty",
                "v1",
                "ingress",
                "authgear",
                "messages",
                "%2F",
                "%00",
                "%FF",
                "..",
                "health",
                "docs",
            ]
        )
        | st.text(max_size=8).map(quote),
        max_size=14,
    ),
    query=st.dictionaries(st.sampled_from(["limit", "from", "state", "x"]), TEXTS).map(urlencode),
    login=st.binary(max_size=30).map(b64encode) | st.sampled_from([b"", b"!", b"a b", b"\xff"]),
)
@settings(QUIET, max_examples=80)
def test_no_path_query_or_login_makes_the_server_fail(
    running: Running, method: str, parts: list[str], query: str, login: bytes
) -> None:
    port = int(running.url.rpartition(":")[2])
    lines = f"{method} /{'/'.join(parts)}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(lines.encode() + b"Authorization: Basic " + login + b"\r\n\r\n")
        status = line.makefile("rb").readline().split()[1]
    assert int(status) < 500


def test_every_route_of_the_server_is_in_the_document() -> None:
    for group, operation in OPERATIONS:
        described = DOCUMENT["paths"][group.prefixes[0] + operation.path]
        assert operation.method.lower() in described
    names = [o["operationId"] for item in DOCUMENT["paths"].values() for o in item.values()]
    assert len(names) == len(set(names))


def test_every_reference_in_the_document_leads_somewhere() -> None:
    found = set(re.findall(r"'#/components/schemas/([^']+)'", repr(DOCUMENT)))
    assert found <= set(DOCUMENT["components"]["schemas"])


def test_the_document_is_served_with_a_tag_and_not_sent_twice(running: Running) -> None:
    answer = requests.get(running.url + "/openapi.json", timeout=20)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == DOCUMENT
    again = requests.get(
        running.url + "/openapi.json", headers={"If-None-Match": answer.headers["ETag"]}, timeout=20
    )
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_of_the_document_needs_no_other_host_and_no_script_of_its_own(
    running: Running,
) -> None:
    page = requests.get(running.url + "/docs", timeout=20)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "<script>" not in page.text
    assert " style=" not in page.text
    for place in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert place.startswith("/"), place
        answer = requests.get(running.url + place, timeout=20)
        assert answer.status_code == 200, place
        assert "max-age" in answer.headers["Cache-Control"]
    assert requests.get(running.url + "/docs/..%2Fdocs.html", timeout=20).status_code == 404


@pytest.mark.parametrize(
    ("door", "path", "message", "status"),
    [
        (
            "thirdparty_v1",
            "/3rdparty/v1/messages",
            {"message": "Hi", "phoneNumbers": ["+41790000001"]},
            202,
        ),
        ("native_v1", "/v1/messages", {"text": "Hi", "to": "+41790000001"}, 201),
    ],
    ids=["thirdparty_v1", "native_v1"],
)
def test_the_metrics_count_what_was_accepted(
    running: Running, door: str, path: str, message: dict[str, Any], status: int
) -> None:
    before = accepted_by_door(running)
    answer = running.session.post(running.url + path, json=message, timeout=20)
    assert answer.status_code == status
    assert accepted_by_door(running) == before | {door: before.get(door, 0) + 1}


def accepted_by_door(running: Running) -> dict[str, float]:
    metrics = requests.get(running.url + "/metrics", timeout=20)
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        sample.labels["door"]: sample.value
        for family in text_string_to_metric_families(metrics.text)
        for sample in family.samples
        if sample.name == "textgate_messages_accepted_total"
    }
