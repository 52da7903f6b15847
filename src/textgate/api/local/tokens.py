"""Tokens of a phone's own API (A §2.10)."""

import msgspec

from textgate.api.local.phone import LocalPhone
from textgate.api.operation import Answer, Call, Operation
from textgate.api.problem import ErrorMessage
from textgate.api.thirdparty_v1.tokens import TokenShape, token_answer
from textgate.domain.account import Scope
from textgate.domain.errors import Forbidden, Invalid, Unauthenticated
from textgate.gateway.credentials import issue_tokens, refresh_tokens, revoke_token
from textgate.gateway.tokens import MAX_LOCAL_TTL_MS, TokenPair
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


def operations(phone: LocalPhone) -> tuple[Operation, ...]:
    account_id, key = phone.account_id, phone.key

    async def issued(call: Call[None, LocalTokenBody]) -> Answer:
        body = call.body
        _check(body)
        pair = await call.services.store.write(
            lambda tx: issue_tokens(
                tx, key, account_id, scopes=tuple(body.scopes), ttl_ms=1_000 * (body.ttl or 0)
            )
        )
        return token_answer(pair, 201)

    async def refreshed(call: Call[None, None]) -> Answer:
        """The refresh token is the caller's very credential; what is wrong with it is told."""
        scheme, _, given = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Unauthorized")
        now = call.services.clock.now()
        try:
            claims = key.read(given.strip())
        except Unauthenticated:
            return _refused("invalid refresh token")

        def work(tx: Tx) -> TokenPair | str:
            token = tx.tokens.get(account_id, claims.token_id)
            if token is not None and not token.refresh:
                raise Forbidden("Insufficient permissions")
            if token is None or token.revoked_at is not None:
                return "refresh token is used or revoked"
            if claims.expires_at <= now:
                return "refresh token has expired"
            return refresh_tokens(tx, key, account_id, token.id)

        done = await call.services.store.write(work)
        return _refused(done) if isinstance(done, str) else token_answer(done, 200)

    async def revoked(call: Call[None, None]) -> Answer:
        """204 for what is not there too."""
        token_id = call.path["jti"]
        await call.services.store.write(lambda tx: revoke_token(tx, account_id, token_id))
        return Answer(204)

    return (
        Operation(
            "POST",
            "/auth/token",
            "Issue a pair of tokens",
            "tokens",
            Scope.TOKENS_MANAGE,
            issued,
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
            refreshed,
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
            revoked,
            status=204,
            description="Also 204 when there is no such token.",
        ),
    )


def _refused(why: str) -> Answer:
    return Answer(401, ErrorMessage(why))
