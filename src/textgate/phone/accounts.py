"""The phones of one data folder: an account for each, with its signing key and what it knows of
its server."""

import secrets
import string

import msgspec

from textgate.domain.account import Account, Channel
from textgate.domain.device import PhonePolicy
from textgate.gateway import credentials, devices
from textgate.gateway.devices import Registration
from textgate.phone.behaviour import Behaviour
from textgate.phone.mobile_api import Credentials
from textgate.store.base import Tx

KEY_LENGTH = 8
"""Of a signing key that the app makes (A §4.5)."""
_KEY = string.ascii_letters + string.digits
NOBODYS = "!"
"""A hash that no password has: nobody signs in to an account of a phone by HTTP."""
_DAY_S = 86_400
POLICY = PhonePolicy(
    webhook_delivery="server",
    delivered_per_part=True,
    move_on_after_s=_DAY_S,
    offline_after_s=30 * _DAY_S,
)
"""A phone calls its webhooks itself, once for each part; there is nobody else to move work to."""
UPLINK = "uplink"


class Membership(msgspec.Struct, frozen=True):
    """Where a phone is registered, and as what."""

    server: str
    """The base of the device API."""
    known: Credentials


def own_account(tx: Tx, number: int) -> Account:
    """Return the account of the phone of this number (from 1), made if there is none."""
    login = f"phone-{number}"
    found = tx.accounts.by_login(login)
    if found is None:
        found = credentials.add_account(tx, password_hash=NOBODYS, login=login)
        tx.accounts.set_phones(found.id, POLICY)
        set_signing_key(tx, found.id, "".join(secrets.choice(_KEY) for _ in range(KEY_LENGTH)))
        found = tx.accounts.get(found.id)
        assert found is not None
    return found


def set_signing_key(tx: Tx, account_id: str, key: str) -> None:
    """Sign webhooks with ``key`` from now on, and with nothing else."""
    tx.accounts.rotate_secret(account_id, key, tx.now)


def membership(tx: Tx, account_id: str) -> Membership | None:
    """Return where the phone is registered; None: nowhere yet."""
    kept = _uplink(tx, account_id)
    return msgspec.convert(kept.settings, Membership) if kept else None


def join(tx: Tx, account_id: str, member: Membership, behaviour: Behaviour) -> None:
    """Keep the new membership, and be a device of the id that the server gave.

    What the phone was before is forgotten with its messages' way out: those that were still to be
    sent fail, as the server has forgotten them too (A §7.6).
    """
    for old in tx.devices.all(account_id):
        devices.remove(tx, account_id, old.id)
    kept = _uplink(tx, account_id)
    # A channel that carries nothing: the store seals its settings, and the token is among them.
    row = Channel(
        account_id=account_id,
        id=kept.id if kept else tx.new_id(),
        name=UPLINK,
        provider=UPLINK,
        settings=msgspec.to_builtins(member),
        enabled=False,
        position=1_000,
        max_in_flight=1,
        rate=None,
        retry_waits=None,
        created_at=tx.now,
        updated_at=tx.now,
    )
    (tx.channels.save if kept else tx.channels.add)(row)
    wanted = Registration(name=behaviour.model, sim_cards=list(behaviour.sims))
    devices.register(tx, account_id, wanted, device_id=member.known.id)


def _uplink(tx: Tx, account_id: str) -> Channel | None:
    return next((c for c in tx.channels.all(account_id) if c.provider == UPLINK), None)
