"""What can be done with the phones of a run, wherever they are: at a server or their own."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from textgate.domain.lifecycle import State
from textgate.domain.times import Milliseconds
from textgate.phone.behaviour import Behaviour
from textgate.phone.happening import Happening
from textgate.phone.incoming import Incoming
from textgate.store.base import Tx


class Told(msgspec.Struct, frozen=True):
    """What happened, and on which phone (from 1); 0: it is about all of them."""

    phone: int
    device_id: str | None
    happening: Happening


Tell = Callable[[Told], None]


class Phones(Protocol):
    """One phone or many. They live in ``run``."""

    @property
    def behaviours(self) -> Sequence[Behaviour]:
        """How each of them is, the first one first."""
        ...

    async def run(self) -> None:
        """Go on until cancelled."""
        ...

    def where(self) -> str:
        """The address of their server, or their own; empty while there is none."""
        ...

    def arrived(self) -> bool:
        """Whether any of them can be reached."""
        ...

    def to_show(self, number: int) -> dict[str, str]:
        """What only a person should see, once a phone is ready."""
        ...

    async def idle(self) -> bool:
        """Nothing is under way, and nothing is owed to a server or a webhook."""
        ...

    async def waiting(self, most: int) -> list[int]:
        """Return how many messages wait on each of the first phones, ``most`` of them."""
        ...

    async def receive(self, number: int, incoming: Incoming) -> None:
        """A message comes in on the phone of this number, once it is ready."""
        ...

    async def ping(self, number: int) -> None:
        """Have a phone ping now."""
        ...

    def set_battery(self, percent: int) -> None:
        """Charge or drain the battery of every phone."""
        ...

    async def lose_network(self, for_ms: Milliseconds) -> None:
        """Have no network for a while."""
        ...


def count_waiting(tx: Tx, account_id: str) -> int:
    """Return how many messages of a phone were not begun."""
    _, count = tx.messages.page(
        account_id, since=0, until=tx.now + 1, state=State.PENDING, limit=0, offset=0
    )
    return count


def owes_nothing(tx: Tx) -> bool:
    return not tx.recipients.lanes() and not tx.deliveries.lanes()
