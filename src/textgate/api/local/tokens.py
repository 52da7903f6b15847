"""Tokens of a phone's own API (A §2.10)."""

import msgspec

from textgate.api.local.phone import LocalPhone
from textgate.api.operation import Answer, Call, Operation
from textgate.api.problem import ErrorMessage
from textgate.api.thirdparty_v1.tokens import TokenShape, token_answer
from textgate.domain.account import Scope
from textgate.domain.errors import Forbidden, Invalid, Unauthenticated
from textgate.gateway.credentials import issue_tokens, refresh_tokens, revoke_token
from textgate.gateway.tokens import MAX_LOCAL_TTL_MS, Claims, TokenPair
from textgate.store.base import Tx

SCOPES = frozenset(
    {
        Scope.ALL,
        Scope.MESSAGES_SEND,
        Scope.MESSAGES_READ,
        Scope.MESSAGES_CANCEL,
        Scope.MESSAGES_EXPORT,
        Scope.INBOX_LIST,
        Scope.INBOX_READ,
        Scope.INBOX_REFRESH,
        Scope.DEVICES_LIST,
        Scope.WEBHOOKS_LIST,
        Scope.WEBHOOKS_WRITE,
        Scope.WEBHOOKS_DELETE,
        Scope.SETTINGS_READ,
        Scope.SETTINGS_WRITE,
        Scope.LOGS_READ,
        Scope.TOKENS_MANAGE,
    }
)
"""What a phone knows of; its lists are ``messages:read``, and it cannot be deleted."""
MAX_TTL_S = MAX_LOCAL_TTL_MS // 1000


class LocalTokenBody(msgspec.Struct):
    """A token to issue."""

    scopes: list[str]
    ttl: int | None = None
    """Seconds."""


def _check(body: LocalTokenBody) -> None:
    if not body.scopes:
        raise Invalid("scopes must not be empty")
    if not SCOPES.issuperset(body.scopes):
        raise Invalid("unsupported scope provided")
    if body.ttl is not None and not 1 <= body.ttl <= MAX_TTL_S:
        raise Invalid(f"ttl must be from 1 to {MAX_TTL_S} seconds")


class _Tokens:
    """The tokens of one phone."""

    def __init__(self, phone: LocalPhone) -> None:
        self._account_id, self._key = phone.account_id, phone.key

    async def issued(self, call: Call[None, LocalTokenBody]) -> Answer:
        body = call.body
        _check(body)
        scopes, ttl_ms = tuple(body.scopes), 1_000 * (body.ttl or 0)
        pair = await call.services.store.write(
            lambda tx: issue_tokens(tx, self._key, self._account_id, scopes=scopes, ttl_ms=ttl_ms)
        )
        return token_answer(pair, 201)

    async def refreshed(self, call: Call[None, None]) -> Answer:
        """The refresh token is the caller's very credential; what is wrong with it is told."""
        scheme, _, given = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Unauthorized")
        try:
            claims = self._key.read(given.strip())
        except Unauthenticated:
            return _refused("invalid refresh token")
        done = await call.services.store.write(lambda tx: self._spend(tx, claims))
        return _refused(done) if isinstance(done, str) else token_answer(done, 200)

    def _spend(self, tx: Tx, claims: Claims) -> TokenPair | str:
        """Return a new pair, or why there is none. Raises ``Forbidden`` for an access token."""
        token = tx.tokens.get(self._account_id, claims.token_id)
        if token is not None and not token.refresh:
            raise Forbidden("Insufficient permissions")
        if token is None or token.revoked_at is not None:
            return "refresh token is used or revoked"
        if claims.expires_at <= tx.now:
            return "refresh token has expired"
        return refresh_tokens(tx, self._key, self._account_id, token.id)

    async def revoked(self, call: Call[None, None]) -> Answer:
        """204 for what is not there too."""
        token_id = call.path["jti"]
        await call.services.store.write(lambda tx: revoke_token(tx, self._account_id, token_id))
        return Answer(204)


def operations(phone: LocalPhone) -> tuple[Operation, ...]:
    own = _Tokens(phone)
    return (
        Operation(
            "POST",
            "/auth/token",
            "Issue a pair of tokens",
            "tokens",
            Scope.TOKENS_MANAGE,
            own.issued,
            body=LocalTokenBody,
            answer=TokenShape,
            status=201,
        ),
        Operation(
            "POST",
            "/auth/token/refresh",
            "Spend a refresh token for a new pair",
            "tokens",
            None,
            own.refreshed,
            answer=TokenShape,
            public=True,
            errors={401: "the token is used, revoked, too old or none of this phone"},
            description="The refresh token is sent as Bearer; it can be used once.",
        ),
        Operation(
            "DELETE",
            "/auth/token/{jti}",
            "Revoke a pair of tokens",
            "tokens",
            Scope.TOKENS_MANAGE,
            own.revoked,
            status=204,
            description="Also 204 when there is no such token.",
        ),
    )


def _refused(why: str) -> Answer:
    return Answer(401, ErrorMessage(why))
