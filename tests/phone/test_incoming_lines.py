"""Messages from the air, as a person or a file writes them."""

import pytest

from textgate.domain.errors import Invalid
from textgate.phone.incoming import Incoming
from textgate.phone.script import Cue, read_line, read_lines


@pytest.mark.parametrize(
    ("line", "cue"),
    [
        ("+12025550101 Hello there", Cue(Incoming(sender="+12025550101", text="Hello there"))),
        ("  +1  Hi ", Cue(Incoming(sender="+1", text="Hi"))),
        ("My Bank\tYour code\n", Cue(Incoming(sender="My Bank", text="Your code"))),
        ("#3 +1 Hi", Cue(Incoming(sender="+1", text="Hi"), 3)),
        ('{"sender": "+1", "text": "Hi"}', Cue(Incoming(sender="+1", text="Hi"))),
        (
            '{"sender": "+1", "kind": "DATA_SMS", "text": "AAEC", "phone": 2, "sim_number": 2,'
            ' "at": "2026-02-03T05:06:00.000+01:00"}',
            Cue(
                Incoming(
                    sender="+1", kind="DATA_SMS", text="AAEC", sim_number=2, at=1_770_091_560_000
                ),
                2,
            ),
        ),
        ("", None),
        ("# a remark", None),
    ],
)
def test_a_line_is_read(line: str, cue: Cue | None) -> None:
    assert read_line(line) == cue


@pytest.mark.parametrize(
    "line",
    [
        "Hello",
        "+12025550101",
        "#x +1 Hi",
        "#0 +1 Hi",
        "{nonsense",
        '{"text": "Hi"}',
        '{"sender": "+1", "kind": "POST"}',
        '{"sender": "+1", "at": "soon"}',
        '{"sender": "+1", "text": "Hi", "phone": 0}',
        "#3 +1 Hi",
    ],
)
def test_a_wrong_line_is_named_in_its_file(line: str) -> None:
    with pytest.raises(Invalid, match=r"^line 2: "):
        list(read_lines(["#2 +1 Hi\n", line], phones=2))
