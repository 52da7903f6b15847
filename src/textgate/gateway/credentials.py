"""Accounts and how they are entered: passwords, tokens, the secret that signs webhooks."""

import hashlib
import secrets
import string
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from textgate.domain.account import Account, Scope, Token
from textgate.domain.errors import Conflict, Invalid, NotFound, Unauthenticated
from textgate.domain.times import Milliseconds
from textgate.gateway.tokens import TokenKey, TokenPair
from textgate.store.base import Tx

LOGIN_LENGTH = 6
PASSWORD_LENGTH = 14
"""Of made passwords, and the least of chosen ones (A §3.5). 14 of 36 characters are 72 bits."""
MAX_LOGIN_LENGTH = 64
MAX_PASSWORD_LENGTH = 256
SECRET_BYTES = 24
"""32 characters of ``A-Za-z0-9_-``."""
SECRET_OVERLAP_MS = 24 * 3600 * 1000
"""How long both webhook secrets sign after a rotation, unless asked otherwise."""
MAX_SCOPES = 64
MAX_SCOPE_LENGTH = 64

_LOGIN = string.ascii_uppercase + string.digits
_PASSWORD = string.ascii_lowercase + string.digits
# OWASP's least for argon2id (19 MiB, two passes, one lane): some 20 ms here. Made passwords have
# 72 bits, so a dearer hash would protect nobody and would slow down a small machine.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def make_password() -> str:
    """Return a fresh password in the form of A §1.3."""
    return "".join(secrets.choice(_PASSWORD) for _ in range(PASSWORD_LENGTH))


def make_webhook_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def token_hash(token: str) -> str:
    """Return what is kept of a device token. It has 126 random bits, so a plain digest will do."""
    return hashlib.sha256(token.encode()).hexdigest()


def hash_password(password: str, *, least: int = PASSWORD_LENGTH) -> str:
    """Check a new password and return its argon2id hash; takes a while, so call it in a thread.

    Raises ``Invalid``.
    """
    if not least <= len(password) <= MAX_PASSWORD_LENGTH:
        rule = f"a password has from {least} to {MAX_PASSWORD_LENGTH} characters"
        raise Invalid(rule, field="password")
    return _HASHER.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether ``password`` is the one of the hash; takes as long when there is no hash.

    What keeps the check from being made (no memory) is raised: it does not make a password wrong.
    """
    if len(password) > MAX_PASSWORD_LENGTH:
        password = ""
    try:
        _HASHER.verify(password_hash or _nobodys_hash(), password)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return password_hash is not None


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash(make_password())


def add_account(tx: Tx, *, password_hash: str, login: str | None = None) -> Account:
    """Add an account; a login is made if none is given. Raises ``Invalid`` or ``Conflict``."""
    if login is None:
        login = _free_login(tx)
    else:
        _check_login(login)
        if tx.accounts.by_login(login) is not None:
            raise Conflict(f"the login {login} is taken", field="login")
    account = Account(
        id=tx.new_id(),
        login=login,
        password_hash=password_hash,
        created_at=tx.now,
        settings={},
        webhook_secret=make_webhook_secret(),
        previous_secret=None,
        previous_secret_until=0,
    )
    tx.accounts.add(account)
    return account


def _free_login(tx: Tx) -> str:
    while True:
        login = "".join(secrets.choice(_LOGIN) for _ in range(LOGIN_LENGTH))
        if tx.accounts.by_login(login) is None:
            return login


def _check_login(login: str) -> None:
    usable = login.isprintable() and ":" not in login and " " not in login
    if not usable or not 1 <= len(login) <= MAX_LOGIN_LENGTH:
        rule = f"a login has from 1 to {MAX_LOGIN_LENGTH} characters, no blank and no colon"
        raise Invalid(rule, field="login")


def account_named(tx: Tx, login: str) -> Account:
    """Return the account of this login; NotFound if there is none."""
    account = tx.accounts.by_login(login)
    if account is None:
        raise NotFound(f"there is no account {login}", field="login")
    return account


def rename(tx: Tx, account_id: str, login: str) -> None:
    """Give an account another login. Raises ``Invalid`` or ``Conflict``."""
    _check_login(login)
    if tx.accounts.by_login(login) is not None:
        raise Conflict(f"the login {login} is taken", field="login")
    tx.accounts.set_login(account_id, login)


def set_password(tx: Tx, account_id: str, password_hash: str) -> None:
    """Change the password; every token of the account ends with the old one (A §3.5)."""
    tx.accounts.set_password(account_id, password_hash)
    tx.tokens.revoke_all(account_id)


def remove_account(tx: Tx, account_id: str) -> None:
    """Remove an account and all that belongs to it."""
    tx.accounts.remove(account_id)


def rotate_webhook_secret(
    tx: Tx, account_id: str, *, overlap_ms: Milliseconds = SECRET_OVERLAP_MS
) -> str:
    """Make a new webhook secret and return it; the old one signs beside it for ``overlap_ms``."""
    if overlap_ms < 0:
        raise Invalid("an overlap is not negative", field="overlap")
    secret = make_webhook_secret()
    tx.accounts.rotate_secret(account_id, secret, tx.now + overlap_ms)
    return secret


def issue_tokens(
    tx: Tx, key: TokenKey, account_id: str, *, scopes: tuple[str, ...], ttl_ms: Milliseconds = 0
) -> TokenPair:
    """Issue an access token and its refresh token (A §1.5.3).

    ``ttl_ms`` of the access token is cut to the configured one; 0 is all of it. Scopes are not
    checked against a list: a token may name what only a later version knows; but
    ``tokens:refresh`` is not for asking. Raises ``Invalid``.
    """
    _check_scopes(scopes)
    if ttl_ms < 0:
        raise Invalid("ttl must not be negative", field="ttl")
    return _issue(tx, key, account_id, scopes, key.lifetime(ttl_ms))


def refresh_tokens(tx: Tx, key: TokenKey, account_id: str, token_id: str) -> TokenPair:
    """Spend a refresh token for a new pair with the scopes of the first one.

    Raises ``Unauthenticated`` if it was spent or revoked before. The old access token lives on
    until it ends by itself; the new one gets the full configured time, as upstream does it.
    """
    token = tx.tokens.get(account_id, token_id)
    if token is None or not tx.tokens.use(account_id, token_id):
        raise Unauthenticated("Unauthorized")
    return _issue(tx, key, account_id, token.scopes, key.lifetime(0))


def revoke_token(tx: Tx, account_id: str, token_id: str) -> None:
    """Revoke a token and those issued with it; one that is not known needs no revoking."""
    tx.tokens.revoke(account_id, token_id)


def _check_scopes(scopes: tuple[str, ...]) -> None:
    if not 1 <= len(scopes) <= MAX_SCOPES:
        raise Invalid(f"from 1 to {MAX_SCOPES} scopes are needed", field="scopes")
    for scope in scopes:
        if not 1 <= len(scope) <= MAX_SCOPE_LENGTH or scope.split() != [scope]:
            rule = f"a scope has from 1 to {MAX_SCOPE_LENGTH} characters and no blank"
            raise Invalid(rule, field="scopes")
        if scope == Scope.TOKENS_REFRESH:  # it belongs to refresh tokens alone (A §2.10)
            raise Invalid("unsupported scope provided", field="scopes")


def _issue(
    tx: Tx, key: TokenKey, account_id: str, scopes: tuple[str, ...], lifetime: Milliseconds
) -> TokenPair:
    access = Token(
        account_id=account_id,
        id=tx.new_id(),
        parent_id=None,
        scopes=scopes,
        refresh=False,
        created_at=tx.now,
        expires_at=tx.now + lifetime,
        revoked_at=None,
    )
    refresh = Token(
        account_id=account_id,
        id=tx.new_id(),
        parent_id=access.id,
        scopes=scopes,  # those of the pair; a refresh token itself may only refresh
        refresh=True,
        created_at=tx.now,
        expires_at=tx.now + key.refresh_lifetime(lifetime),
        revoked_at=None,
    )
    tx.tokens.add(access)
    tx.tokens.add(refresh)
    return TokenPair(
        id=access.id,
        access_token=key.sign(access),
        refresh_token=key.sign(refresh),
        expires_at=access.expires_at,
    )
