"""Who asks: Basic with a password, Bearer with a token of ours (A §1.5).

A password costs some 20 ms to check, so what was found good is remembered: under a keyed digest of
the header, with the hash it was checked against. A remembered caller is compared with the store
again as soon as accounts or tokens may have changed (``store.generation``), and once a second in
any case, for what another process changes. So a new password ends the old one at once, and a
revoked token ends at once; what stays remembered costs a row read a second and no hash.
"""

import asyncio
import base64
import binascii
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

from textgate.api.operation import Caller, Services
from textgate.domain.account import Account, Scope, Token
from textgate.domain.errors import Unauthenticated, Unavailable
from textgate.domain.times import Milliseconds
from textgate.gateway.credentials import token_hash, verify_password
from textgate.gateway.presence import seen
from textgate.gateway.tokens import TokenKey
from textgate.store.base import Tx

REMEMBERED = 10_000
"""Callers kept in memory; beyond it the one kept longest is forgotten."""
LOOK_AGAIN_MS = 1_000
MAX_HEADER = 4_096
CHECKS_AT_ONCE = 2
CHECKS_WAITING = 64

_EVERYTHING = frozenset({Scope.ALL.value})
_REFRESH = frozenset({Scope.TOKENS_REFRESH.value})


@dataclass(slots=True)
class _Known:
    """A caller whose credentials were right, and what must still hold for that to be so."""

    caller: Caller
    password_hash: str | None
    """What the password was checked against; None for a token."""
    expires_at: Milliseconds | None
    generation: int
    looked_at: Milliseconds


class Authenticator:
    """Tells callers by their Authorization header."""

    def __init__(self, services: Services) -> None:
        self._store, self._clock = services.store, services.clock
        self._key = TokenKey.of(services.settings, services.jwt_secret)
        self._salt = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}
        self._checks: dict[bytes, asyncio.Task[_Known]] = {}
        self._hashing = 0
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="password")

    def remembered(self, header: bytes) -> Caller | None:
        """Return who sent ``header`` if that is known and surely still true; never waits."""
        known = self._known.get(blake2b(header, key=self._salt, digest_size=16).digest())
        if known is None or known.generation != self._generation():
            return None
        now = self._clock.now()
        if not 0 <= now - known.looked_at < LOOK_AGAIN_MS:
            return None
        if known.expires_at is not None and now >= known.expires_at:
            return None
        return known.caller

    async def identify(self, header: bytes) -> Caller:
        """Return who sent ``header``. Raises ``Unauthenticated``, or ``Unavailable`` under a flood.

        An unknown login and a wrong password give the same answer and take the same time.
        """
        if len(header) > MAX_HEADER:
            raise _unknown()
        digest = blake2b(header, key=self._salt, digest_size=16).digest()
        # Many requests with the same header share one check.
        check = self._checks.get(digest)
        if check is None:
            check = asyncio.create_task(self._check(digest, header))
            self._checks[digest] = check
            check.add_done_callback(lambda done: self._checked(digest, done))
        known = await asyncio.shield(check)
        return known.caller

    async def identify_device(self, header: bytes, headers: Mapping[bytes, bytes]) -> Caller:
        """Return the phone whose token ``header`` presents. Raises ``Unauthenticated``.

        Each request of a phone is a sign of life.
        """
        scheme, _, given = header.partition(b" ")
        if scheme.lower() != b"bearer" or len(header) > MAX_HEADER:
            raise _unknown()
        digest = token_hash(given.strip().decode("latin-1"))

        def look(tx: Tx) -> Caller | None:
            device = tx.devices.by_token(digest)
            account = tx.accounts.get(device.account_id) if device else None
            if device is None or account is None:
                return None
            return Caller(account, frozenset(), device=device)

        caller = await self._store.read(look)
        if caller is None or (device := caller.device) is None:
            raise _unknown()
        if self._clock.now() - device.last_seen >= LOOK_AGAIN_MS:
            await self._store.write(lambda tx: seen(tx, device.account_id, device.id))
        return caller

    def _generation(self) -> int:
        # Both only ever grow, so their sum is new whenever one of them is.
        return self._store.generation("account") + self._store.generation("token")

    def _checked(self, digest: bytes, check: "asyncio.Task[_Known]") -> None:
        del self._checks[digest]
        self._known.pop(digest, None)
        if check.cancelled() or check.exception() is not None:
            return
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = check.result()

    async def _check(self, digest: bytes, header: bytes) -> _Known:
        scheme, _, given = header.partition(b" ")
        match scheme.lower():
            case b"basic":
                return await self._check_password(given, self._known.get(digest))
            case b"bearer":
                return await self._check_token(given)
            case _:
                raise _unknown()

    async def _check_password(self, given: bytes, known: _Known | None) -> _Known:
        login, password = _read_basic(given)
        generation, now = self._generation(), self._clock.now()
        account = await self._store.read(lambda tx: tx.accounts.by_login(login))
        stored = account.password_hash if account else None
        if known is None or known.password_hash != stored:
            good = await self._verify(stored, password)
        else:
            good = True  # the very hash it was checked against before
        if account is None or not good:
            raise _unknown()
        return _Known(Caller(account, _EVERYTHING), stored, None, generation, now)

    async def _verify(self, password_hash: str | None, password: str) -> bool:
        if self._hashing >= CHECKS_WAITING:
            raise Unavailable("too many passwords are being checked; try again in a moment")
        loop = asyncio.get_running_loop()
        self._hashing += 1
        try:
            return await loop.run_in_executor(
                self._threads, verify_password, password_hash, password
            )
        finally:
            self._hashing -= 1

    async def _check_token(self, given: bytes) -> _Known:
        claims = self._key.read(given.strip().decode("latin-1"))
        generation, now = self._generation(), self._clock.now()

        def look(tx: Tx) -> tuple[Account | None, Token | None]:
            return tx.accounts.get(claims.account_id), tx.tokens.get(
                claims.account_id, claims.token_id
            )

        account, token = await self._store.read(look)
        if account is None or token is None or token.revoked_at is not None:
            raise _unknown()
        if now >= claims.expires_at:
            raise _unknown()
        scopes = _REFRESH if token.refresh else frozenset(token.scopes)
        caller = Caller(account, scopes, token.id)
        return _Known(caller, None, claims.expires_at, generation, now)


def _read_basic(given: bytes) -> tuple[str, str]:
    try:
        login, colon, password = base64.b64decode(given.strip(), validate=True).partition(b":")
        if colon:
            return login.decode(), password.decode()
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise _unknown()


def _unknown() -> Unauthenticated:
    return Unauthenticated("Unauthorized")
