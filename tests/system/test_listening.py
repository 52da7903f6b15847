"""The socket that the server listens on."""

import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from textgate.config import Settings
from textgate.listening import DEAD_AFTER_MS, FILES, allow_many_files, bound


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only on Linux")
def test_a_connection_whose_far_end_is_gone_ends_within_half_a_minute(tmp_path: Path) -> None:
    with bound(Settings(data=tmp_path, port=0)) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                ends = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert ends == DEAD_AFTER_MS == 30_000


@pytest.fixture
def few_files() -> Iterator[int]:
    """The usual limit, as far as this process has it to give."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_may_open_more_files_than_usual(few_files: int) -> None:
    allow_many_files()
    allowed = FILES if few_files == resource.RLIM_INFINITY else min(FILES, few_files)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == allowed
