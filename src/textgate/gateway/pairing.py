"""How a phone gets into an account: by a one-time code, with a password, or as the first of a new
one (A §3.1, §3.4)."""

import secrets

import msgspec

from textgate.domain.account import Account
from textgate.domain.errors import Unauthenticated, Unavailable
from textgate.domain.pairing import ALPHABET, CODE_LENGTH, PairingCode, read_code
from textgate.domain.times import Milliseconds
from textgate.gateway import credentials, devices
from textgate.store.base import Tx

TRIES = 4
"""The first, and three more if it is taken (A §3.4)."""


class Joined(msgspec.Struct, frozen=True):
    """A new phone, and whose it is."""

    account: Account
    registered: devices.Registered


def new_code(tx: Tx, account_id: str, ttl_ms: Milliseconds) -> PairingCode:
    """Make a code that adds one phone to the account, within ``ttl_ms``. Raises ``Unavailable``."""
    until = tx.now + ttl_ms
    for _ in range(TRIES):
        code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        if tx.devices.add_code(code, account_id, until):
            return PairingCode(code, until)
    raise Unavailable("no free code was found; try again")


def join(tx: Tx, account_id: str, wanted: devices.Registration) -> Joined:
    """Add a phone to an account. Raises ``Unauthenticated`` if that is gone, or ``Conflict``."""
    account = tx.accounts.get(account_id)
    if account is None:
        raise Unauthenticated("Unauthorized")
    return Joined(account, devices.register(tx, account_id, wanted))


def join_by_code(tx: Tx, code: str, wanted: devices.Registration) -> Joined:
    """Spend a code. Raises ``Unauthenticated`` if it is wrong, spent or too old, or ``Conflict``
    (then it is not spent)."""
    kept = read_code(code)
    account_id = tx.devices.use_code(kept) if kept else None
    if account_id is None:
        raise Unauthenticated("this one-time code is wrong, spent or too old")
    return join(tx, account_id, wanted)


def join_as_new(tx: Tx, password_hash: str, wanted: devices.Registration) -> Joined:
    """Make an account with a login of ours, and the phone its first (A §1.5.2)."""
    account = credentials.add_account(tx, password_hash=password_hash)
    return Joined(account, devices.register(tx, account.id, wanted))
