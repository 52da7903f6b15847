"""End-to-end encryption of SMS Gateway for Android (A §6): AES-256-CBC, PBKDF2 with SHA-1.

A value is ``$aes-256-cbc/pbkdf2-sha1$i=<iterations>$<base64 salt>$<base64 ciphertext>``; the salt
is also the initialization vector. Only the phone and who writes to it know the passphrase: the
server passes values on without reading them. Nothing here tells whether a value was changed on its
way (there is no authentication in the format); a wrong passphrase is noticed nearly always.
"""

import base64
import binascii
import hashlib

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from textgate.domain.errors import Invalid

ALGORITHM = "aes-256-cbc/pbkdf2-sha1"
ITERATIONS = 75_000
"""What the clients of the app use."""
MAX_ITERATIONS = 2_000_000
"""A value names its own number, so whoever made it chooses how long its reader works: about a
second for this many, and hours for what an integer could ask. It is half as much again as the most
that is recommended for this function anywhere (OWASP's 1,300,000)."""
SALT_BYTES = 16
_KEY_BYTES = 32
_BLOCK_BITS = 128


def encrypt(text: str, passphrase: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return ``text`` as a value that the app can read.

    ``salt``: 16 bytes of chance, fresh for each value. Raises ``Invalid`` for an empty passphrase
    or a number of iterations that :func:`decrypt` would refuse.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    encryptor = _cipher(passphrase, salt, iterations).encryptor()
    sealed = encryptor.update(padded) + encryptor.finalize()
    return f"${ALGORITHM}$i={iterations}${_base64(salt)}${_base64(sealed)}"


def decrypt(value: str, passphrase: str) -> str:
    """Return the text of a value. Raises ``Invalid`` for what is none, and for another passphrase
    than it was made with."""
    iterations, salt, sealed = _parts(value)
    decryptor = _cipher(passphrase, salt, iterations).decryptor()
    padded = decryptor.update(sealed) + decryptor.finalize()
    unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
    try:
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:  # of the padding, and of UTF-8
        raise Invalid("the passphrase is not the one this was encrypted with") from None


def is_encrypted(text: str) -> bool:
    """Whether this looks like a value, and not like a text or a number."""
    return text.startswith(f"${ALGORITHM}$")


def _parts(value: str) -> tuple[int, bytes, bytes]:
    match value.split("$"):
        case ["", algorithm, options, salt, sealed]:
            pass
        case _:
            raise Invalid("this is no encrypted value")
    if algorithm != ALGORITHM:
        raise Invalid(f"encrypted in a way that is not known here; known is {ALGORITHM}")
    raw_salt, raw_sealed = _bytes(salt), _bytes(sealed)
    if len(raw_salt) != SALT_BYTES:
        raise Invalid(f"the salt of an encrypted value has {SALT_BYTES} bytes")
    if not raw_sealed or len(raw_sealed) % SALT_BYTES:
        raise Invalid("an encrypted value is whole blocks of 16 bytes; this one was cut")
    return _iterations(options), raw_salt, raw_sealed


def _iterations(options: str) -> int:
    for option in options.split(","):
        name, _, number = option.partition("=")
        if name == "i" and number.isascii() and number.isdecimal() and len(number) < 20:
            return int(number)
    raise Invalid("an encrypted value says how many iterations it takes, as i=75000")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("an encrypted value is written in standard base64") from None


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _cipher(passphrase: str, salt: bytes, iterations: int) -> Cipher[modes.CBC]:
    if not passphrase:
        raise Invalid("the passphrase is empty")
    if not 1 <= iterations <= MAX_ITERATIONS:
        raise Invalid(f"from 1 to {MAX_ITERATIONS} iterations are accepted, not {iterations}")
    key = hashlib.pbkdf2_hmac("sha1", passphrase.encode(), salt, iterations, _KEY_BYTES)
    return Cipher(algorithms.AES256(key), modes.CBC(salt))
