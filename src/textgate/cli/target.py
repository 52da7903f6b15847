"""Which server a command talks to, and as whom."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """The server to talk to, and as whom."""

    server: str
    login: str
    password: str = field(repr=False)
