"""How often somebody without an account may try to register a phone (A §3.1).

Counted by address; of IPv6 by the /64, which is what one subscriber has. A guess is a one-time code
or a private token that may be wrong; only wrong ones count in the end. Of all addresses together
so many wrong ones are taken that a code of 6 characters (A §1.3), good for some minutes, is not
found: 60 a minute are some 300 in 887 million while a code lives.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from textgate.domain.errors import RateLimited, Unauthenticated
from textgate.domain.quota import Quota
from textgate.domain.times import Milliseconds

MINUTE, HOUR = 60_000, 3_600_000
MOST_OF_ADDRESS = 64
"""Characters that are remembered of what is no address."""
_EVERYBODY = ""


class Admission:
    """The counts of one server."""

    def __init__(self) -> None:
        self._guesses = Quota((10, MINUTE), (60, HOUR))
        self._all_guesses = Quota((60, MINUTE))
        self._accounts = Quota((30, HOUR))
        self._codes = Quota((30, MINUTE))

    @contextmanager
    def guess(self, address: str | None, now: Milliseconds) -> Iterator[None]:
        """Count a guess before it is looked at, and leave it counted if that finds it wrong:
        ``Unauthenticated``. Raises ``RateLimited``."""
        who = network(address)
        _refuse(self._guesses.take(who, now))
        wait = self._all_guesses.take(_EVERYBODY, now)
        if wait > 0:
            self._guesses.give_back(who)
        _refuse(wait)
        wrong = False
        try:
            yield
        except Unauthenticated:
            wrong = True
            raise
        finally:
            if not wrong:
                self._guesses.give_back(who)
                self._all_guesses.give_back(_EVERYBODY)

    def new_account(self, address: str | None, now: Milliseconds) -> None:
        """Count an account made for a stranger. Raises ``RateLimited``."""
        _refuse(self._accounts.take(network(address), now))

    def new_code(self, account_id: str, now: Milliseconds) -> None:
        """Count a one-time code made for an account. Raises ``RateLimited``."""
        _refuse(self._codes.take(account_id, now))


def network(address: str | None) -> str:
    """Return what is counted as one: an IPv4 address, the /64 of an IPv6 one, or what is given, of
    which a proxy may have passed on too much."""
    try:
        found = IPv6Address(address or "")
    except AddressValueError:
        return (address or "unknown")[:MOST_OF_ADDRESS]
    if found.ipv4_mapped is not None:
        return str(IPv4Address(found.ipv4_mapped))
    return str(IPv6Address(int(found) >> 64 << 64))


def _refuse(wait: Milliseconds) -> None:
    if wait > 0:
        seconds = math.ceil(wait / 1000)
        raise RateLimited(f"too many tries; wait {seconds} s", retry_after_s=seconds)
