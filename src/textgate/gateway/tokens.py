"""Tokens as text: JSON Web Tokens, HS256, with the claims of A §1.5.3."""

from dataclasses import dataclass
from typing import Any

import jwt

from textgate.config import Settings
from textgate.domain.account import Scope, Token
from textgate.domain.errors import Unauthenticated
from textgate.domain.times import Milliseconds, milliseconds

_ALGORITHM = "HS256"
_REQUIRED = ["jti", "iss", "exp"]
APP = "me.capcom.smsgateway"
"""The name of the app's package, which its own tokens have as their issuer."""
LOCAL_TTL_MS = 86_400_000
MAX_LOCAL_TTL_MS = 365 * 86_400_000


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

    def lifetime(self, asked_ms: Milliseconds) -> Milliseconds:
        """Of an access token; 0 asks for nothing in particular."""
        return min(asked_ms, self.access_ttl_ms) if asked_ms else self.access_ttl_ms

    def refresh_lifetime(self, access_ms: Milliseconds) -> Milliseconds:
        """Of the refresh token issued with an access token that lives so long."""
        return self.refresh_ttl_ms

    def sign(self, token: Token) -> str:
        """Return the token as text. Its times are cut to whole seconds, as JWT has them."""
        claims: dict[str, Any] = {
            "jti": token.id,
            "iss": self.issuer,
            "iat": token.created_at // 1000,
            "exp": token.expires_at // 1000,
            "scopes": list(token.scopes),
        }
        if token.refresh:
            claims["scopes"] = [Scope.TOKENS_REFRESH]
            claims["original_scopes"] = list(token.scopes)
        return jwt.encode(claims | self._owner(token), self.secret, algorithm=_ALGORITHM)

    def _owner(self, token: Token) -> dict[str, Any]:
        """Return the claims that say whose the token is."""
        return {"sub": token.account_id, "user_id": token.account_id}

    def _owner_of(self, claims: dict[str, Any]) -> str:
        return str(claims["sub"])

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
            return Claims(self._owner_of(claims), str(claims["jti"]), int(claims["exp"]) * 1000)
        except (jwt.PyJWTError, KeyError):
            raise Unauthenticated("Unauthorized") from None


@dataclass(frozen=True, slots=True, repr=False)
class LocalTokenKey(TokenKey):
    """Signs the tokens of a phone's own API (A §2.10): it has one account, so they name none."""

    account_id: str

    @classmethod
    def on_phone(cls, secret: str, account_id: str) -> "LocalTokenKey":
        return cls(secret, APP, LOCAL_TTL_MS, MAX_LOCAL_TTL_MS, account_id)

    def lifetime(self, asked_ms: Milliseconds) -> Milliseconds:
        return asked_ms or self.access_ttl_ms

    def refresh_lifetime(self, access_ms: Milliseconds) -> Milliseconds:
        return max(min(self.refresh_ttl_ms, 7 * access_ms), access_ms + 1_000)

    def _owner(self, token: Token) -> dict[str, Any]:
        return {"token_use": "refresh" if token.refresh else "access"}

    def _owner_of(self, claims: dict[str, Any]) -> str:
        return self.account_id
