"""Secrets, sealed with the master key before they reach the database.

Fernet (AES-128-CBC and HMAC-SHA256) rather than AES-GCM: what it makes is text that fits the
columns there are, and it has no nonce of ours that must never come twice. Binding a value to its
row would keep nobody out: who can write to the database can also give an account a new password.
"""

import base64
import re
from collections.abc import Iterable
from typing import Self

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from textgate.domain.errors import Unavailable

_SEALED = "sealed:"
_KEY_BYTES, _NAME_BYTES = 32, 4


class WrongKey(Unavailable):
    """No key at hand opens a value. Its message holds neither."""


class Vault:
    """Seals with one key, opens with each. A sealed value is ``sealed:<name of key>:<token>``."""

    def __init__(self, master_key: str) -> None:
        """``master_key``: one or more texts, each with the entropy of a key, between blanks or
        commas. The first one seals."""
        self._keys = dict(map(_derived, filter(None, re.split(r"[\s,]+", master_key))))
        self.sealing = next(iter(self._keys))
        """The name of the key that seals."""

    def __repr__(self) -> str:
        return f"Vault(sealing={self.sealing!r})"

    @property
    def prefix(self) -> str:
        """How each value begins that is sealed as this vault seals now."""
        return f"{_SEALED}{self.sealing}:"

    def preferring(self, names: Iterable[str]) -> Self:
        """Return a vault with the same keys that seals with the first one that is in ``names``."""
        wanted = set(names)
        other = type(self).__new__(type(self))
        other._keys = self._keys
        other.sealing = next(name for name in self._keys if name in wanted)
        return other

    def seal(self, text: str) -> str:
        return self.prefix + self._keys[self.sealing].encrypt(text.encode()).decode()

    def open(self, value: str) -> str:
        """Return the text that was sealed; one that is not sealed (of an older version) as it is.

        Raises ``WrongKey``.
        """
        if not value.startswith(_SEALED):
            return value
        name, _, token = value.removeprefix(_SEALED).partition(":")
        if name not in self._keys:
            raise WrongKey("a secret in the database was sealed with another master key")
        try:
            return self._keys[name].decrypt(token).decode()
        except InvalidToken:
            raise WrongKey("a sealed secret in the database is damaged") from None


def key_of(value: str) -> str:
    """Return the name of the key that sealed ``value``."""
    return value.removeprefix(_SEALED).partition(":")[0]


def _derived(master_key: str) -> tuple[str, Fernet]:
    """Return a key's name and the key; neither leads back to the master key (RFC 5869)."""
    kdf = HKDF(SHA256(), length=_KEY_BYTES + _NAME_BYTES, salt=None, info=b"textgate secrets 1")
    made = kdf.derive(master_key.encode())
    return made[_KEY_BYTES:].hex(), Fernet(base64.urlsafe_b64encode(made[:_KEY_BYTES]))
