"""Checking and hashing passwords beside the event loop, in bounded number."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from textgate.domain.errors import Unavailable
from textgate.gateway.credentials import hash_password, verify_password

AT_ONCE = 2
WAITING = 64

T = TypeVar("T")


class Passwords:
    """A password costs some 20 ms of a processor. Raises ``Unavailable`` under a flood: what
    could not be looked at is neither right nor wrong."""

    def __init__(self) -> None:
        self._hashing = 0
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the one of the hash; takes as long when there is no hash."""
        return await self._run(lambda: verify_password(password_hash, password))

    async def hash(self, password: str) -> str:
        """Return the hash of a new password. Raises ``Invalid``."""
        return await self._run(lambda: hash_password(password))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._hashing >= WAITING:
            raise Unavailable("too many passwords are being checked; try again in a moment")
        self._hashing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._hashing -= 1
