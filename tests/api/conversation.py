"""Conversations as text: what a client says, what the gateway must answer.

A file holds several. Each begins with ``== `` and a sentence about the gateway, and is held with an
account of its own that has a simulator channel. ``> `` is the client: method and path, headers,
body. ``< `` is the gateway: status, headers that must be there, body. ``! `` changes the scene
(before the first ``> ``: ``no channel``, ``setting name=value``; anywhere: ``wait 20m``,
``phone NAME``, which registers a phone whose ``{{NAME.token}}`` and ``{{NAME.id}}`` are known from
then on, and ``received {…}``, which puts a message into the inbox). ``# `` is a remark.

Unless a line says otherwise the client presents its password and, with a body, calls it JSON;
``> Authorization: -`` leaves a header out. A body of the gateway is compared as JSON, member by
member; ``"...": "..."`` allows further members. Within texts, ``{{time}}`` stands for a time with
three digits of fraction, ``{{any}}`` for anything, ``{{id}}`` for an id of ours, and any other
``{{name}}`` for whatever is there, which must be the same at its next mention.
"""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from serving import PASSWORD, Served, serving

from textgate.api.operation import Group
from textgate.reading import duration

PATTERNS = {
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "any": r".*",
    "id": r"[A-Za-z0-9_-]{21}",
}
_PLACE = re.compile(r"\{\{([\w. ]+)\}\}")
EVENTS = ("wait", "until", "phone", "received")
"""Changes of the scene that happen while it is played."""
ON_A_PHONE = ("reaches", "sms", "behave", "log", "inbox", "told")
"""Those that only a phone with an API of its own knows (``test_local_conversations``)."""
_MORE = "..."


@dataclass
class Said:
    """One side's words: the first line, headers, and the body as text."""

    first: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass
class Conversation:
    """A title, and lines of the kinds ``!``, ``>`` and ``<`` in their order."""

    title: str
    place: str
    scene: list[str] = field(default_factory=list)
    turns: list[tuple[str, Said]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.place}: {self.title}"


def read_conversations(folder: Path) -> Iterator[Conversation]:
    """Yield the conversations of all text files of a folder."""
    for path in sorted(folder.glob("*.txt")):
        for part in re.split(r"^== ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            title, _, text = part.partition("\n")
            yield _read(Conversation(title.strip(), path.stem), text)


def _read(conversation: Conversation, text: str) -> Conversation:
    for kind, lines in _blocks(text):
        if kind == "!":
            for line in lines:
                if line.partition(" ")[0] in EVENTS + ON_A_PHONE:
                    conversation.turns.append(("!", Said(line)))
                else:
                    conversation.scene.append(line)
        else:
            conversation.turns.append((kind, _said(lines)))
    return conversation


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield runs of lines of one kind; an empty line ends a run."""
    kind, lines = "", list[str]()
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if line[:1] != kind and lines:
            yield kind, lines
            lines = []
        kind = line[:1]
        if line:
            assert line[:2] in ("> ", "< ", "! ", ">", "<"), f"not part of a conversation: {line}"
            lines.append(line[2:])


def _said(lines: list[str]) -> Said:
    said = Said(lines[0])
    for number, line in enumerate(lines[1:], 1):
        header = re.fullmatch(r"([A-Za-z][A-Za-z0-9-]*):\s*(.*)", line)
        if header is None:
            said.body = "\n".join(lines[number:]).strip()
            break
        said.headers[header[1]] = header[2]
    return said


class Memory:
    """What the names of a conversation stand for."""

    def __init__(self, **known: str) -> None:
        self.known = dict(known)

    def fill(self, text: str) -> str:
        """Put the known values in the place of their names."""
        return _PLACE.sub(lambda found: self.known.get(found[1], found[0]), text)

    def said(self, text: str) -> str:
        """Return what somebody says with all names filled in: else a slip would be sent as it is,
        and perhaps be refused as the conversation expects."""
        filled = self.fill(text)
        assert not _PLACE.search(filled), f"nobody knows yet what this stands for: {filled}"
        return filled

    def match(self, wanted: str, got: str) -> bool:
        """Compare, and learn what new names stand for."""
        pattern, names, end = "", [], 0
        for place in _PLACE.finditer(wanted):
            pattern += re.escape(wanted[end : place.start()])
            name, end = place[1], place.end()
            if name in PATTERNS:
                pattern += f"(?:{PATTERNS[name]})"
            elif name in self.known:
                pattern += re.escape(self.known[name])
            else:
                pattern += "(.+?)"
                names.append(name)
        found = re.fullmatch(pattern + re.escape(wanted[end:]), got, re.DOTALL)
        if found is None:
            return False
        self.known |= dict(zip(names, found.groups(), strict=True))
        return True

    def differences(self, wanted: Any, got: Any, at: str = "body") -> Iterator[str]:
        """Yield where ``got`` is not what was wanted."""
        match wanted, got:
            case dict(), dict():
                open_ended = _MORE in wanted
                keys = {key: value for key, value in wanted.items() if key != _MORE}
                for key in keys.keys() - got.keys():
                    yield f"{at}.{key} is missing"
                for key in () if open_ended else got.keys() - keys.keys():
                    yield f"{at}.{key} should not be there"
                for key in keys.keys() & got.keys():
                    yield from self.differences(keys[key], got[key], f"{at}.{key}")
            case list(), list():
                if len(wanted) != len(got):
                    yield f"{at} has {len(got)} items, not {len(wanted)}"
                for n, (one, other) in enumerate(zip(wanted, got, strict=False)):
                    yield from self.differences(one, other, f"{at}[{n}]")
            case str(), str():
                if not self.match(wanted, got):
                    yield f"{at} is {got!r}, not {wanted!r}"
            case _:
                if wanted != got or type(wanted) is not type(got):
                    yield f"{at} is {got!r}, not {wanted!r}"


async def say(client: httpx.AsyncClient, said: Said, memory: Memory) -> httpx.Response:
    """Send what the client says."""
    method, _, path = memory.said(said.first).partition(" ")
    body = memory.fill(said.body).encode()  # in a template, names are its own
    headers = {"Authorization": memory.known["basic"]}
    if body:
        headers["Content-Type"] = "application/json"
    headers |= {name: memory.said(value) for name, value in said.headers.items()}
    kept = {name: value for name, value in headers.items() if value != "-"}
    return await client.request(method, path, headers=kept, content=body or None)


def check(said: Said, answer: httpx.Response, memory: Memory) -> None:
    """Compare an answer with what it must be, and with what every answer owes."""
    shown = f"{answer.request.method} {answer.request.url.raw_path.decode()} → {answer.text}"
    assert answer.status_code == int(said.first.split()[0]), shown
    wrong = [
        f"{name} is {answer.headers.get(name)!r}, not {wanted!r}"
        for name, wanted in said.headers.items()
        if not memory.match(memory.fill(wanted), answer.headers.get(name, ""))
    ]
    assert answer.headers["X-Request-Id"]
    if answer.content and "Content-Type" not in said.headers:
        assert answer.headers["Content-Type"] == "application/json", shown
    if answer.status_code == 204:
        assert answer.content == b""
    if said.body:
        wanted = json.loads(said.body)
        wrong += memory.differences(wanted, answer.json())
    assert not wrong, "\n".join([*wrong, shown])


async def play(conversation: Conversation, folder: Path, *groups: Group) -> None:
    """Hold a conversation with a server of its own, whose data is in ``folder``."""
    settings: dict[str, Any] = {}
    for line in conversation.scene:
        word, _, rest = line.partition(" ")
        if word == "setting":
            name, _, value = rest.partition("=")
            settings[name] = int(value) if value.isdecimal() else value
        else:
            assert line == "no channel", f"no such change of the scene: {line}"
    channel = "no channel" not in conversation.scene
    async with serving(folder, *groups, channel=channel, **settings) as served:
        await _hold(conversation, served)


async def _hold(conversation: Conversation, served: Served) -> None:
    basic = base64.b64encode(f"{served.login}:{PASSWORD}".encode()).decode()
    memory = Memory(login=served.login, password=PASSWORD, basic=f"Basic {basic}")
    async with served.client(auth=None) as client:
        answer = None
        for kind, said in conversation.turns:
            if kind == ">":
                answer = await say(client, said, memory)
            elif kind == "<":
                assert answer is not None
                check(said, answer, memory)
            else:
                await _happen(said.first, served, memory)


async def _happen(line: str, served: Served, memory: Memory) -> None:
    """Change the scene while a conversation is held."""
    word, _, rest = line.partition(" ")
    assert word in EVENTS, f"no such change of the scene: {line}"
    if word == "phone":
        phone = await served.add_phone(rest)
        memory.known |= {f"{rest}.id": phone.device.id, f"{rest}.token": phone.token}
    elif word == "received":
        await served.receive(**json.loads(memory.fill(rest)))
    else:
        served.clock.advance(int(duration(rest).total_seconds() * 1000))
        await asyncio.sleep(0)
