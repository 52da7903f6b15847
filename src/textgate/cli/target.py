"""Which server a command talks to, and as whom."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """The server to talk to, and as whom."""

    server: str
    login: str
    password: str = field(repr=False)
    ca_file: Path | None = None
    """Further authorities to trust, for a server with a certificate of its own."""
