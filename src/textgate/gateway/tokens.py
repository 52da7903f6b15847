"""Tokens as text: JSON Web Tokens, HS256, with the claims of A §1.5.3."""

from dataclasses import dataclass
from typing import Any

import jwt

from textgate.config import Settings
from textgate.domain.account import Scope, Token
from textgate.domain.errors import Unauthenticated
from textgate.domain.times import Milliseconds, milliseconds

_ALGORITHM = "HS256"
_REQUIRED = ["jti", "iss", "sub", "exp"]


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What the caller of an issue or a refresh gets."""

    id: str
    """The ``jti`` of the access token: revoking it revokes both."""
    access_token: str
    refresh_token: str
    expires_at: Milliseconds
    """Of the access token."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says; whether it still holds is for the store to say."""

    account_id: str
    token_id: str
    expires_at: Milliseconds


@dataclass(frozen=True, slots=True, repr=False)
class TokenKey:
    """Signs tokens, and reads those it signed."""

    secret: str
    issuer: str
    access_ttl_ms: Milliseconds
    refresh_ttl_ms: Milliseconds

    @classmethod
    def of(cls, settings: Settings, secret: str) -> "TokenKey":
        """``secret`` is that of ``config.kept_secret``."""
        return cls(
            secret,
            settings.jwt_issuer,
            milliseconds(settings.access_token_ttl),
            milliseconds(settings.refresh_token_ttl),
        )

    def sign(self, token: Token) -> str:
        """Return the token as text. Its times are cut to whole seconds, as JWT has them."""
        claims: dict[str, Any] = {
            "jti": token.id,
            "iss": self.issuer,
            "sub": token.account_id,
            "user_id": token.account_id,
            "iat": token.created_at // 1000,
            "exp": token.expires_at // 1000,
            "scopes": list(token.scopes),
        }
        if token.refresh:
            claims["scopes"] = [Scope.TOKENS_REFRESH]
            claims["original_scopes"] = list(token.scopes)
        return jwt.encode(claims, self.secret, algorithm=_ALGORITHM)

    def read(self, text: str) -> Claims:
        """Check signature and issuer. Raises ``Unauthenticated``; the end is left to the caller."""
        try:
            claims = jwt.decode(
                text,
                self.secret,
                algorithms=[_ALGORITHM],
                issuer=self.issuer,
                # Our own clock decides on times.
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            raise Unauthenticated("Unauthorized") from None
        return Claims(str(claims["sub"]), str(claims["jti"]), int(claims["exp"]) * 1000)
