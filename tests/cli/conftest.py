"""What the tests of the command line share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from textgate_command import Command


@pytest.fixture
def textgate(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    for process in command.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def tls() -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    folder = Path(__file__).parents[1] / "tls"
    return folder / "localhost.pem", folder / "localhost.key"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Who runs the tests in the background ignores SIGINT, and children would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
