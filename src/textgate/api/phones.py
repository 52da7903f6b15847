"""Which phone asks: by its token (A §1.5). A phone that is told 401 registers anew, and its owner
has two of it (A §3.1); so only a token that is surely nobody's is refused.

What was found is remembered as in ``api.auth``: a removed phone is nobody at once, one that was
removed by another process within a second.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from textgate.api.operation import Caller, Services
from textgate.domain.device import Device
from textgate.domain.errors import Unavailable
from textgate.domain.times import Milliseconds
from textgate.gateway import devices
from textgate.gateway.credentials import token_hash
from textgate.gateway.presence import seen
from textgate.store.base import Tx

REMEMBERED = 10_000
"""Phones kept in memory; beyond it the one kept longest is forgotten."""
LOOK_AGAIN_MS = 1_000
SEEN_EVERY_MS = 5_000
"""A sign of life is written down no oftener."""
MAX_TOKEN = 64

_APP = re.compile(r"me\.capcom\.smsgateway/([\w.+-]{1,32})")
log = structlog.get_logger("textgate.api")


@dataclass(slots=True)
class _Known:
    """A phone whose token was right, and what must still hold for that to be so."""

    caller: Caller
    device: Device
    generation: int
    looked_at: Milliseconds
    seen_at: Milliseconds


class Phones:
    """Tells phones by their tokens, and notes that they are there."""

    def __init__(self, services: Services) -> None:
        self._store, self._clock = services.store, services.clock
        self._known: dict[str, _Known] = {}

    async def identify(self, given: bytes, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Return the phone of the token ``given``; None if it is nobody's."""
        token = given.strip()
        if not 0 < len(token) <= MAX_TOKEN:
            return None
        digest = token_hash(token.decode("latin-1"))
        known = self._known.get(digest)
        now = self._clock.now()
        if known is None or not self._surely_true(known, now):
            known = await self._look(digest, known, now)
        if known is None:
            return None
        await self._note(known, app_version(headers), now)
        return known.caller

    def _generation(self) -> int:
        return self._store.generation("device") + self._store.generation("account")

    def _surely_true(self, known: _Known, now: Milliseconds) -> bool:
        return known.generation == self._generation() and (
            0 <= now - known.looked_at < LOOK_AGAIN_MS
        )

    async def _look(self, digest: str, before: _Known | None, now: Milliseconds) -> _Known | None:
        generation = self._generation()

        def look(tx: Tx) -> Caller | None:
            device = tx.devices.by_token(digest)
            account = tx.accounts.get(device.account_id) if device else None
            return Caller(account, frozenset(), device=device) if account else None

        caller = await self._store.read(look)
        if caller is None or (device := caller.device) is None:
            self._known.pop(digest, None)
            return None
        seen_at = max(device.last_seen, before.seen_at if before else 0)
        known = _Known(caller, device, generation, now, seen_at)
        if digest not in self._known and len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = known
        return known

    async def _note(self, known: _Known, version: str | None, now: Milliseconds) -> None:
        """Write down what the request tells of the phone; that it cannot be is no fault of it."""
        device = known.device
        new_version = version if version != device.app_version else None
        if new_version is None and 0 <= now - known.seen_at < SEEN_EVERY_MS:
            return
        known.seen_at = now  # before the wait: the next request need not write it too

        def note(tx: Tx) -> None:
            seen(tx, device.account_id, device.id)
            if new_version is not None:
                devices.runs(tx, device.account_id, device.id, new_version)

        try:
            await self._store.write(note)
        except Unavailable as problem:
            log.warning("a sign of life is lost", device=device.id, problem=problem.message)


def app_version(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the version of the app that asks (A §3); None if it does not say."""
    found = _APP.match(headers.get(b"user-agent", b"").decode("latin-1"))
    return found[1] if found else None
