"""What the stories of a whole server share: clients, a channel, messages, and patience."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from textgate.testing.server import Server

WAIT_S = 20.0
DELIVERED, REFUSED = "+12025550101", "+12025550104"
"""Numbers whose last digit tells the simulator what to do."""
MESSAGES = "/3rdparty/v1/messages"


@contextmanager
def client(server: Server, **wanted: Any) -> Iterator[httpx.Client]:
    """A client with the first account's password, unless ``auth`` says otherwise."""
    wanted.setdefault("auth", (server.login, server.password))
    wanted.setdefault("base_url", server.url)
    with httpx.Client(timeout=20, trust_env=False, **wanted) as api:
        yield api


def add_simulator(api: httpx.Client, **more: Any) -> str:
    """Add a channel and return its id; ``more`` are its members beside the usual ones."""
    wanted = {"provider": "simulator", "name": "sim", "settings": {}, **more}
    answer = api.post("/v1/channels", json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def message_to(*numbers: str) -> dict[str, Any]:
    return {"textMessage": {"text": "Hello"}, "phoneNumbers": list(numbers)}


def until(
    look: Callable[[], Any],
    within_s: float = WAIT_S,
    said: Callable[[], str] = lambda: "it never came to be",
) -> Any:
    """Look again and again until it is something, and return that; ``said`` explains if not."""
    ends = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < ends, said()
        time.sleep(0.02)
    return found


def environment() -> dict[str, str]:
    """The environment without settings of Textgate."""
    return {name: v for name, v in os.environ.items() if not name.startswith("TEXTGATE_")}
