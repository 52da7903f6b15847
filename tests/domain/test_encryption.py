"""End-to-end encryption is that of the app: its vector, its Python client, what is refused."""

import base64

import pytest
from android_sms_gateway import Encryptor
from hypothesis import given, settings
from hypothesis import strategies as st

from textgate.domain.encryption import (
    ALGORITHM,
    ITERATIONS,
    MAX_ITERATIONS,
    SALT_BYTES,
    decrypt,
    encrypt,
    is_encrypted,
)
from textgate.domain.errors import Invalid

VALUE = f"${ALGORITHM}$i=75000$obSTW6ittQvTtdAxonQKIw==$g3QFAC9CtBcPxoKlouqsyQ=="
SALT = base64.b64decode("obSTW6ittQvTtdAxonQKIw==")
FEW = 10
"""Iterations of tests: what they cost is not what is tested."""


def test_the_vector_holds_both_ways() -> None:
    assert encrypt("hello", "passphrase", SALT) == VALUE
    assert decrypt(VALUE, "passphrase") == "hello"


def test_a_number_as_a_value_fits_into_what_a_message_holds() -> None:
    assert len(encrypt("+4915112345678", "passphrase", SALT)) < 128


@pytest.mark.parametrize("iterations", [FEW, ITERATIONS])
@pytest.mark.parametrize("text", ["hello", "", "0123456789abcdef", "Grüezi 🎉 " * 20])
def test_the_original_client_and_we_read_each_other(text: str, iterations: int) -> None:
    # In ASCII: the client writes other letters as Latin-1, and phones as UTF-8, as we do.
    original = Encryptor("pass phrase", iterations=iterations)
    assert decrypt(original.encrypt(text), "pass phrase") == text
    assert original.decrypt(encrypt(text, "pass phrase", SALT, iterations)) == text


@settings(deadline=None)
@given(
    text=st.text(),
    passphrase=st.text(min_size=1),
    salt=st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES),
    iterations=st.integers(1, FEW),
)
def test_what_was_encrypted_is_read_again(
    text: str, passphrase: str, salt: bytes, iterations: int
) -> None:
    value = encrypt(text, passphrase, salt, iterations)
    assert is_encrypted(value)
    assert value.isascii()
    assert f"$i={iterations}$" in value
    assert decrypt(value, passphrase) == text


def test_each_salt_makes_another_value() -> None:
    values = {encrypt("hello", "p", bytes([n] * SALT_BYTES), FEW) for n in range(9)}
    assert len(values) == 9
    with pytest.raises(ValueError, match="16 bytes"):
        encrypt("hello", "p", b"short", FEW)


def test_another_passphrase_is_refused() -> None:
    # One in 256 or so gives padding by chance; for this value none of these does.
    for wrong in ("Passphrase", "passphrase ", "p"):
        with pytest.raises(Invalid, match="not the one"):
            decrypt(VALUE, wrong)


@given(st.text(max_size=40))
def test_what_is_no_value_is_refused_in_words(text: str) -> None:
    assert not is_encrypted(text)
    with pytest.raises(Invalid):
        decrypt(text, "passphrase")


def value(
    *, algorithm: str = ALGORITHM, options: str = "i=10", salt: bytes = SALT, sealed: str = "A" * 64
) -> str:
    return f"${algorithm}${options}${base64.b64encode(salt).decode()}${sealed}"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("+4915112345678", "no encrypted value"),
        (VALUE[1:], "no encrypted value"),
        (VALUE + "$", "no encrypted value"),
        (value(algorithm="aes-256-gcm/argon2"), "not known here; known is aes-256-cbc"),
        (value(options=""), "how many iterations"),
        (value(options="j=10"), "how many iterations"),
        (value(options="i="), "how many iterations"),
        (value(options="i=-5"), "how many iterations"),
        (value(options="i=٣"), "how many iterations"),
        (value(options="i=" + "9" * 5000), "how many iterations"),
        (value(options="i=0"), "from 1 to 2000000"),
        (value(options=f"i={MAX_ITERATIONS + 1}"), "from 1 to 2000000"),
        (value(options="i=999999999999"), "from 1 to 2000000"),
        (value(salt=b"short"), "salt"),
        (value(sealed=""), "whole blocks"),
        (value(sealed="AAAA"), "whole blocks"),
        (value(sealed="not base64"), "base64"),
        (value(sealed="é" * 4), "base64"),
        (value(sealed="A" * 63), "base64"),
    ],
)
def test_a_broken_value_is_refused_with_its_reason(wrong: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        decrypt(wrong, "passphrase")


def test_further_options_are_passed_over() -> None:
    made = encrypt("hello", "p", SALT, FEW)
    assert decrypt(made.replace("$i=", "$v=1,i="), "p") == "hello"


@pytest.mark.parametrize("iterations", [0, -1, MAX_ITERATIONS + 1])
def test_nothing_is_encrypted_that_would_not_be_read(iterations: int) -> None:
    with pytest.raises(Invalid, match="iterations"):
        encrypt("hello", "passphrase", SALT, iterations)
    with pytest.raises(Invalid, match="empty"):
        encrypt("hello", "", SALT, FEW)
    with pytest.raises(Invalid, match="empty"):
        decrypt(VALUE, "")
