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
from dataclasses import dataclass
from hashlib import blake2b

from textgate.api.operation import Caller, Operation, Services
from textgate.api.phones import Phones
from textgate.domain.account import Account, Scope, Token
from textgate.domain.errors import Forbidden, Unauthenticated
from textgate.domain.times import Milliseconds
from textgate.gateway.tokens import TokenKey
from textgate.store.base import Tx

REMEMBERED = 10_000
"""Callers kept in memory; beyond it the one kept longest is forgotten."""
LOOK_AGAIN_MS = 1_000
MAX_HEADER = 4_096

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
        by_settings = TokenKey.of(services.settings, services.jwt_secret)
        self._key = services.token_key or by_settings
        self._salt = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}
        self._checks: dict[bytes, asyncio.Task[_Known]] = {}
        self._passwords = services.passwords
        self._phones = Phones(services)

    async def admit(self, operation: Operation, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Return who asks for an operation; None where nobody need be known.

        Raises ``Unauthenticated``, ``Forbidden``, or ``Unavailable`` under a flood of passwords.
        """
        if operation.public:
            return None
        given = headers.get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        if operation.for_phones:
            bearer = scheme.lower() == b"bearer"
            caller = await self._phones.identify(token, headers) if bearer else None
        elif not given or (operation.password_only and scheme.lower() != b"basic"):
            caller = None
        else:
            caller = self.remembered(given) or await self.identify(given)
        if caller is None and not operation.optional:
            raise _unknown()
        scope = operation.scope
        if scope is not None and caller is not None and not caller.may(scope):
            raise Forbidden(f"scope required: {scope}")
        return caller

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
            good = await self._passwords.verify(stored, password)
        else:
            good = True  # the very hash it was checked against before
        if account is None or not good:
            raise _unknown()
        return _Known(Caller(account, _EVERYTHING), stored, None, generation, now)

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
