"""Access tokens (A §1.5.3, §2.8)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from textgate.api.fields import DateTime
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.errors import Unauthenticated
from textgate.domain.times import rfc3339
from textgate.gateway.credentials import MAX_SCOPES, issue_tokens, refresh_tokens, revoke_token
from textgate.gateway.tokens import TokenKey, TokenPair

MAX_TTL_S = 2**31 - 1


class TokenBody(msgspec.Struct):
    """A token to issue."""

    scopes: Annotated[list[str], Meta(min_length=1, max_length=MAX_SCOPES)]
    ttl: (
        Annotated[
            int, Meta(ge=0, le=MAX_TTL_S, description="Seconds, cut to the server's; 0: all of it")
        ]
        | None
    ) = None


class TokenShape(msgspec.Struct):
    """A pair of tokens, each member in the two spellings that clients read."""

    id: str
    token_type: str
    access_token: str
    refresh_token: str
    expires_at: DateTime
    token_type_camel: str = msgspec.field(name="tokenType")
    access_token_camel: str = msgspec.field(name="accessToken")
    refresh_token_camel: str = msgspec.field(name="refreshToken")
    expires_at_camel: DateTime = msgspec.field(name="expiresAt")


def token_answer(pair: TokenPair, status: int = 201) -> Answer:
    members = ("Bearer", pair.access_token, pair.refresh_token, rfc3339(pair.expires_at))
    return Answer(status, TokenShape(pair.id, *members, *members), (("Cache-Control", "no-store"),))


async def issued(call: Call[None, TokenBody]) -> Answer:
    services, account_id, body = call.services, call.account.id, call.body
    key = TokenKey.of(services.settings, services.jwt_secret)
    pair = await services.store.write(
        lambda tx: issue_tokens(
            tx, key, account_id, scopes=tuple(body.scopes), ttl_ms=(body.ttl or 0) * 1000
        )
    )
    return token_answer(pair)


async def refreshed(call: Call[None, None]) -> Answer:
    """The refresh token is the caller's very credential; a body is not looked at."""
    services, caller = call.services, call.caller
    if caller is None or caller.token_id is None:
        raise Unauthenticated("Unauthorized")
    account_id, token_id = caller.account.id, caller.token_id
    key = TokenKey.of(services.settings, services.jwt_secret)
    pair = await services.store.write(lambda tx: refresh_tokens(tx, key, account_id, token_id))
    return token_answer(pair)


async def revoked(call: Call[None, None]) -> Answer:
    """204 for what is not there too, as the original answers."""
    account_id, token_id = call.account.id, call.path["jti"]
    await call.services.store.write(lambda tx: revoke_token(tx, account_id, token_id))
    return Answer(204)


OPERATIONS = (
    Operation(
        "POST",
        "/auth/token",
        "Issue a pair of tokens",
        "tokens",
        Scope.TOKENS_MANAGE,
        issued,
        body=TokenBody,
        answer=TokenShape,
        status=201,
    ),
    Operation(
        "POST",
        "/auth/token/refresh",
        "Spend a refresh token for a new pair",
        "tokens",
        Scope.TOKENS_REFRESH,
        refreshed,
        answer=TokenShape,
        status=201,
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
