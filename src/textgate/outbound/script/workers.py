"""The processes that run scripts: one for each script version, kept warm."""

from collections.abc import Mapping

from textgate.domain.script import Program
from textgate.outbound.http import Http
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.run import Run


class Workers:
    """At most ``total`` processes at once. Belongs to one event loop. Close it in the end."""

    def __init__(self, deno: Deno, *, total: int, memory_mb: int) -> None:
        self._deno, self._total, self._memory_mb = deno, total, memory_mb

    async def run(
        self,
        key: str,
        program: Program,
        payload: bytes,
        *,
        secrets: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109 - not a scope: the process is ended at it
        http: Http,
    ) -> Run:
        """Call the default export with ``payload`` (JSON) and ``{secrets}``, once.

        ``key`` names the script version: runs with the same key share a process. ``timeout`` is in
        seconds and covers all of it. Each request goes through ``http``. Never raises for what the
        script does.
        """
        raise NotImplementedError

    async def drop(self, key: str) -> None:
        """End the process of a version that is not needed any more, once it is idle."""

    async def close(self) -> None:
        """End every process; runs under way come back as ended."""
