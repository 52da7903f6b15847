"""The live screen of phones, and the line that is typed into it."""

import io

import msgspec
import pytest
from rich.console import Console

from textgate.cli.phone_keys import Typing
from textgate.cli.phone_screen import Board, Screen, rows_of
from textgate.phone.behaviour import ONE_SIM, Behaviour
from textgate.phone.happening import Happening, Kind
from textgate.phone.phones import Told


def told(kind: Kind, text: str = "it happened", phone: int = 1, **fields: object) -> Told:
    happening = Happening(at=1_767_225_600_000, kind=kind, text=text, fields=fields)
    return Told(phone, f"device-{phone}", happening)


def seen(board: Board, width: int = 100, height: int = 30) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(board.draw(width, height))
    drawn: str = console.file.getvalue()  # type: ignore[attr-defined]
    return drawn.splitlines()


def board(count: int = 1) -> Board:
    return Board("phones", rows_of([Behaviour(battery=12)] * count))


def test_each_phone_has_a_line_with_what_became_of_its_messages() -> None:
    shown = board(2)
    shown.note(told("connected"))
    for _ in range(2):
        shown.note(told("sent"))
    shown.note(told("failed", phone=2))
    shown.rows[0].waiting = 7
    [first] = [line for line in seen(shown) if "device-1" in line]
    assert first.split() == ["1", "device-1", "online", "Sim", "12", "%", "7", "2", "0", "0", "0"]
    [second] = [line for line in seen(shown) if "device-2" in line]
    assert second.split() == ["2", "device-2", "registering", "Sim", "12", "%", *"00010"]


def test_the_network_is_that_of_all_phones() -> None:
    shown = board(2)
    shown.note(told("network", phone=0, up=False))
    assert [row.line for row in shown.rows] == ["offline", "offline"]
    shown.note(told("network", phone=0, up=True))
    shown.note(told("connected", phone=2))
    assert [row.line for row in shown.rows] == ["connecting", "online"]


def test_a_phone_that_is_its_own_server_needs_no_line_to_another() -> None:
    shown = board()
    for kind, more in (("answering", {}), ("network", {"up": False}), ("network", {"up": True})):
        shown.note(told(kind, **more))
    assert shown.rows[0].line == "online"


@pytest.mark.parametrize(("width", "height"), [(100, 30), (80, 24), (40, 12), (200, 60)])
def test_it_fits_any_terminal(width: int, height: int) -> None:
    shown = board(100)
    for n in range(300):
        shown.note(told("trouble", "x" * 500, phone=n % 100 + 1))
    lines = seen(shown, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("more phones" in line for line in lines)


WORTH = ("#", "line", "queue", "sent", "delivered", "failed", "received", "battery", "SIMs", "id")
"""The headings, the last ones the first to go where it is narrow."""


@pytest.mark.parametrize(
    ("width", "kept"), [(140, 10), (100, 10), (80, 9), (70, 8), (60, 7), (40, 5), (20, 2)]
)
def test_a_narrow_screen_leaves_out_whole_columns(width: int, kept: int) -> None:
    two_sims = (ONE_SIM[0], msgspec.structs.replace(ONE_SIM[0], sim_number=2))
    shown = Board("phones", rows_of([Behaviour(sims=two_sims)] * 12))
    happening = Happening(at=0, kind="connected", text="it happened")
    shown.note(Told(12, "AP75tfMAIPuYKC6BX7WsJ", happening))
    lines = seen(shown, width, 40)
    [headings] = [line.split() for line in lines if line.lstrip().startswith("#")]
    assert set(headings) == set(WORTH[:kept])
    [last] = [line for line in lines if line.lstrip().startswith("12") and "online" in line]
    assert len(last) <= width
    assert "…" not in last


def test_the_title_takes_one_line() -> None:
    shown = board()
    shown.where = lambda: "http://127.0.0.1:8080/api/mobile/v1"
    assert seen(shown, 30, 12)[0].startswith("phones   http://127.0")
    assert len(seen(shown, 30, 12)[0]) <= 30
    assert "#" in seen(shown, 30, 12)[2]


def test_what_comes_over_the_network_cannot_steer_the_terminal() -> None:
    shown = board()
    shown.note(told("trouble", "\x1b[2J\nred \x07"))
    assert any("\\x1b[2J\\nred \\x07" in line for line in seen(shown))


def test_the_same_picture_is_drawn_once() -> None:
    out = io.StringIO()
    shown = board()
    with Screen(shown, Console(file=out, force_terminal=True, width=100, height=30)) as screen:
        screen.refresh()
        before = out.tell()
        screen.refresh()
        assert out.tell() == before
        shown.note(told("sent"))
        screen.refresh()
        assert out.tell() > before


def test_a_line_is_typed_key_by_key() -> None:
    taken: list[str] = []
    typing = Typing(taken.append)
    keys = "+1 Grüex\x7fzi\r+2".encode()
    typing.feed(keys[:6])  # in the middle of a letter, as pipes cut it
    assert typing.line == "+1 Gr"
    typing.feed(keys[6:])
    assert taken == ["+1 Grüezi"]
    typing.feed(b"\x15/quit")
    assert typing.line == "/quit"
    typing.end()
    assert taken[-1] == "/quit"
