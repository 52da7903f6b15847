"""One-time codes and the password, from a phone (A §3.4, §3.5)."""

import msgspec

from textgate.api.fields import DateTime
from textgate.api.operation import Answer, Call, Operation, Services
from textgate.domain.errors import Invalid, Unauthenticated
from textgate.domain.pairing import PairingCode
from textgate.domain.times import milliseconds, rfc3339
from textgate.gateway import credentials
from textgate.gateway.pairing import new_code
from textgate.store.base import Tx


class OneTimeCode(msgspec.Struct, rename="camel"):
    """Adds one phone to the account."""

    code: str
    valid_until: DateTime


class PasswordChange(msgspec.Struct, rename="camel"):
    """The password there is, and the one there shall be."""

    current_password: str
    new_password: str


async def make_code(services: Services, account_id: str) -> PairingCode:
    """Make a one-time code. Raises ``RateLimited``."""
    services.admission.new_code(account_id, services.clock.now())
    ttl_ms = milliseconds(services.settings.phone_code_ttl)
    return await services.store.write(lambda tx: new_code(tx, account_id, ttl_ms))


async def _code(call: Call[None, None]) -> Answer:
    made = await make_code(call.services, call.account.id)
    return Answer(200, OneTimeCode(made.code, rfc3339(made.valid_until)))


async def _change_password(call: Call[None, PasswordChange]) -> Answer:
    account_id, said, services = call.account.id, call.body, call.services
    least, most = credentials.PASSWORD_LENGTH, credentials.MAX_PASSWORD_LENGTH
    if not least <= len(said.new_password) <= most:
        raise Invalid(f"a password has from {least} to {most} characters", field="newPassword")
    account = await services.store.read(lambda tx: tx.accounts.get(account_id))
    known = account.password_hash if account else None
    if not await services.passwords.verify(known, said.current_password):
        raise _wrong()
    hashed = await services.passwords.hash(said.new_password)

    def change(tx: Tx) -> None:
        now = tx.accounts.get(account_id)
        if now is None or now.password_hash != known:  # changed by somebody else meanwhile
            raise _wrong()
        credentials.set_password(tx, account_id, hashed)

    await services.store.write(change)
    return Answer(204)


def _wrong() -> Unauthenticated:
    return Unauthenticated("failed to change password")


_TAG = "phones"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/user/code",
        "A one-time code for another phone",
        _TAG,
        None,
        _code,
        answer=OneTimeCode,
        errors={429: "Too many codes in a short time."},
        password_only=True,
    ),
    Operation(
        "PATCH",
        "/user/password",
        "Change the account's password",
        _TAG,
        None,
        _change_password,
        body=PasswordChange,
        status=204,
        for_phones=True,
        description="All access tokens end with the old password; phones stay in.",
    ),
)
