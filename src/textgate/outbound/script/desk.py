"""The desk at which scripts are handed in: everything that saving one owes."""

from collections.abc import Sequence

from textgate.domain.script import Program
from textgate.outbound.http import Http
from textgate.outbound.script.deno import Deno


class Desk:
    """Reads, fetches, checks; the checks wait for each other in a short queue."""

    def __init__(self, deno: Deno, http: Http, *, hosts: Sequence[str]) -> None:
        """``hosts``: where remote modules may come from."""
        self._deno, self._http, self._hosts = deno, http, tuple(hosts)

    async def prepare(self, source: str) -> Program:
        """Return what will run. Raises ``ScriptRefused``, or ``Unavailable`` without Deno."""
        raise NotImplementedError
