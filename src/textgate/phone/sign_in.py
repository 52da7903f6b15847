"""How a phone gets to its server: registered once, announced at each start (A §3.1)."""

from collections.abc import Callable
from typing import Any

import msgspec

from textgate.domain.errors import TextgateError
from textgate.domain.times import Clock
from textgate.phone.accounts import Membership, join, membership
from textgate.phone.behaviour import Behaviour
from textgate.phone.chore import wait_after
from textgate.phone.happening import Happening, Kind
from textgate.phone.mobile_api import Credentials, MobileApi, NotDone, basic
from textgate.phone.network import Network
from textgate.store.base import Store

ANEW = "it registers anew, by itself, and so not in the account that it was of"
ANOTHER = "another data folder is another phone"
UNAUTHORIZED, TOO_MANY = 401, 429


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What a person gave the phone to sign in with; nothing: it makes an account of its own."""

    private_token: str | None = None
    login: str | None = None
    password: str | None = None
    code: str | None = None

    @property
    def authorization(self) -> str | None:
        """Of a registration that a person asked for."""
        if self.code is not None:
            return f"Code {self.code}"
        if self.login is not None:
            return basic(self.login, self.password or "")
        return self.automatic

    @property
    def automatic(self) -> str | None:
        """Of a registration that nobody asked for: anonymous, with the private token if any."""
        return f"Bearer {self.private_token}" if self.private_token else None


class Refused(TextgateError):
    """The server does not take the phone."""


class Joining:
    """The way of one phone to its server."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        network: Network,
        account_id: str,
        behaviour: Behaviour,
        tell: Callable[[Happening], None],
    ) -> None:
        self._store, self._clock, self._network = store, clock, network
        self._account_id, self._behaviour, self._tell = account_id, behaviour, tell
        self._sims = [sim.masked() for sim in behaviour.sims]

    async def arrive(self, api: MobileApi, server: str, how: SignIn) -> tuple[Membership, bool]:
        """Return once the server knows the phone; registers it if it is not registered there.

        True: it is a new registration.

        Faults that may pass are waited out, 10 s at first. Raises ``Refused`` if the server does
        not take what the person gave.
        """
        member = await self._store.read(lambda tx: membership(tx, self._account_id))
        if member is not None and member.server == server:
            if await self._announce(api, member):
                self._say_unused(member.known, how)
                return member, False
            self._say("trouble", "the server knows this phone no more: " + ANEW)
            authorization, asked = how.automatic, False
        else:
            authorization, asked = how.authorization, True
        known = await self._register(api, authorization, asked=asked)
        fresh = Membership(server, known)
        await self._store.write(lambda tx: join(tx, self._account_id, fresh, self._behaviour))
        return fresh, True

    async def _announce(self, api: MobileApi, member: Membership) -> bool:
        """Say that the phone is there; False if the server knows no such phone any more."""
        failures = 0
        while True:
            await self._network.up.wait()
            try:
                await api.update(member.known, self._sims)
            except NotDone as problem:
                if problem.status == UNAUTHORIZED:
                    return False
                failures += 1
                await self._wait(problem, failures)
            else:
                return True

    async def _register(
        self, api: MobileApi, authorization: str | None, *, asked: bool
    ) -> Credentials:
        failures = 0
        while True:
            await self._network.up.wait()
            try:
                return await api.register(self._behaviour.model, self._sims, authorization)
            except NotDone as problem:
                status = problem.status or 0
                if asked and 400 <= status < 500 and status != TOO_MANY:
                    raise Refused(problem.message) from None
                failures += 1
                await self._wait(problem, failures)

    async def _wait(self, problem: NotDone, failures: int) -> None:
        wait_ms = wait_after(failures)
        self._say("trouble", problem.message, again_s=wait_ms // 1000)
        await self._clock.sleep(wait_ms)

    def _say_unused(self, known: Credentials, how: SignIn) -> None:
        """What a person gave does not change who a phone is that is registered already."""
        if how.code is not None:
            given = "the code is not needed"
        elif how.login is not None and how.login.lower() != known.login.lower():
            given = f"account {how.login} is not joined"
        else:
            return
        said = f"{given}: this phone is {known.id} of account {known.login} already; {ANOTHER}"
        self._say("trouble", said)

    def _say(self, kind: Kind, text: str, **fields: Any) -> None:
        self._tell(Happening(at=self._clock.now(), kind=kind, text=text, fields=fields))
