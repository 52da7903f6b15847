"""Logs: one line of JSON for each event in a pipe, text for reading where it is asked for."""

import json
import subprocess
import sys

import pytest

SPEAK = """
import logging, sys
from textgate.cli.logs import set_up
from textgate.config import load
import structlog
log = structlog.get_logger("textgate.send")
set_up(load(file=None, environ={}, flags={"log_format": sys.argv[1], "log_level": sys.argv[2]}))
log.debug("detail", n=1)
log.info("attempt", recipient="+41…01", ms=12.5, code=None)
logging.getLogger("library").info("chatter")
logging.getLogger("library").warning("beware of %s", "dogs")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


def spoken(form: str, level: str = "info") -> str:
    done = subprocess.run(
        [sys.executable, "-c", SPEAK, form, level], capture_output=True, text=True, check=True
    )
    assert done.stdout == "", "standard output belongs to the results"
    return done.stderr


@pytest.mark.parametrize("form", ["json", "auto"])
def test_in_a_pipe_each_event_is_one_line_of_json(form: str) -> None:
    attempt, library, broken = map(json.loads, spoken(form).splitlines())
    assert attempt.pop("time").endswith("Z")
    assert attempt == {
        "event": "attempt",
        "level": "info",
        "logger": "textgate.send",
        "recipient": "+41…01",
        "ms": 12.5,
        "code": None,
    }
    assert (library["event"], library["level"]) == ("beware of dogs", "warning")
    assert library["logger"] == "library"
    assert "ZeroDivisionError" in broken["exception"]


def test_as_text_an_event_reads_without_colours_in_a_pipe() -> None:
    said = spoken("text")
    assert "attempt" in said
    assert "recipient=+41…01" in said
    assert "ZeroDivisionError" in said
    assert "\x1b" not in said


def test_the_level_decides_what_is_said() -> None:
    assert "detail" in spoken("json", "debug")
    assert "attempt" not in spoken("json", "warning")
    assert "beware" not in spoken("json", "error")
